use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::{Heard, MAX_MESSAGE, MAX_MESSAGES, NotifySocket};

fn program(socket: &NotifySocket) -> UnixDatagram {
    let name = socket.address().strip_prefix('@').unwrap();
    let program = UnixDatagram::unbound().unwrap();
    program.set_nonblocking(true).unwrap();
    program
        .connect_addr(&SocketAddr::from_abstract_name(name).unwrap())
        .unwrap();
    program
}

fn pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[test]
fn a_program_is_ready_when_it_says_so_itself() {
    let mut socket = NotifySocket::open().unwrap();
    let program = program(&socket);
    assert_eq!(socket.hear(|_| true), Heard::Nothing);
    for other in ["STATUS=READY=1", "READY=0", "READY=1 ", "", "\n\n"] {
        program.send(other.as_bytes()).unwrap();
        assert_eq!(socket.hear(|_| true), Heard::Nothing, "{other:?}");
    }
    program.send(b"STATUS=up\nREADY=1\n").unwrap();
    assert_eq!(socket.hear(|sender| sender == pid()), Heard::Ready);
}

#[test]
fn of_others_nothing_is_heard() {
    let mut socket = NotifySocket::open().unwrap();
    program(&socket).send(b"READY=1").unwrap();
    assert_eq!(socket.hear(|sender| sender != pid()), Heard::Nothing);
}

#[test]
fn what_is_too_long_is_not_heard() {
    let mut socket = NotifySocket::open().unwrap();
    let mut message = b"READY=1\n".to_vec();
    message.resize(MAX_MESSAGE + 1, b'x');
    program(&socket).send(&message).unwrap();
    assert_eq!(socket.hear(|_| true), Heard::Nothing);
}

#[test]
fn a_ready_program_goes_on_talking_to_nobody() {
    let mut socket = NotifySocket::open().unwrap();
    let program = program(&socket);
    program.send(b"READY=1").unwrap();
    program.send(b"WATCHDOG=1").unwrap();
    assert_eq!(socket.hear(|_| true), Heard::Ready);
    for _ in 0..10_000 {
        program.send(b"WATCHDOG=1").unwrap();
    }
    assert!(socket.receive(&mut [0; 16]).is_none());
}

#[test]
fn nobody_listens_for_ever() {
    let mut socket = NotifySocket::open().unwrap();
    let program = program(&socket);
    for _ in 1..MAX_MESSAGES {
        program.send(b"STATUS=starting").unwrap();
        assert_eq!(socket.hear(|_| true), Heard::Nothing);
    }
    program.send(b"STATUS=starting").unwrap();
    assert_eq!(socket.hear(|_| true), Heard::Enough);
    program.send(b"READY=1").unwrap();
    assert_eq!(socket.hear(|_| true), Heard::Nothing);
}

#[test]
fn before_that_a_flood_waits() {
    let socket = NotifySocket::open().unwrap();
    let program = program(&socket);
    let flood = (0..100_000).find_map(|_| program.send(b"STATUS=x").err());
    assert_eq!(flood.unwrap().kind(), ErrorKind::WouldBlock);
}
