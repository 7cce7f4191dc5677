//! The source text of the kernels, which is part of the program.

use crate::cell::cells;

macro_rules! sources {
    ($($(#[$about:meta])* $kind:ident $name:literal $(($nonlinearity:ident $other:ident))?)+) => {
        /// Every file of `kernels/`, as (name, text): first one for each cell, then the others.
        pub const SOURCES: &[(&str, &str)] = &[
            $((concat!($name, ".cu"), include_str!(concat!("../../../kernels/", $name, ".cu"))),)+
            ("cell.cuh", include_str!("../../../kernels/cell.cuh")),
            ("dropout.cu", include_str!("../../../kernels/dropout.cu")),
            ("gemm.cu", include_str!("../../../kernels/gemm.cu")),
            ("many_blocks.cuh", include_str!("../../../kernels/many_blocks.cuh")),
            ("math.cuh", include_str!("../../../kernels/math.cuh")),
            ("one_block.cuh", include_str!("../../../kernels/one_block.cuh")),
            ("passes.cuh", include_str!("../../../kernels/passes.cuh")),
            ("prelude.cuh", include_str!("../../../kernels/prelude.cuh")),
            ("recurrent.cuh", include_str!("../../../kernels/recurrent.cuh")),
            ("step.cuh", include_str!("../../../kernels/step.cuh")),
            ("tensor_part.cuh", include_str!("../../../kernels/tensor_part.cuh")),
            ("tile.cuh", include_str!("../../../kernels/tile.cuh")),
            ("training.cu", include_str!("../../../kernels/training.cu")),
            ("training.cuh", include_str!("../../../kernels/training.cuh")),
            ("whole.cuh", include_str!("../../../kernels/whole.cuh")),
        ];
    };
}
cells!(sources);

/// Ending of the files that others include.
pub(in crate::cuda) const HEADER: &str = ".cuh";

#[cfg(test)]
mod tests {
    use super::SOURCES;
    use std::collections::BTreeMap;
    use std::path::Path;

    #[test]
    fn every_kernel_is_here() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".cu") || name.ends_with(super::HEADER) {
                files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
        let embedded = SOURCES.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        assert_eq!(
            files, embedded,
            "give each file of kernels/ a line in SOURCES, or a cell in the list of src/cell/mod.rs"
        );
    }
}
