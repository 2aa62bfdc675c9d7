use super::*;
use proptest::prelude::*;

const POST: &str = "POST /t/acMetadata/v1/pod/hmac/sign?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\ncontent=x";

#[test]
fn a_request_is_whole_when_its_last_byte_is_there() {
    for end in 0..POST.len() {
        assert_eq!(parse(&POST.as_bytes()[..end]), Parsed::Partial, "{end}");
    }
    let request = Request {
        method: "POST",
        path: "/t/acMetadata/v1/pod/hmac/sign",
        body: b"content=x",
    };
    assert_eq!(parse(POST.as_bytes()), Parsed::Whole(request));
    assert_eq!(
        parse(format!("{POST}GET /").as_bytes()),
        Parsed::Whole(request)
    );
}

#[test]
fn ambiguous_lengths_are_refused() {
    for (headers, status) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("Content-Length: +1\r\n", 400),
        ("Content-Length: 1, 1\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 16385\r\n", 413),
        ("Content-Length: 99999999999999999999999\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", 501),
    ] {
        let text = format!("POST / HTTP/1.1\r\n{headers}\r\n");
        assert_eq!(parse(text.as_bytes()), Parsed::Refused(status), "{headers}");
    }
}

#[test]
fn heads_have_a_bound() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
    assert_eq!(parse(long.as_bytes()), Parsed::Refused(431));
    let many = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "A: b\r\n".repeat(MAX_HEADERS + 1)
    );
    assert_eq!(parse(many.as_bytes()), Parsed::Refused(431));
    assert_eq!(parse(b"\0\0\0\0"), Parsed::Refused(400));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_change_of_a_request_makes_its_body_long(position in 0..POST.len(), byte: u8) {
        let mut bytes = POST.as_bytes().to_vec();
        bytes[position] = byte;
        if let Parsed::Whole(request) = parse(&bytes) {
            prop_assert!(request.body.len() <= MAX_FORM);
            prop_assert!(!request.path.contains('?'));
        }
    }
}
