use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn a_guest_s_socket_has_the_host_s_port_where_it_can() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let taken = make(ListenerSocket::Inet { port }).unwrap();
    let other = TcpListener::from(taken).local_addr().unwrap();
    assert!(other.ip().is_loopback() && other.port() != port);
    drop(free);
    let made = make(ListenerSocket::Inet { port }).unwrap();
    assert_eq!(TcpListener::from(made).local_addr().unwrap().port(), port);
    let made = make(ListenerSocket::Inet6 { port }).unwrap();
    let address = TcpListener::from(made).local_addr().unwrap();
    assert_eq!(address.to_string(), format!("[::1]:{port}"));
}

#[test]
fn clients_are_connected_to_it_until_it_is_closed() {
    let listener = make(ListenerSocket::Unix).unwrap();
    let mut client = UnixStream::from(connect_to(&listener).unwrap());
    client.write_all(b"hello").unwrap();
    let listener = UnixListener::from(listener);
    let (mut server, _) = listener.accept().unwrap();
    let mut text = [0; 5];
    server.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
}

#[test]
fn all_that_are_passed_on_at_a_time_find_room() {
    let listeners = [ListenerSocket::Unix, ListenerSocket::Inet { port: 0 }];
    for listener in listeners.map(|listener| make(listener).unwrap()) {
        let connect = |_| connect_to(&listener);
        let connected: Vec<_> = (0..MAX_PASSED_ON).map(connect).collect();
        assert!(connected.iter().all(Result::is_ok));
    }
}

#[test]
fn one_that_was_to_be_given_cannot_be_made() {
    assert!(matches!(
        make(ListenerSocket::Given),
        Err(ListenerError::Missing)
    ));
}

#[test]
fn a_program_is_told_how_many_there_are_and_their_names() {
    let variables = variables(&["http", "admin"]);
    assert_eq!(variables[0], ("LISTEN_FDS", "2".to_owned()));
    assert_eq!(variables[1], ("LISTEN_FDNAMES", "http:admin".to_owned()));
}
