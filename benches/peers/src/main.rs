//! `peers FOLDER` writes the networks for the peers of other languages.

use peers::nets;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: peers FOLDER");
        return ExitCode::from(2);
    };
    match nets::write(folder.as_ref(), &nets::all()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
