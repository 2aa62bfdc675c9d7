use std::fs::{self, File};
use std::io::Read;

use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::{Descriptor, Jail, Namespaces, Placed, Program, spawn};

/// What a shell prints that sees `tree` at `target`.
fn shell(tree: &Tree, target: &Path, script: &str) -> String {
    let executable = File::open("/bin/sh").unwrap();
    let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![
            c"sh".to_owned(),
            c"-c".to_owned(),
            CString::new(script).unwrap(),
        ],
        environment: Vec::new(),
        mounts: vec![Placed {
            tree,
            target: CString::new(target.as_os_str().as_bytes()).unwrap(),
        }],
        descriptors: vec![Descriptor {
            number: 1,
            file: output_end.as_fd(),
        }],
    };
    let jail = Jail {
        identity: None,
        open_files: 64,
        ignored_signals: &[],
        namespaces: Namespaces::Parents,
        gains_privileges: false,
    };
    let child = spawn(&program, &jail).unwrap();
    drop(output_end);
    let mut text = String::new();
    File::from(output).read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}

#[test]
fn a_tree_is_seen_by_the_program_alone_and_read_only_when_asked() {
    if !rustix::process::geteuid().is_root() {
        // Mounts take root: the caller's part of the contract.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("t"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let options = |read_only| TreeOptions {
        recursive: true,
        read_only,
        privileged: false,
    };
    let script = format!(
        "cat {0}/file; echo $?; : > {0}/new && echo written",
        target.display()
    );

    let closed = Tree::of(&source, options(true)).unwrap();
    assert_eq!(shell(&closed, &target, &script), "content0\n");
    let open = Tree::of(&source, options(false)).unwrap();
    assert_eq!(shell(&open, &target, &script), "content0\nwritten\n");

    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert!(source.join("new").exists());
}

#[test]
fn a_missing_source_is_told() {
    let options = TreeOptions {
        recursive: false,
        read_only: false,
        privileged: false,
    };
    let error = Tree::of(Path::new("/nonexistent/source"), options).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
