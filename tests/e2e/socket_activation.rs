//! Listening sockets that a service manager starts a pod with: apps serve the clients of the host.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;

use bulkhead_tests::images::python_docker_archive;
use nix::sys::signal::Signal;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use serde_json::{Value, json};

use crate::bulkhead::{Call, Running, STAGE1_VARIABLE, data, has_machines, image_id, own_data};
use crate::service::{documented, documented_unit, runs_and_stops_under_systemd};

/// Sends everybody back what comes, and at its end how much that was and who it came from.
const ECHO: &str = "\
import os, signal, socket, threading
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
assert os.environ['LISTEN_PID'] == str(os.getpid())
names = os.environ['LISTEN_FDNAMES'].split(':')
def echo(client, name, peer):
    total = 0
    try:
        while True:
            part = client.recv(65536)
            if not part: break
            client.sendall(part)
            total += len(part)
        client.sendall(('<%d at %s from %s>' % (total, name, peer)).encode())
    except OSError: pass
    client.close()
def serve(listener, name):
    while True:
        client, peer = listener.accept()
        threading.Thread(target=echo, args=[client, name, peer], daemon=True).start()
assert len(names) == int(os.environ['LISTEN_FDS'])
servers = [threading.Thread(target=serve, args=[socket.socket(fileno=3 + i), name]) for i, name in enumerate(names)]
for server in servers: server.start()
print('serving', flush=True)
for server in servers: server.join()
";

/// Answers one client, at length, and is gone.
const LAST_WORDS: &str = "\
import socket
client, _ = socket.socket(fileno=3).accept()
print('serving', flush=True)
client.sendall(bytes(range(256)) * 8192)
";

/// Runs the words behind it with these descriptors, as systemd does.
const HAND_OVER: &str = r#"export LISTEN_PID=$$; exec "$@""#;

/// Where descriptors that are handed over lie until then: above all that is used meanwhile.
const PARKED: i32 = 100;

/// A socket with the name that it is handed over by.
type Named<'a> = (&'a str, BorrowedFd<'a>);

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "protocol": "tcp", "port": number, "socketActivated": true})
}

/// The manifest of a pod whose app has these ports.
fn manifest(script: &str, ports: &[Value]) -> String {
    static IMAGE: OnceLock<String> = OnceLock::new();
    let id = IMAGE.get_or_init(|| image_id(&python_docker_archive(), data()));
    let manifest = json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{"name": "web", "image": {"id": format!("sha512-{id}")}, "app": {
            "exec": ["/usr/bin/python3", "-c", script], "user": "0", "group": "0", "ports": ports,
        }}],
    });
    manifest.to_string()
}

