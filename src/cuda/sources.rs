//! The kernels' text, part of the program.

/// Every file of `kernels/`, as (name, text).
pub const SOURCES: &[(&str, &str)] = &[];

/// Ending of the files that others include.
pub(super) const HEADER: &str = ".cuh";

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
        assert_eq!(files, embedded, "give each file of kernels/ a line in SOURCES");
    }
}
