//! What a process finds, and why one does not run.

use bulkhead_protocol::agent::{FromAgent, Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ProcessId, Stdio, WindowSize};

use crate::relay::{Outcome, Relay};
use crate::rig::{Rig, process, shell, start};

fn run(relay: &mut Relay, process: bulkhead_protocol::plan::Process) -> Outcome {
    let id = process.id.0;
    relay.send(&start(process));
    relay.finish(id)
}

#[test]
fn programs_run_in_their_image_and_exits_are_told() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let outcome = run(
        &mut relay,
        shell(1, "web", "echo out; echo err >&2; exit 3"),
    );
    assert_eq!(
        (outcome.text(), outcome.exit),
        ("out\n", Some(Exit::Code(3)))
    );
    assert!(outcome.started);
    relay.until(|relay| {
        relay.outcomes[&ProcessId(1)]
            .ended_streams
            .contains(&Stream::Stderr)
    });
    assert_eq!(relay.outcomes[&ProcessId(1)].stderr, b"err\n");
    let outcome = run(&mut relay, shell(2, "web", "kill -TERM $$"));
    assert_eq!(outcome.exit, Some(Exit::Signal(15)));
    let outcome = run(
        &mut relay,
        process(
            3,
            "web",
            &["sh", "-c", "cat /proc/sys/kernel/hostname; pwd; umask"],
        ),
    );
    assert_eq!(outcome.text(), "a-pod\n/\n0022\n");
}

#[test]
fn a_process_gets_nothing_that_is_the_agents() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let outcome = run(
        &mut relay,
        shell(
            1,
            "web",
            "ls /proc/$$/fd; echo $PPID; grep Sig /proc/$$/status",
        ),
    );
    let text = outcome.text();
    assert!(text.starts_with("0\n1\n2\n1\n"), "{text}");
    for line in ["SigBlk:\t0000000000000000", "SigCgt:\t0000000000000000"] {
        assert!(text.contains(line), "{text}");
    }
    let outcome = run(
        &mut relay,
        shell(2, "web", "cat /proc/self/mounts; ls -A /"),
    );
    assert!(!outcome.text().contains("/dev/loop"), "{}", outcome.text());
    assert!(
        outcome.text().starts_with("overlay / overlay rw"),
        "{}",
        outcome.text()
    );
    let outcome = run(
        &mut relay,
        shell(
            3,
            "web",
            "ls /dev; ls -ld /dev/shm; echo x > /dev/console; echo y > /dev/stdout",
        ),
    );
    let devices = "console\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\ndrwxrwxrwt";
    assert!(outcome.text().starts_with(devices), "{}", outcome.text());
    assert!(outcome.text().ends_with("x\ny\n"), "{}", outcome.text());
}

#[test]
fn users_and_groups_are_the_images() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let mut named = shell(1, "web", "id -u; id -g; id -G; echo again > /dev/stdout");
    named.user = "web".try_into().unwrap();
    named.group = "web".try_into().unwrap();
    named.groups = vec![7, 9].try_into().unwrap();
    let outcome = run(&mut relay, named);
    assert_eq!(outcome.text(), "33\n34\n34 7 9\nagain\n");
    let mut unknown = shell(2, "web", "true");
    unknown.user = "nobody".try_into().unwrap();
    let outcome = run(&mut relay, unknown);
    assert_eq!(outcome.exit, Some(Exit::Code(203)));
    assert_eq!(
        outcome.reason(),
        "cannot run \"/bin/sh\" in app web: user \"nobody\" is not in the image's /etc/passwd"
    );
}

