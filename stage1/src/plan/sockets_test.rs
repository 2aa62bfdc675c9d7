use super::super::tests::{image, input, pod};
use super::super::{Image, Pod};
use super::*;

/// Of each app.
type Ports<'a> = &'a [&'a [String]];

const EXEC: &str = r#","exec":["/bin/app"]"#;

fn port(name: &str, protocol: &str, number: u16) -> String {
    format!(r#"{{"name":"{name}","protocol":"{protocol}","port":{number},"socketActivated":true}}"#)
}

/// Of an app with these ports.
fn with_ports(ports: &[String]) -> Image {
    image(&format!(r#"{EXEC},"ports":[{}]"#, ports.join(",")))
}

fn socket(address: Address, name: Option<&str>) -> HostSocket {
    HostSocket {
        number: 3,
        name: name.map(str::to_owned),
        address,
        kind: SocketKind::Listening,
    }
}

/// A pod of apps with these ports that is started with these sockets.
fn planned(ports: Ports<'_>, sockets: &[HostSocket], container: bool) -> Result<Pod, String> {
    let images: Vec<Image> = ports.iter().map(|ports| with_ports(ports)).collect();
    let apps = [("web", 'a', ""), ("db", 'b', "")];
    let manifest = pod(&apps[..ports.len()], "");
    let input = Input {
        sockets,
        shares_kernel: container,
        ..input(&manifest, &images)
    };
    super::super::resolve(&input).map_err(|error| error.to_string())
}

#[test]
fn sockets_go_to_ports_of_their_number_or_name() {
    let web = [port("http", "tcp", 80), port("admin", "tcp", 81)];
    let db = [port("sql", "tcp", 5432)];
    let sockets = [
        socket(Address::Inet6(80), None),
        socket(Address::Unix, Some("sql")),
        socket(Address::Inet(9999), Some("admin")),
        socket(Address::Inet(80), Some("web.socket")),
    ];
    let pod = planned(&[&web, &db], &sockets, false).unwrap();
    let listeners = pod.plan.listeners.iter();
    let listeners: Vec<_> = listeners.map(|l| (l.name.as_str(), l.socket)).collect();
    assert_eq!(
        listeners,
        [
            ("http", ListenerSocket::Inet6 { port: 80 }),
            ("sql", ListenerSocket::Unix),
            ("admin", ListenerSocket::Inet { port: 9999 }),
            ("http", ListenerSocket::Inet { port: 80 }),
        ]
    );
    assert_eq!(&*pod.processes[0].listeners, [0, 2, 3]);
    assert_eq!(&*pod.processes[1].listeners, [1]);
}

#[test]
fn a_pod_on_the_host_s_kernel_gets_the_sockets_themselves() {
    let dns = [port("dns", "udp", 53)];
    let datagrams = HostSocket {
        kind: SocketKind::Datagrams,
        ..socket(Address::Inet(53), None)
    };
    let pod = planned(&[&dns], std::slice::from_ref(&datagrams), true).unwrap();
    assert_eq!(pod.plan.listeners[0].socket, ListenerSocket::Given);
    let message = "UDP port 53 (descriptor 3) (LISTEN_FDS): a socket of datagrams cannot be handed into a machine";
    assert_eq!(planned(&[&dns], &[datagrams], false).unwrap_err(), message);
}

#[test]
fn a_port_of_several_numbers_takes_each() {
    let many = r#"{"name":"many","protocol":"tcp","port":8000,"count":3,"socketActivated":true}"#;
    let ports = [many.to_owned()];
    let at = |number| planned(&[&ports], &[socket(Address::Inet(number), None)], false);
    assert!(at(7999).is_err());
    assert!(at(8000).is_ok());
    assert!(at(8002).is_ok());
    assert!(at(8003).is_err());
}

#[test]
fn what_does_not_fit_is_named() {
    let http = [port("http", "tcp", 80)];
    let connection = HostSocket {
        kind: SocketKind::Connection,
        ..socket(Address::Inet(80), None)
    };
    let udp = HostSocket {
        kind: SocketKind::Datagrams,
        ..socket(Address::Inet(80), Some("http"))
    };
    let both: Ports<'_> = &[&http, &http];
    let cases: [(Ports<'_>, &[HostSocket], &str); 6] = [
        (
            &[&http],
            &[
                socket(Address::Inet(80), None),
                socket(Address::Unix, Some("x")),
            ],
            "a local socket (\"x\", descriptor 3) (LISTEN_FDS): no app has a socketActivated port for it",
        ),
        (
            &[&[]],
            &[socket(Address::Inet(80), None)],
            "TCP port 80 (descriptor 3) (LISTEN_FDS): no app has a socketActivated port for it",
        ),
        (
            &[&http],
            &[],
            "app web: port http is socketActivated, and no socket for it was handed over (LISTEN_FDS)",
        ),
        (
            both,
            &[socket(Address::Inet(80), None)],
            "TCP port 80 (descriptor 3) (LISTEN_FDS): port http of app web and port http of app db are both for it",
        ),
        (
            &[&http],
            &[connection],
            "TCP port 80 (descriptor 3) (LISTEN_FDS): it does not listen (Accept=yes is not supported)",
        ),
        (
            &[&http],
            &[udp],
            "UDP port 80 (\"http\", descriptor 3) (LISTEN_FDS): port http has another protocol",
        ),
    ];
    for (ports, sockets, message) in cases {
        assert_eq!(planned(ports, sockets, false).unwrap_err(), message);
    }
}

#[test]
fn a_port_that_is_not_socket_activated_only_documents() {
    let ports = [r#"{"name":"http","protocol":"tcp","port":80}"#.to_owned()];
    assert!(planned(&[&ports], &[], false).is_ok());
    assert!(planned(&[&ports], &[socket(Address::Inet(80), None)], false).is_err());
}
