//! Clients of an app's own streams: `attach` between the test and the relay.

use std::io::{Read, Write};
use std::process::Child;

use bulkhead_protocol::agent::{Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ProcessId, Stdio};

use crate::players::{Agent, Pod};

/// A pod whose only app runs.
fn running(stdio: Stdio) -> (Pod, Agent) {
    let pod = Pod::start(&["web"], stdio);
    let mut agent = pod.agent();
    agent.hello();
    agent.expect_start();
    agent.started(0);
    (pod, agent)
}

/// Waits for input of the app, and gives it.
fn input(agent: &mut Agent) -> Vec<u8> {
    loop {
        if let ToAgent::Data(chunk) = agent.next() {
            assert_eq!((chunk.process, chunk.stream), (ProcessId(0), Stream::Stdin));
            return chunk.bytes.into_vec();
        }
    }
}

fn read(client: &mut Child, length: usize) -> String {
    let mut bytes = vec![0; length];
    let stdout = client.stdout.as_mut().unwrap();
    stdout.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn clients_and_the_caller_share_the_app_s_streams() {
    let (mut pod, mut agent) = running(Stdio::Pipes { stdin: true });
    let mut clients = Vec::new();
    for word in [b"abc", b"def"] {
        let mut client = pod
            .attach(&["--action=auto-attach", "--app=web"])
            .spawn()
            .unwrap();
        client.stdin.as_mut().unwrap().write_all(word).unwrap();
        assert_eq!(input(&mut agent), word, "it is attached by now");
        clients.push(client);
    }
    agent.data(0, Stream::Stdout, 0, b"out");
    for client in &mut clients {
        assert_eq!(read(client, 3), "out");
    }
    assert_eq!(pod.read_output(3), "out");
    // The end of one, and of its input, are nobody else's.
    let mut gone = clients.remove(0);
    gone.kill().unwrap();
    gone.wait().unwrap();
    agent.data(0, Stream::Stdout, 3, b"more");
    assert_eq!(read(&mut clients[0], 4), "more");
    drop(clients[0].stdin.take());
    agent.data(0, Stream::Stdout, 7, b"last");
    assert_eq!(read(&mut clients[0], 4), "last");
    agent.end_process(0, 11, 0, Exit::Code(3));
    assert_eq!(clients[0].wait().unwrap().code(), Some(0));
    agent.expect_shutdown();
}

#[test]
fn what_there_is_not_is_refused() {
    let (pod, _agent) = running(Stdio::Pipes { stdin: false });
    let call = |words: &[&str]| {
        let output = pod.attach(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout) + &text(output.stderr),
        )
    };
    assert_eq!(
        call(&["--action=list", "--app=web"]),
        (Some(0), "stdout\nstderr\n".to_owned())
    );
    let refused = |text: &str| (Some(254), format!("attach: {text}\n"));
    assert_eq!(
        call(&["--action=custom-attach", "--app=web", "--stdin=true"]),
        refused("cannot attach to stdin: there is stdout, stderr")
    );
    assert_eq!(
        call(&["--action=auto-attach", "--app=www"]),
        refused("the pod has no app www: it has web")
    );
}
