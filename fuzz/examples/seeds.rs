//! Writes what each target begins with: `seeds DIRECTORY`.

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).unwrap_or_default();
    for (target, seeds) in bulkhead_fuzz::targets() {
        let directory = PathBuf::from(&directory).join(target);
        fs::create_dir_all(directory.join("kept"))?;
        fs::create_dir_all(directory.join("seeds"))?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join("seeds").join(number.to_string()), seed)?;
        }
    }
    Ok(())
}
