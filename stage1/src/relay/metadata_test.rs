use super::*;
use proptest::prelude::*;

const UUID: &str = "6733c088-a507-4694-aabf-fb7c31d0b9c2";
const OTHER: &str = "7733c088-a507-4694-aabf-fb7c31d0b9c2";

fn service(uuid: &str, key: u8) -> Service {
    let app = AppMetadata {
        annotations: br#"[{"name":"a","value":"b"}]"#.to_vec(),
        image_manifest: br#"{"acKind":"ImageManifest"}"#.to_vec(),
        image_id: "sha512-00".to_owned(),
    };
    let pod = PodMetadata {
        uuid: uuid.parse().unwrap(),
        annotations: b"[]".to_vec(),
        manifest: br#"{"acKind":"PodManifest"}"#.to_vec(),
        apps: BTreeMap::from([("web".to_owned(), app)]),
    };
    Service::new(pod, [key; KEY_LENGTH])
}

fn post(service: &Service, entry: &str, body: &str) -> Answer {
    let path = format!("/acMetadata/v1/pod/hmac/{entry}");
    service.answer("POST", &path, body.as_bytes())
}

/// A signature as a form carries it.
fn signature(service: &Service, content: &str) -> String {
    let answer = post(service, "sign", &format!("content={content}"));
    assert_eq!(answer.status, Status::Ok);
    assert_eq!(answer.media_type.as_str(), "text/plain; charset=us-ascii");
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(STANDARD.decode(&text).unwrap().len(), 64);
    text.replace('+', "%2B")
}

fn verify(service: &Service, content: &str, uuid: &str, signature: &str) -> Status {
    let body = format!("content={content}&uuid={uuid}&signature={signature}");
    post(service, "verify", &body).status
}

#[test]
fn every_entry_has_its_media_type() {
    let service = service(UUID, 1);
    let (json, text) = ("application/json", "text/plain; charset=us-ascii");
    for (entry, media_type, body) in [
        ("pod/annotations", json, "[]"),
        ("pod/manifest", json, r#"{"acKind":"PodManifest"}"#),
        ("pod/uuid", text, UUID),
        (
            "apps/web/annotations",
            json,
            r#"[{"name":"a","value":"b"}]"#,
        ),
        (
            "apps/web/image/manifest",
            json,
            r#"{"acKind":"ImageManifest"}"#,
        ),
        ("apps/web/image/id", text, "sha512-00"),
    ] {
        let answer = service.answer("GET", &format!("/acMetadata/v1/{entry}"), b"");
        assert_eq!(answer.status, Status::Ok, "{entry}");
        assert_eq!(answer.media_type.as_str(), media_type, "{entry}");
        assert_eq!(answer.body, body.as_bytes(), "{entry}");
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let service = service(UUID, 1);
    for path in [
        "",
        "/",
        "/acMetadata/v1/",
        "/acMetadata/v2/pod/uuid",
        "/acMetadata/v1/pod/uuid/",
        "/acMetadata/v1/apps/db/image/id",
        "/acMetadata/v1/apps/web",
        "/acMetadata/v1/apps/../pod/uuid",
    ] {
        assert_eq!(
            service.answer("GET", path, b"").status,
            Status::NotFound,
            "{path}"
        );
    }
}

#[test]
fn a_wrong_method_learns_the_right_one() {
    let service = service(UUID, 1);
    for (method, entry, allow) in [
        ("POST", "pod/uuid", "GET"),
        ("get", "pod/uuid", "GET"),
        ("GET", "pod/hmac/sign", "POST"),
    ] {
        let answer = service.answer(method, &format!("/acMetadata/v1/{entry}"), b"content=x");
        assert_eq!(answer.status, Status::MethodNotAllowed { allow });
    }
}

#[test]
fn a_signature_holds_for_its_content_pod_and_key_alone() {
    let (own, foreign) = (service(UUID, 1), service(OTHER, 2));
    let good = signature(&own, "hello");
    assert_eq!(verify(&own, "hello", UUID, &good), Status::Ok);
    assert_eq!(verify(&own, "hullo", UUID, &good), Status::Forbidden);
    assert_eq!(verify(&own, "hello", OTHER, &good), Status::Forbidden);
    assert_eq!(verify(&own, "hello", UUID, "AAAA"), Status::Forbidden);
    assert_eq!(verify(&foreign, "hello", UUID, &good), Status::Forbidden);
    let foreign_signature = signature(&foreign, "hello");
    assert_eq!(
        verify(&own, "hello", OTHER, &foreign_signature),
        Status::Forbidden
    );
}

/// RFC 2104 with SHA-512, computed with Python's `hmac`.
#[test]
fn the_signature_is_the_one_of_the_standard() {
    let expected =
        "ZRgV4p2d/+WW4tbAlRyQNARN03YdY8Sl/qk+5pn3v1Fxu91Re+EQA9jyhFDzBq/lcDiEvO64vPXKSjpM8zSFCA==";
    let answer = post(&service(UUID, 1), "sign", "content=hello");
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
}

#[test]
fn forms_that_lack_something_or_are_too_long_are_refused() {
    let service = service(UUID, 1);
    for body in ["", "content=", "uuid=x", "content=a&content=b"] {
        assert_eq!(
            post(&service, "sign", body).status,
            Status::BadRequest,
            "{body}"
        );
    }
    assert_eq!(verify(&service, "a", "no-uuid", "AAAA"), Status::BadRequest);
    assert_eq!(verify(&service, "a", UUID, "%21"), Status::BadRequest);
    let long = format!("content={}", "x".repeat(MAX_FORM));
    assert_eq!(post(&service, "sign", &long).status, Status::TooLarge);
    assert_eq!(post(&service, "sign", &long[..MAX_FORM]).status, Status::Ok);
}

proptest! {
    #[test]
    fn no_request_panics(method in "GET|POST|.{0,8}", path in "(/acMetadata/v1/)?[a-z./%]{0,40}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = service(UUID, 1).answer(&method, &path, &body);
    }

    #[test]
    fn only_the_signature_itself_holds(position in 0_usize..64, flip in 1_u8..) {
        let service = service(UUID, 1);
        let mut bytes = STANDARD.decode(signature(&service, "x").replace("%2B", "+")).unwrap();
        bytes[position] ^= flip;
        let wrong = STANDARD.encode(bytes).replace('+', "%2B");
        prop_assert_eq!(verify(&service, "x", UUID, &wrong), Status::Forbidden);
    }
}
