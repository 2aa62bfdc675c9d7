//! The importer: `bulkhead` runs it to read an image that strangers made. It is given a socket, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    match bulkhead_image::import_for_another() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-import: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
