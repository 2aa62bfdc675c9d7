use super::*;
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::metadata::{MAX_FORM, RequestId};
use proptest::prelude::*;

const UUID: &str = "6733c088-a507-4694-aabf-fb7c31d0b9c2";
const OTHER: &str = "7733c088-a507-4694-aabf-fb7c31d0b9c2";

const IMAGE: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web",
    "annotations":[{"name":"a","value":"image"},{"name":"b","value":"image"}]}"#;

fn manifest() -> String {
    let id = "0".repeat(128);
    format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","annotations":[{{"name":"p","value":"q"}}],
            "apps":[{{"name":"web","image":{{"id":"sha512-{id}"}},"annotations":[{{"name":"b","value":"pod"}}]}}]}}"#
    )
}

fn service(uuid: &str, key: u8) -> Service {
    let image = Blob::try_from(IMAGE.as_bytes()).unwrap();
    let spec = MetadataSpec {
        uuid: Text::try_from(uuid).unwrap(),
        token: Text::try_from("token").unwrap(),
        key: Blob::try_from(vec![key; KEY_LENGTH]).unwrap(),
        images: vec![image].try_into().unwrap(),
    };
    Service::new(&spec, &manifest().into_bytes().try_into().unwrap()).unwrap()
}

fn ask(service: &Service, method: Method, path: &str, form: &[u8]) -> Answer {
    service.answer(&Request {
        id: RequestId(0),
        method,
        path: Text::try_from(path).unwrap(),
        form: Blob::try_from(form).unwrap(),
    })
}

fn get(service: &Service, path: &str) -> Answer {
    ask(service, Method::Get, path, b"")
}

fn post(service: &Service, entry: &str, body: &str) -> Answer {
    let path = format!("/token/acMetadata/v1/pod/hmac/{entry}");
    ask(service, Method::Post, &path, body.as_bytes())
}

/// A signature as a form carries it.
fn signature(service: &Service, content: &str) -> String {
    let answer = post(service, "sign", &format!("content={content}"));
    assert_eq!(
        (answer.status, answer.media_type),
        (Status::Ok, MediaType::Text)
    );
    let text = String::from_utf8(answer.body.into_vec()).unwrap();
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
    let id = format!("sha512-{}", "0".repeat(128));
    for (entry, media_type, body) in [
        (
            "pod/annotations",
            MediaType::Json,
            r#"[{"name":"p","value":"q"}]"#,
        ),
        ("pod/manifest", MediaType::Json, &manifest()),
        ("pod/uuid", MediaType::Text, UUID),
        (
            "apps/web/annotations",
            MediaType::Json,
            r#"[{"name":"a","value":"image"},{"name":"b","value":"pod"}]"#,
        ),
        ("apps/web/image/manifest", MediaType::Json, IMAGE),
        ("apps/web/image/id", MediaType::Text, &id),
    ] {
        let answer = get(&service, &format!("/token/acMetadata/v1/{entry}"));
        assert_eq!(answer.status, Status::Ok, "{entry}");
        assert_eq!(answer.media_type, media_type, "{entry}");
        assert_eq!(&*answer.body, body.as_bytes(), "{entry}");
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let service = service(UUID, 1);
    for path in [
        "",
        "/",
        "/token",
        "/acMetadata/v1/pod/uuid",
        "/other/acMetadata/v1/pod/uuid",
        "//acMetadata/v1/pod/uuid",
        "/token/acMetadata/v1/",
        "/token/acMetadata/v2/pod/uuid",
        "/token/acMetadata/v1/pod/uuid/",
        "/token/acMetadata/v1/apps/db/image/id",
        "/token/acMetadata/v1/apps/web",
        "/token/acMetadata/v1/apps/../pod/uuid",
    ] {
        assert_eq!(get(&service, path).status, Status::NotFound, "{path}");
    }
}

#[test]
fn a_wrong_method_learns_the_right_one() {
    let service = service(UUID, 1);
    for (method, entry, allow) in [
        (Method::Post, "pod/uuid", Method::Get),
        (Method::Other, "pod/uuid", Method::Get),
        (Method::Get, "pod/hmac/sign", Method::Post),
    ] {
        let path = format!("/token/acMetadata/v1/{entry}");
        let answer = ask(&service, method, &path, b"content=x");
        assert_eq!(answer.status, Status::Only(allow));
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
    assert_eq!(String::from_utf8(answer.body.into_vec()).unwrap(), expected);
}

#[test]
fn forms_that_lack_something_are_refused() {
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
    assert_eq!(post(&service, "sign", &long[..MAX_FORM]).status, Status::Ok);
}

proptest! {
    #[test]
    fn no_request_panics(post in any::<bool>(), path in "(/token/acMetadata/v1/)?[a-z./%]{0,40}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let method = if post { Method::Post } else { Method::Get };
        let _ = ask(&service(UUID, 1), method, &path, &body);
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

#[test]
fn an_app_that_comes_is_known_until_it_goes() {
    let mut service = service(UUID, 1);
    let db = AppName::try_from("db".to_owned()).unwrap();
    let image: Json = Blob::try_from(IMAGE.as_bytes()).unwrap();
    let id = "1".repeat(128);
    let more = format!(r#"}},{{"name":"db","image":{{"id":"sha512-{id}"}}}}]}}"#);
    let with_db = manifest().strip_suffix("}]}").unwrap().to_owned() + &more;
    let with_db: Json = with_db.into_bytes().try_into().unwrap();
    let status = |service: &Service| get(service, "/token/acMetadata/v1/apps/db/image/id").status;
    let manifest_has_db = |service: &Service| {
        let answer = get(service, "/token/acMetadata/v1/pod/manifest");
        PodManifest::parse(&answer.body)
            .unwrap()
            .app("db")
            .is_some()
    };
    service.add(&db, &with_db, &image).unwrap();
    assert_eq!(
        (status(&service), manifest_has_db(&service)),
        (Status::Ok, true)
    );
    service.remove(&db);
    assert_eq!(status(&service), Status::NotFound);
    assert!(!manifest_has_db(&service));
    let other = AppName::try_from("other".to_owned()).unwrap();
    assert!(service.add(&other, &with_db, &image).is_err());
}