/// A pod whose app has these ports and is started with these sockets.
fn pod(script: &str, ports: &[Value], sockets: &[Named<'_>]) -> Pod {
    let directory = own_data();
    let file = directory.path().join("pod.json");
    fs::write(&file, manifest(script, ports)).expect("the manifest");
    let mut words = vec![format!("--dir={}", data().display()), "run".to_owned()];
    if let Ok(stage1) = std::env::var(STAGE1_VARIABLE) {
        words.push(format!("--stage1={stage1}"));
    }
    words.push(format!("--pod-manifest={}", file.display()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Pod {
        running: start(Call::of(&words), sockets),
        _directory: directory,
    }
}

/// Starts the call with copies of these sockets: nobody else starts anything meanwhile.
fn start(call: Call, sockets: &[Named<'_>]) -> Running {
    let parked: Vec<OwnedFd> = sockets
        .iter()
        .map(|(_, socket)| {
            let parked = fcntl_dupfd_cloexec(socket, PARKED).expect("a free descriptor");
            fcntl_setfd(&parked, FdFlags::empty()).expect("a descriptor");
            parked
        })
        .collect();
    let moves = (3..)
        .zip(&parked)
        .map(|(number, parked)| format!("exec {number}<&{0} {0}<&-; ", parked.as_raw_fd()));
    let script = moves.collect::<String>() + HAND_OVER;
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    call.under(["bash", "-c", &script, "bash"])
        .variable("LISTEN_FDS", &sockets.len().to_string())
        .variable("LISTEN_FDNAMES", &names.join(":"))
        .start()
}

struct Pod {
    running: Running,
    _directory: tempfile::TempDir,
}

fn tcp() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).expect("somebody listens")
}

/// What comes until the end.
fn rest(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("text and its end");
    text
}

fn stop(pod: Pod) {
    pod.running.signal(Signal::SIGTERM).finish().exits(0);
}

/// A pod that sends back what comes to the port of this number.
fn echo(listener: &TcpListener, number: u16) -> Pod {
    let mut pod = pod(
        ECHO,
        &[port("http", number)],
        &[("web.socket", listener.as_fd())],
    );
    pod.running = pod.running.wait_for("serving");
    pod
}

#[test]
fn a_client_is_served_and_each_direction_ends_by_itself() {
    let (listener, number) = tcp();
    // It waits for the pod, as in any start by a socket.
    let mut client = connect(number);
    client.write_all(b"hello").expect("a connection");
    let pod = echo(&listener, number);
    let mut answer = [0; 5];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"hello");
    client.shutdown(Shutdown::Write).expect("a connection");
    let own = client.local_addr().expect("an address").port();
    let last = rest(&client);
    assert!(last.starts_with("<5 at http from ('127.0.0.1', "), "{last}");
    // Only the socket itself shows who the client is.
    assert_eq!(last.contains(&own.to_string()), !has_machines(), "{last}");
    stop(pod);
}

#[test]
fn several_clients_at_a_time_have_each_their_own_bytes() {
    let (listener, number) = tcp();
    let pod = echo(&listener, number);
    let bytes: Vec<u8> = (0..2_u32 << 20).flat_map(u32::to_le_bytes).collect();
    let mut idle = connect(number);
    idle.write_all(b"one").expect("a connection");
    let clients: Vec<_> = (0..3)
        .map(|turn| {
            let mut sent = bytes.clone();
            sent.rotate_left(turn);
            std::thread::spawn(move || {
                let client = connect(number);
                let mut to = client.try_clone().expect("a descriptor");
                let copy = sent.clone();
                let writer = std::thread::spawn(move || {
                    to.write_all(&copy).expect("a connection");
                    to.shutdown(Shutdown::Write).expect("a connection");
                });
                let mut received = Vec::new();
                let mut from = &client;
                from.read_to_end(&mut received).expect("all of it");
                writer.join().expect("the writer ends");
                let said = received.split_off(sent.len().min(received.len()));
                assert!(received == sent, "the bytes differ");
                assert!(
                    said.starts_with(b"<8388608 "),
                    "{}",
                    String::from_utf8_lossy(&said)
                );
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client is served");
    }
    idle.shutdown(Shutdown::Write).expect("a connection");
    assert!(rest(&idle).starts_with("one<3 "));
    stop(pod);
}

#[test]
fn clients_that_go_away_make_room_for_others() {
    let (listener, number) = tcp();
    let pod = echo(&listener, number);
    // More than are connected at a time.
    for _ in 0..150 {
        connect(number).write_all(b"bye").expect("a connection");
    }
    let mut client = connect(number);
    client.write_all(b"still there?").expect("a connection");
    client.shutdown(Shutdown::Write).expect("a connection");
    assert!(rest(&client).starts_with("still there?<12 "));
    stop(pod);
}

#[test]
fn sockets_go_to_ports_by_name_and_local_ones_too() {
    let directory = own_data();
    let path = directory.path().join("control");
    let local = UnixListener::bind(&path).expect("a socket");
    let (listener, number) = tcp();
    let ports = [port("http", 80), port("control", 81)];
    let sockets = [("control", local.as_fd()), ("http", listener.as_fd())];
    let mut pod = pod(ECHO, &ports, &sockets);
    pod.running = pod.running.wait_for("serving");
    let mut client = UnixStream::connect(&path).expect("somebody listens");
    client.write_all(b"a").expect("a connection");
    client.shutdown(Shutdown::Write).expect("a connection");
    assert!(rest(&client).starts_with("a<1 at control from "));
    let mut client = connect(number);
    client.write_all(b"bc").expect("a connection");
    client.shutdown(Shutdown::Write).expect("a connection");
    assert!(rest(&client).starts_with("bc<2 at http from "));
    stop(pod);
}

#[test]
fn the_end_of_the_pod_is_that_of_its_clients() {
    let (listener, number) = tcp();
    let pod = echo(&listener, number);
    let mut client = connect(number);
    client.write_all(b"x").expect("a connection");
    let mut answer = [0; 1];
    client.read_exact(&mut answer).expect("an answer");
    stop(pod);
    assert!(matches!(client.read(&mut answer), Ok(0) | Err(_)));
}

#[test]
fn what_an_app_wrote_before_its_end_arrives() {
    let (listener, number) = tcp();
    let mut client = connect(number);
    let mut pod = pod(
        LAST_WORDS,
        &[port("http", number)],
        &[("x", listener.as_fd())],
    );
    pod.running = pod.running.wait_for("serving");
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("all of it");
    assert_eq!(received.len(), 256 * 8192);
    assert!(received.iter().zip((0..=255).cycle()).all(|(a, b)| *a == b));
    pod.running.finish().exits(0);
}

#[test]
fn sockets_and_ports_that_do_not_meet_are_named() {
    let (listener, number) = tcp();
    let sockets = [("web.socket", listener.as_fd())];
    let other = number.checked_add(1).unwrap_or(1);
    let refused = |ports: &[Value], sockets: &[Named<'_>], message: &str| {
        let pod = pod(ECHO, ports, sockets);
        pod.running.finish().exits(254).says(message);
    };
    let nobody = format!(
        "TCP port {number} (\"web.socket\", descriptor 3) (LISTEN_FDS): no app has a socketActivated port for it"
    );
    refused(&[port("http", other)], &sockets, &nobody);
    let nothing =
        "app web: port http is socketActivated, and no socket for it was handed over (LISTEN_FDS)";
    refused(&[port("http", number)], &[], nothing);
    let client = connect(number);
    // The pods before had it not block, and the client comes when the kernel gets to it.
    listener.set_nonblocking(false).expect("a socket");
    let (connection, _) = listener.accept().expect("a client");
    refused(
        &[port("http", number)],
        &[("http", connection.as_fd())],
        "it does not listen (Accept=yes is not supported)",
    );
    drop(client);
}

/// The first client of the documented socket.
const FIRST_CLIENT: &str =
    "ExecStart=bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; echo hello >&3; head -n 1 <&3'";

#[test]
fn the_documented_socket_starts_its_pod_under_systemd() {
    let port: Value = serde_json::from_str(&documented(2)).expect("a port");
    let unit = documented_unit(data(), "--pod-manifest=DIRECTORY/pod.json");
    let units = [
        ("pod.json", manifest(ECHO, &[port])),
        ("web.socket", documented(1)),
        ("web.service", unit),
    ];
    let (seen, said) = runs_and_stops_under_systemd("web.socket", FIRST_CLIENT, &units);
    assert!(seen.lines().any(|line| line == "hello"), "{seen}\n{said}");
}
