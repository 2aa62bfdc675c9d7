//! How fast a directory's file system is.
//!
//! Reads find nothing in the page cache of this machine, and writes count until they are synced. What is read and written
//! at random is a sixteenth of the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};

const FILE_MIB: u32 = 64;
const SEQUENTIAL_BYTES: usize = 1 << 20;
const RANDOM_BYTES: usize = 4096;
const RANDOM_OPERATIONS: u32 = FILE_MIB * 16;
const FILES: u32 = 500;

/// `NAME VALUE` lines: MiB, or operations, in a second.
pub(crate) fn report(directory: &Path) -> io::Result<Vec<String>> {
    let path = directory.join("measured");
    let mut lines = Vec::new();
    let mut measure = |name: &str, units: u32, work: &mut dyn FnMut() -> io::Result<()>| {
        let start = Instant::now();
        work()?;
        let rate = f64::from(units) / start.elapsed().as_secs_f64();
        lines.push(format!("{name} {rate:.1}"));
        io::Result::Ok(())
    };
    measure("sequential_write_mib", FILE_MIB, &mut || {
        write_through(&path)
    })?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    forget(&file, Advice::Sequential)?;
    measure("sequential_read_mib", FILE_MIB, &mut || read_through(&file))?;
    forget(&file, Advice::Random)?;
    measure("random_read_4k", RANDOM_OPERATIONS, &mut || {
        let mut block = [0; RANDOM_BYTES];
        offsets().try_for_each(|offset| file.read_exact_at(&mut block, offset))
    })?;
    measure("random_write_4k", RANDOM_OPERATIONS, &mut || {
        let block = [1; RANDOM_BYTES];
        offsets().try_for_each(|offset| file.write_all_at(&block, offset))?;
        file.sync_all()
    })?;
    drop(file);
    fs::remove_file(&path)?;
    let files = directory.join("files");
    fs::create_dir(&files)?;
    let name = |number: u32| files.join(number.to_string());
    measure("create", FILES, &mut || {
        (0..FILES).try_for_each(|number| File::create_new(name(number)).map(drop))
    })?;
    measure("open_and_stat", FILES, &mut || {
        (0..FILES).try_for_each(|number| File::open(name(number))?.metadata().map(drop))
    })?;
    measure("rename", FILES, &mut || {
        (0..FILES).try_for_each(|number| fs::rename(name(number), name(number + FILES)))
    })?;
    measure("remove", FILES, &mut || {
        (0..FILES).try_for_each(|number| fs::remove_file(name(number + FILES)))
    })?;
    fs::remove_dir(&files)?;
    Ok(lines)
}

fn write_through(path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let block = vec![0x5a; SEQUENTIAL_BYTES];
    for _ in 0..FILE_MIB {
        file.write_all(&block)?;
    }
    file.sync_all()
}

fn read_through(mut file: &File) -> io::Result<()> {
    let mut block = vec![0; SEQUENTIAL_BYTES];
    while file.read(&mut block)? != 0 {}
    Ok(())
}

/// Nothing of the file stays in the page cache; the next reads are of this kind.
fn forget(file: &File, next: Advice) -> io::Result<()> {
    file.sync_all()?;
    fadvise(file, 0, None, Advice::DontNeed)?;
    Ok(fadvise(file, 0, None, next)?)
}

/// Each at most once, in the same order at every run: a step that has no divisor in common with the number of blocks
/// reaches all of them.
fn offsets() -> impl Iterator<Item = u64> {
    const BLOCKS: u64 = (FILE_MIB as u64) << 20 >> 12;
    const STEP: u64 = 7919;
    (0..u64::from(RANDOM_OPERATIONS)).map(|n| n * STEP % BLOCKS * RANDOM_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn offsets_are_blocks_of_the_file_and_each_another() {
        let all: BTreeSet<u64> = offsets().collect();
        assert_eq!(all.len(), 1024);
        assert!(all.iter().all(|offset| offset % 4096 == 0));
        assert!(*all.last().unwrap() < 64 << 20);
    }

    #[test]
    fn nothing_of_a_measurement_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let lines = report(directory.path()).unwrap();
        assert_eq!(lines.len(), 8);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
