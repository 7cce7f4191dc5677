//! `rnnstep compile`

use crate::cli::args::model::{TensorArgs, load};
use crate::cli::args::number;
use crate::cli::args::paths::Paths;
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::screen::Screen;
use clap::Args;
use rnnstep::cuda::image::ahead;
use rnnstep::cuda::image::ahead::Order;
use rnnstep::cuda::image::compile::{Image, compile};
use rnnstep::cuda::{Arch, Dtype, Frame};
use rnnstep::net::pass::Mode;
use rnnstep::{Cpu, Nonlinearity};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct CompileArgs {
    /// Model file (.safetensors); the kernels are compiled for its shape
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Activation of an Elman RNN, if its file does not name one [default: tanh]
    #[arg(long, value_parser = value::nonlinearity(), value_name = "NAME")]
    nonlinearity: Option<Nonlinearity>,
    #[command(flatten)]
    tensors: TensorArgs,
    /// Architectures of the GPUs that will run the model, such as sm_87 (Jetson Orin) or sm_90 (H100)
    #[arg(long, value_name = "ARCH", value_delimiter = ',', required = true)]
    arch: Vec<Arch>,
    /// File to write the kernels to, for --bundle
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the GPUs will round the factors of products: the values of --dtype with which the model will run
    #[arg(long, value_parser = value::dtype(), value_delimiter = ',', default_value = "f32", value_name = "DTYPE")]
    dtype: Vec<Dtype>,
    /// The value of --frame with which the model will run, if any
    #[arg(long, value_parser = value::frame(), value_name = "FRAME")]
    frame: Option<Frame>,
    /// The most sequences that will run in one batch
    #[arg(long, default_value_t = 1, value_name = "B", value_parser = number::whole::<usize>(1..=1 << 24))]
    batch: usize,
    /// Compile the kernels for training as well
    #[arg(long)]
    training: bool,
}

pub fn run(args: &CompileArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    Paths::default().reads("MODEL", [&args.model]).writes("--out", [&args.out]).check()?;
    screen.goes_beside_files();
    let loaded = load(&args.model, &args.tensors.options(args.nonlinearity), Cpu::detect()?)?;
    let shape = *loaded.model.shape();
    let purpose = if args.training { Mode::Training } else { Mode::Inference };
    let mut bundle = ahead::bundle(&shape);
    screen.line(format_args!("{}: {}", args.model.display(), shape))?;
    screen.line(format_args!(
        "{:<8} {:<24} {:>9} {:>9} {:>7} {:>7} {:>8} {:>7}",
        "arch", "kernel", "sequences", "registers", "shared", "spilled", "cubin", "ms"
    ))?;
    for &arch in &args.arch {
        for &dtype in &args.dtype {
            let order = Order { shape, batch: args.batch, dtype, frame: args.frame, purpose };
            for part in order.parts(arch)? {
                let image = compile(&part.program, arch, true)?;
                table(arch, part.rows, &image, screen)?;
                bundle.insert(&part.program, arch, image.cubin);
            }
        }
    }
    files::write(&args.out, || bundle.save(&args.out))?;
    screen.line(format_args!("{} images in {}", bundle.len(), args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what each kernel of an image needs. `rows` is the number of sequences in a block, if it is a kernel of a
/// recurrent layer.
fn table(arch: Arch, rows: Option<u32>, image: &Image, screen: &mut Screen) -> Result<(), Failure> {
    for usage in &image.usage {
        screen.line(format_args!(
            "{:<8} {:<24} {:>9} {:>9} {:>7} {:>7} {:>8} {:>7.0}",
            arch.to_string(),
            usage.kernel,
            rows.map_or_else(String::new, |rows| rows.to_string()),
            usage.registers,
            usage.shared_bytes,
            usage.spill_bytes,
            image.cubin.len(),
            image.seconds * 1e3
        ))?;
    }
    Ok(())
}
