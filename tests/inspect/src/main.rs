//! The only program of the image `inspect.oci`: it tells what an app sees of its surroundings, in lines that a test compares
//! as a whole, so that nothing that is there without a reason stays unseen.
//!
//! It uses no shell, no C library's start-up file and no file of its image. What the standard library itself changes before
//! `main` is in its report: `SIGPIPE` is ignored.

mod devices;
mod measure;
mod mounts;
mod process;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: inspect process | mounts | devices | measure DIRECTORY";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let report = match words[..] {
        ["process", ..] => process::report(),
        ["mounts"] => mounts::report(),
        ["devices"] => devices::report(Path::new("/dev")),
        ["measure", directory] => measure::report(Path::new(directory)),
        _ => Err(io::Error::other(USAGE)),
    };
    match report.and_then(|lines| print(&lines)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inspect {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    lines
        .iter()
        .try_for_each(|line| writeln!(output, "{line}"))?;
    output.flush()
}
