//! Which file a program's name means, and why a file cannot be run: pure but for looking at files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::reason::describe;

/// Directories of a bare name when the environment has no `PATH`. An empty one is the working directory.
const DEFAULT_PATH: &str = ":/bin:/usr/bin";

/// Bytes of a file that are looked at to say why it cannot be run.
const HEAD: u64 = 4096;

/// A program that cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// No directory of `PATH` has it.
    #[error("it is in no directory of PATH {path:?}")]
    NotInPath {
        /// The value searched.
        path: String,
    },
    /// The kernel says no.
    #[error("{}", describe(*errno))]
    Refused {
        /// The kernel's word.
        errno: Errno,
    },
    /// The file is there, and what shall interpret it is not.
    #[error(
        "{}: it needs {interpreter:?}, which is not in the image",
        describe(Errno::NOENT)
    )]
    NoInterpreter {
        /// Named in the file.
        interpreter: String,
    },
    /// A program for another machine.
    #[error(
        "{}: it is a program for {machine}, and this machine is an x86-64",
        describe(Errno::NOEXEC)
    )]
    OtherMachine {
        /// Whose it is.
        machine: String,
    },
    /// Nothing that a kernel can run.
    #[error(
        "{}: it is neither an x86-64 program nor a script that starts with #!",
        describe(Errno::NOEXEC)
    )]
    NoProgram,
}

/// The files that `program` may mean, in the order of trial.
pub fn candidates(program: &str, environment: &[&str]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    let path = search_path(environment);
    // Joining with an empty directory gives the bare name: a file in the working directory.
    path.split(':')
        .map(|directory| Path::new(directory).join(program))
        .collect()
}

/// The value of `PATH`, or what stands for a missing one.
pub fn search_path<'a>(environment: &[&'a str]) -> &'a str {
    let value = environment
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="));
    value.unwrap_or(DEFAULT_PATH)
}

/// Why the kernel refused to run the file at `path`.
pub fn explain(path: &Path, errno: Errno) -> ProgramError {
    let refused = ProgramError::Refused { errno };
    let Ok(head) = read_head(path) else {
        return refused;
    };
    match errno {
        // The file is there, or it would have no head: something that it names is not.
        Errno::NOENT => match script_interpreter(&head).or_else(|| elf_interpreter(&head)) {
            Some(interpreter) => ProgramError::NoInterpreter { interpreter },
            None => refused,
        },
        Errno::NOEXEC => match elf_machine(&head) {
            Some(machine) => ProgramError::OtherMachine { machine },
            None => ProgramError::NoProgram,
        },
        _ => refused,
    }
}

fn read_head(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Errno::ACCESS.into());
    }
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn script_interpreter(head: &[u8]) -> Option<String> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let mut words = line
        .split(|byte| b" \t".contains(byte))
        .filter(|word| !word.is_empty());
    Some(String::from_utf8_lossy(words.next()?).into_owned())
}

/// Offsets in the ELF header (System V ABI, "ELF Header", 64-bit form).
mod elf {
    pub(super) const MAGIC: &[u8] = b"\x7fELF";
    pub(super) const CLASS: usize = 4;
    pub(super) const CLASS_64: u8 = 2;
    pub(super) const MACHINE: usize = 18;
    pub(super) const PROGRAM_HEADERS: usize = 32;
    pub(super) const PROGRAM_HEADER_SIZE: usize = 54;
    pub(super) const PROGRAM_HEADER_COUNT: usize = 56;
    /// Segment type of the interpreter's path.
    pub(super) const INTERPRETER: u64 = 3;
    pub(super) const SEGMENT_OFFSET: usize = 8;
    pub(super) const SEGMENT_FILE_SIZE: usize = 32;
    pub(super) const MACHINE_X86_64: u64 = 62;
    pub(super) const MACHINE_386: u64 = 3;
}

/// The interpreter that a 64-bit program names, as far as it stands in the head.
fn elf_interpreter(head: &[u8]) -> Option<String> {
    if !head.starts_with(elf::MAGIC) || head.get(elf::CLASS) != Some(&elf::CLASS_64) {
        return None;
    }
    let table = position(number(head, elf::PROGRAM_HEADERS, 8)?)?;
    let size = position(number(head, elf::PROGRAM_HEADER_SIZE, 2)?)?;
    let count = position(number(head, elf::PROGRAM_HEADER_COUNT, 2)?)?;
    let segments = (0..count).map_while(|index| head.get(table.checked_add(index * size)?..));
    let interpreter = segments
        .into_iter()
        .find(|s| number(s, 0, 4) == Some(elf::INTERPRETER))?;
    let start = position(number(interpreter, elf::SEGMENT_OFFSET, 8)?)?;
    let length = position(number(interpreter, elf::SEGMENT_FILE_SIZE, 8)?)?;
    let name = head.get(start..start.checked_add(length)?)?;
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The machine of a program, when it is not ours.
fn elf_machine(head: &[u8]) -> Option<String> {
    if !head.starts_with(elf::MAGIC) {
        return None;
    }
    // Known values of the ELF registry ("e_machine") that images come for.
    Some(match number(head, elf::MACHINE, 2)? {
        elf::MACHINE_X86_64 | elf::MACHINE_386 => return None,
        40 => "32-bit ARM".to_owned(),
        183 => "64-bit ARM".to_owned(),
        243 => "RISC-V".to_owned(),
        21 => "64-bit PowerPC".to_owned(),
        22 => "S/390".to_owned(),
        258 => "LoongArch".to_owned(),
        other => format!("ELF machine {other}"),
    })
}

/// A little-endian number of `length` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(length)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)),
    )
}

fn position(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

#[cfg(test)]
#[path = "program_test.rs"]
mod tests;
