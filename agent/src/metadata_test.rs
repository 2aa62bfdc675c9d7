use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;

const ID: RequestId = RequestId(7);

fn client() -> (Client, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Client::new(ours.into(), 0), theirs)
}

fn asked(client: &mut Client, app: &mut UnixStream, text: &str) -> Request {
    app.write_all(text.as_bytes()).unwrap();
    match client.go_on(ID) {
        Progress::Ask(request) => *request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_in_two_parts_is_asked_and_its_answer_written() {
    let (mut client, mut app) = client();
    app.write_all(b"GET /t/x?q HT").unwrap();
    assert!(matches!(client.go_on(ID), Progress::Read));
    let request = asked(&mut client, &mut app, "TP/1.1\r\n\r\n");
    assert_eq!(
        (request.id, request.method, request.path.as_str()),
        (ID, Method::Get, "/t/x")
    );
    let answer = Answer {
        status: Status::Ok,
        media_type: MediaType::Json,
        body: Blob::try_from(&b"[]"[..]).unwrap(),
    };
    assert!(matches!(client.answer(&answer), Progress::Read));
    let mut said = String::new();
    app.read_to_string(&mut said).unwrap();
    assert_eq!(
        said,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
    );
    drop(app);
    assert!(matches!(client.go_on(ID), Progress::Gone));
}

#[test]
fn what_is_no_request_is_refused_and_what_follows_is_dropped() {
    for (text, start) in [
        ("no request at all\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1024)),
            "HTTP/1.1 414 ",
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 16385\r\n\r\n".to_owned(),
            "HTTP/1.1 413 ",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "HTTP/1.1 501 ",
        ),
    ] {
        let (mut client, mut app) = client();
        app.write_all(text.as_bytes()).unwrap();
        assert!(matches!(client.go_on(ID), Progress::Read), "{text}");
        app.write_all(b"more").unwrap();
        assert!(matches!(client.go_on(ID), Progress::Read), "{text}");
        let mut said = String::new();
        app.read_to_string(&mut said).unwrap();
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn a_client_that_leaves_is_gone_wherever_it_stands() {
    let (mut client, app) = client();
    drop(app);
    assert!(matches!(client.go_on(ID), Progress::Gone));
    let (mut client, mut app) = self::client();
    asked(&mut client, &mut app, "GET / HTTP/1.1\r\n\r\n");
    assert!(client.is_asking());
    drop(app);
    assert!(matches!(client.go_on(ID), Progress::Gone));
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let (mut client, mut app) = client();
    let request = asked(&mut client, &mut app, "PUT / HTTP/1.1\r\n\r\n");
    assert_eq!(request.method, Method::Other);
    let answer = Answer {
        status: Status::Only(Method::Post),
        media_type: MediaType::Text,
        body: Blob::default(),
    };
    client.answer(&answer);
    let mut said = String::new();
    app.read_to_string(&mut said).unwrap();
    assert!(
        said.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && said.contains("Allow: POST\r\n"),
        "{said}"
    );
}