#[test]
fn a_program_that_cannot_run_is_explained() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    for (id, (program, why)) in (1..).zip([
        ("/bin/nope", "No such file or directory"),
        ("nope", "it is in no directory of PATH \"/nowhere:/bin\""),
        (
            "script",
            "No such file or directory: it needs \"/opt/python3\", which is not in the image",
        ),
        (
            "text",
            "Exec format error: it is neither an x86-64 program nor a script that starts with #!",
        ),
        ("/etc/passwd", "Permission denied"),
        ("./etc", "Permission denied"),
    ]) {
        let outcome = run(&mut relay, process(id, "web", &[program]));
        assert_eq!(
            outcome.reason(),
            format!("cannot run {program:?} in app web: {why}")
        );
        assert_eq!(
            (outcome.exit, outcome.started),
            (Some(Exit::Code(203)), false)
        );
    }
    let mut lost = shell(20, "web", "true");
    lost.working_directory = "/nope".try_into().unwrap();
    let outcome = run(&mut relay, lost);
    assert_eq!(
        outcome.reason(),
        "cannot run \"/bin/sh\" in app web: working directory \"/nope\": No such file or directory"
    );
    let outcome = run(&mut relay, shell(21, "db", "true"));
    assert_eq!(outcome.reason(), "the pod has no app db");
    let mut relative = process(22, "web", &["bin/sh", "-c", "echo here"]);
    relative.working_directory = "/".try_into().unwrap();
    assert_eq!(run(&mut relay, relative).text(), "here\n");
}

#[test]
fn a_terminal_is_the_apps_own() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let mut terminal = shell(
        1,
        "web",
        "tty; stty size; read line; echo got $line; stty size; read line || echo end",
    );
    terminal.stdio = Stdio::Terminal {
        size: WindowSize {
            rows: 24,
            columns: 80,
        },
    };
    relay.send(&start(terminal));
    let has = |text: &'static [u8]| {
        move |relay: &Relay| {
            let outcome = relay.outcomes.get(&ProcessId(1));
            outcome.is_some_and(|outcome| {
                outcome
                    .stdout
                    .windows(text.len())
                    .any(|window| window == text)
            })
        }
    };
    relay.until(has(b"24 80"));
    relay.send(&ToAgent::Resize {
        process: ProcessId(1),
        size: WindowSize {
            rows: 50,
            columns: 132,
        },
    });
    relay.input(1, 0, b"hello\n");
    relay.until(has(b"50 132"));
    relay.input(1, 6, b"");
    let outcome = relay.finish(1);
    assert_eq!(
        outcome.text(),
        "/dev/pts/0\r\n24 80\r\nhello\r\ngot hello\r\n50 132\r\nend\r\n"
    );
    assert_eq!(outcome.exit, Some(Exit::Code(0)));
}

#[test]
fn signals_reach_the_process() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.send(&start(shell(
        1,
        "web",
        "trap 'echo caught; exit 4' USR1; echo ready; while :; do sleep 0.01; done",
    )));
    relay.until(|relay| {
        relay
            .outcomes
            .get(&ProcessId(1))
            .is_some_and(|outcome| !outcome.stdout.is_empty())
    });
    relay.send(&ToAgent::Signal {
        process: ProcessId(1),
        signal: 10,
    });
    let outcome = relay.finish(1);
    assert_eq!(
        (outcome.text(), outcome.exit),
        ("ready\ncaught\n", Some(Exit::Code(4)))
    );
    // One that is no more.
    relay.send(&ToAgent::Signal {
        process: ProcessId(1),
        signal: 9,
    });
    relay.send(&ToAgent::Signal {
        process: ProcessId(9),
        signal: 64,
    });
    assert_eq!(run(&mut relay, shell(2, "web", "echo on")).text(), "on\n");
}

#[test]
fn a_wrong_version_is_refused_with_a_reason() {
    let mut rig = Rig::new(&["web"]);
    let mut relay = Relay::greet_with(rig.accept(), 99);
    let Some(FromAgent::Failed { reason }) = relay.next() else {
        panic!()
    };
    assert_eq!(
        reason.as_str(),
        "the host speaks version 99 of the protocol, this agent version 1"
    );
    drop(relay);
    assert!(!rig.agent_ends_well());
}
