//! Sockets that apps listen on, and clients that are connected to them.

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{Listener, ListenerSocket, Process, ProcessId};

use crate::relay::{Outcome, Relay};
use crate::rig::{Rig, shell, start};

/// A pod that listens on two local sockets.
fn listening() -> (Rig, Relay) {
    let mut rig = Rig::new(&["web"]);
    let listener = |name: &str| Listener {
        name: name.try_into().unwrap(),
        socket: ListenerSocket::Unix,
    };
    let listeners = vec![listener("http"), listener("admin")];
    rig.plan.listeners = listeners.try_into().unwrap();
    let relay = rig.relay();
    (rig, relay)
}

/// Has both of them.
fn with_sockets(id: u32, script: &str) -> Process {
    Process {
        listeners: vec![1, 0].try_into().unwrap(),
        ..shell(id, "web", script)
    }
}

fn connect(relay: &mut Relay, id: u32, listener: u8) {
    let process = ProcessId(id);
    relay.send(&ToAgent::Connect { process, listener });
}

fn until(relay: &mut Relay, id: u32, done: impl Fn(&Outcome) -> bool) {
    relay.until(|relay| relay.outcomes.get(&ProcessId(id)).is_some_and(&done));
}

#[test]
fn a_program_finds_its_sockets_and_is_told_of_them() {
    let (_rig, mut relay) = listening();
    let script = "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && cd /proc/$$/fd && for fd in [0-9]*; do readlink $fd; done";
    relay.send(&start(with_sockets(1, script)));
    let outcome = relay.finish(1);
    let lines: Vec<&str> = outcome.text().lines().collect();
    assert_eq!(lines[0], "2 admin:http");
    let sockets = lines.iter().filter(|line| line.starts_with("socket:"));
    assert_eq!(sockets.count(), 2, "{lines:?}");
    let script = "echo [$LISTEN_FDS]; readlink /proc/$$/fd/3 || echo none";
    relay.send(&start(shell(2, "web", script)));
    assert_eq!(relay.finish(2).text(), "[]\nnone\n");
}

#[test]
fn a_client_is_connected_as_long_as_the_app_is_there() {
    let (_rig, mut relay) = listening();
    relay.send(&start(with_sockets(1, "while :; do sleep 0.1; done")));
    until(&mut relay, 1, |outcome| outcome.started);
    connect(&mut relay, 2, 0);
    until(&mut relay, 2, |outcome| outcome.started);
    relay.input(2, 0, b"hello");
    until(&mut relay, 2, |outcome| outcome.input_passed == 5);
    let process = ProcessId(1);
    relay.send(&ToAgent::Signal { process, signal: 9 });
    let outcome = relay.finish(2);
    assert_eq!(outcome.exit, Some(Exit::Code(0)));
    connect(&mut relay, 3, 0);
    let outcome = relay.finish(3);
    assert!(!outcome.started && outcome.exit.is_some());
}
