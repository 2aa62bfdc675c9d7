use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::*;
use crate::{Ended, Step, WaitError};

const OPEN: Jail = Jail {
    identity: None,
    open_files: 64,
    ignored_signals: &[],
    namespaces: Namespaces::Parents,
    gains_privileges: false,
};

/// Runs a program with its standard output in a pipe, and gives what it wrote and how it ended.
fn run(path: &str, arguments: &[&str], more: &[Descriptor<'_>], jail: &Jail) -> (String, Ended) {
    let executable = File::open(path).unwrap();
    let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut descriptors = more.to_vec();
    descriptors.push(Descriptor {
        number: 1,
        file: output_end.as_fd(),
    });
    let program = Program {
        executable: executable.as_fd(),
        arguments: arguments
            .iter()
            .map(|a| CString::new(*a).unwrap())
            .collect(),
        environment: Vec::new(),
        mounts: Vec::new(),
        descriptors,
    };
    let child = spawn(&program, jail).unwrap();
    drop(output_end);
    let mut text = String::new();
    File::from(output).read_to_string(&mut text).unwrap();
    (text, child.wait().unwrap())
}

#[test]
fn the_environment_is_empty_unless_something_was_given() {
    let (text, ended) = run("/usr/bin/env", &["env"], &[], &OPEN);
    assert_eq!((text.as_str(), ended), ("", Ended::Code(0)));
}

#[test]
fn a_program_has_the_descriptors_that_were_named_and_no_others() {
    let file = tempfile::tempfile().unwrap();
    // Without the flag that closes it at exec.
    let leak = rustix::io::dup(&file).unwrap();
    let named = Descriptor {
        number: 5,
        file: file.as_fd(),
    };
    let (text, _) = run("/bin/ls", &["ls", "/proc/self/fd"], &[named], &OPEN);
    // 3 is the directory that ls reads.
    let numbers: Vec<&str> = text.lines().collect();
    assert_eq!(
        numbers,
        ["0", "1", "2", "3", "5"],
        "leak was {}",
        leak.as_raw_fd()
    );
}

#[test]
fn descriptors_may_trade_their_numbers() {
    let mut one = tempfile::tempfile().unwrap();
    let mut two = tempfile::tempfile().unwrap();
    one.write_all(b"one").unwrap();
    two.write_all(b"two").unwrap();
    let swapped = [
        Descriptor {
            number: one.as_raw_fd(),
            file: two.as_fd(),
        },
        Descriptor {
            number: two.as_raw_fd(),
            file: one.as_fd(),
        },
    ];
    let script = format!(
        "cat /proc/self/fd/{} /proc/self/fd/{}",
        one.as_raw_fd(),
        two.as_raw_fd()
    );
    let (text, _) = run("/bin/sh", &["sh", "-c", &script], &swapped, &OPEN);
    assert_eq!(text, "twoone");
}

#[test]
fn standard_streams_that_were_not_named_are_dev_null() {
    let script = "readlink /proc/self/fd/0 /proc/self/fd/2";
    let (text, _) = run("/bin/sh", &["sh", "-c", script], &[], &OPEN);
    assert_eq!(text, "/dev/null\n/dev/null\n");
}

#[test]
fn limits_privileges_directory_and_signals_are_set() {
    let jail = Jail {
        ignored_signals: &[libc::SIGINT, libc::SIGTERM],
        ..OPEN
    };
    let script = "ulimit -c; ulimit -n; ulimit -Hn; pwd; grep -E 'NoNewPrivs|SigBlk|SigIgn' /proc/self/status";
    let (text, _) = run("/bin/sh", &["sh", "-c", script], &[], &jail);
    assert_eq!(
        text,
        "0\n64\n64\n/\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000004002\nNoNewPrivs:\t1\n"
    );
}

#[test]
fn an_identity_leaves_no_group_and_no_capability() {
    if !rustix::process::geteuid().is_root() {
        // Only root can change its identity: the caller's part of the contract.
        return;
    }
    let jail = Jail {
        identity: Some(Identity {
            uid: 65533,
            gid: 65532,
        }),
        ..OPEN
    };
    let script = "id -u; id -g; id -G; grep -E 'CapPrm|CapEff' /proc/self/status";
    let (text, _) = run("/bin/sh", &["sh", "-c", script], &[], &jail);
    assert_eq!(
        text,
        "65533\n65532\n65532\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
    );
}

#[test]
fn a_program_that_is_none_is_told_by_wait() {
    let executable = File::open("/etc/passwd").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![c"passwd".to_owned()],
        environment: Vec::new(),
        mounts: Vec::new(),
        descriptors: Vec::new(),
    };
    let error = spawn(&program, &OPEN).unwrap().wait().unwrap_err();
    assert_eq!(error.to_string(), "confine a process: run the program");
    let WaitError::Confine { step, source } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (step, source.raw_os_error()),
        (Step::Exec, Some(libc::EACCES))
    );
}

