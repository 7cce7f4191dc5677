//! The command line of rnnstep.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
