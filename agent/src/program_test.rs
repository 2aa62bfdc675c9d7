use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::io::Errno;

use super::{ProgramError, candidates, elf_interpreter, explain, script_interpreter};

fn paths(program: &str, environment: &[&str]) -> Vec<String> {
    let candidates: Vec<PathBuf> = candidates(program, environment);
    candidates
        .iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_bare_name_is_looked_for_in_path() {
    assert_eq!(
        paths("sh", &["A=1", "PATH=/usr/bin:/bin"]),
        ["/usr/bin/sh", "/bin/sh"]
    );
    assert_eq!(paths("sh", &["PATH=:rel"]), ["sh", "rel/sh"]);
    assert_eq!(paths("sh", &[]), ["sh", "/bin/sh", "/usr/bin/sh"]);
}

#[test]
fn a_name_with_a_slash_is_taken_as_it_is() {
    assert_eq!(paths("/bin/sh", &["PATH=/x"]), ["/bin/sh"]);
    assert_eq!(paths("./run", &["PATH=/x"]), ["./run"]);
}

fn text_of(content: &[u8], errno: Errno) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    fs::write(&path, content).unwrap();
    explain(&path, errno).to_string()
}

#[test]
fn a_missing_file_is_just_missing() {
    let error = explain(Path::new("/nope/nope"), Errno::NOENT);
    assert_eq!(
        error,
        ProgramError::Refused {
            errno: Errno::NOENT
        }
    );
    assert_eq!(error.to_string(), "No such file or directory");
}

#[test]
fn a_missing_interpreter_is_named() {
    assert_eq!(
        text_of(b"#! /opt/python3 -u\nprint()\n", Errno::NOENT),
        "No such file or directory: it needs \"/opt/python3\", which is not in the image"
    );
    let own = fs::read("/bin/sh").unwrap();
    assert_eq!(
        text_of(&own, Errno::NOENT),
        "No such file or directory: it needs \"/lib64/ld-linux-x86-64.so.2\", which is not in the image"
    );
}

#[test]
fn programs_of_other_machines_and_no_programs_are_told_apart() {
    let mut arm = fs::read("/bin/sh").unwrap();
    arm[18] = 183;
    assert_eq!(
        text_of(&arm, Errno::NOEXEC),
        "Exec format error: it is a program for 64-bit ARM, and this machine is an x86-64"
    );
    assert_eq!(
        text_of(b"hello\n", Errno::NOEXEC),
        "Exec format error: it is neither an x86-64 program nor a script that starts with #!"
    );
    assert_eq!(text_of(b"x", Errno::ACCESS), "Permission denied");
}

proptest! {
    #[test]
    fn no_file_makes_the_explanation_fail(mut head in prop::collection::vec(any::<u8>(), 0..300), elf: bool) {
        if elf && head.len() > 8 {
            head[..5].copy_from_slice(b"\x7fELF\x02");
        }
        let _ = elf_interpreter(&head);
        let _ = script_interpreter(&head);
    }
}