#[test]
fn numbers_are_checked() {
    let null = File::open("/dev/null").unwrap();
    for numbers in [&[3, 3][..], &[-1], &[256]] {
        let descriptors = numbers.iter().map(|number| Descriptor {
            number: *number,
            file: null.as_fd(),
        });
        let program = Program {
            executable: null.as_fd(),
            arguments: vec![c"none".to_owned()],
            environment: Vec::new(),
            mounts: Vec::new(),
            descriptors: descriptors.collect(),
        };
        let error = spawn(&program, &OPEN).unwrap_err();
        assert!(matches!(error, SpawnError::Number { .. }), "{numbers:?}");
    }
}

fn sleeper() -> Child {
    let executable = File::open("/bin/sleep").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![c"sleep".to_owned(), c"1000".to_owned()],
        environment: Vec::new(),
        mounts: Vec::new(),
        descriptors: Vec::new(),
    };
    spawn(&program, &OPEN).unwrap()
}

#[test]
fn a_process_dies_with_the_thread_that_made_it() {
    let pidfd = std::thread::spawn(|| {
        let mut child = sleeper();
        // Ends with the exec: from there on the thread may go.
        let mut failure = File::from(child.failure.take().unwrap());
        assert_eq!(failure.read(&mut [0]).unwrap(), 0);
        let pidfd = child.pidfd().try_clone_to_owned().unwrap();
        std::mem::forget(child);
        pidfd
    });
    let pidfd = pidfd.join().unwrap();
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    assert_eq!(status.unwrap().terminating_signal(), Some(libc::SIGKILL));
}

#[test]
fn a_dropped_child_is_killed_and_reaped() {
    let child = sleeper();
    let pidfd = child.pidfd().try_clone_to_owned().unwrap();
    drop(child);
    let again = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    assert_eq!(again.unwrap_err(), rustix::io::Errno::CHILD);
}

#[test]
fn what_a_process_started_ends_with_its_pid_namespace() {
    if !rustix::process::geteuid().is_root() {
        // Only root can make the namespace: the caller's part of the contract.
        return;
    }
    let executable = File::open("/bin/sh").unwrap();
    let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let script = c"sleep 1000 & kill -STOP $! && echo $$ && wait";
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![c"sh".to_owned(), c"-c".to_owned(), script.to_owned()],
        environment: Vec::new(),
        mounts: Vec::new(),
        descriptors: vec![Descriptor {
            number: 1,
            file: output_end.as_fd(),
        }],
    };
    let jail = Jail {
        namespaces: Namespaces::Pid,
        gains_privileges: false,
        ..OPEN
    };
    let child = spawn(&program, &jail).unwrap();
    drop(output_end);
    let mut output = File::from(output);
    let mut first = [0; 2];
    output.read_exact(&mut first).unwrap();
    child.kill();
    // The stopped one holds the pipe as long as it lives.
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!((&first, rest.as_slice()), (b"1\n", &b""[..]));
}
