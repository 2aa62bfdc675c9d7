use super::*;

fn parsed(text: &str) -> (Form, String, Option<String>) {
    let reference = Reference::parse(text).unwrap();
    let path = reference.path.to_str().unwrap().to_owned();
    (reference.form, path, reference.tag)
}

#[test]
fn transports_as_skopeo_writes_them() {
    let tag = |tag: &str| Some(tag.to_owned());
    assert_eq!(
        parsed("oci:/tmp/none/dir:v1"),
        (Form::OciLayout, "/tmp/none/dir".to_owned(), tag("v1"))
    );
    assert_eq!(
        parsed("oci:/tmp/none/dir"),
        (Form::OciLayout, "/tmp/none/dir".to_owned(), None)
    );
    assert_eq!(
        parsed("docker-archive:x.tar:localhost:5000/a/b:7"),
        (
            Form::DockerArchive,
            "x.tar".to_owned(),
            tag("localhost:5000/a/b:7")
        )
    );
    assert_eq!(
        parsed("file:///tmp/a.aci"),
        (Form::Any, "/tmp/a.aci".to_owned(), None)
    );
    assert_eq!(parsed("a.aci"), (Form::Any, "a.aci".to_owned(), None));
}

#[test]
fn what_needs_a_network_says_so() {
    for remote in ["oci://redis", "https://a/b.aci"] {
        let error = Reference::parse(remote).unwrap_err().to_string();
        assert!(error.contains("not supported yet"), "{remote}: {error}");
    }
    assert!(matches!(
        Reference::parse("oci::v1"),
        Err(SourceError::Empty)
    ));
}

#[test]
fn what_is_no_file_is_of_a_registry() {
    let of_registry = |text: &str| match Source::parse(text).unwrap() {
        Source::Registry(reference) => Some(reference.to_string()),
        Source::Local | Source::Web(_) | Source::Name(_) => None,
    };
    for (text, expected) in [
        ("docker://redis", "docker.io/library/redis:latest"),
        ("redis:7", "docker.io/library/redis:7"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        ("127.0.0.1:5000/a:v1", "127.0.0.1:5000/a:v1"),
    ] {
        assert_eq!(of_registry(text).as_deref(), Some(expected), "{text}");
    }
    for local in [
        "./redis",
        "/redis",
        "absent.aci",
        "a/b.tar",
        "oci:redis",
        "docker-archive:a:b",
        "src",
    ] {
        assert_eq!(of_registry(local), None, "{local}");
    }
    for url in ["https://a/b", "http://localhost/b.aci"] {
        assert_eq!(Source::parse(url), Ok(Source::Web(url.to_owned())));
    }
    let name = "aci://example.com/a:1".to_owned();
    assert_eq!(Source::parse(&name), Ok(Source::Name(name)));
    assert!(Source::parse("docker://Redis").is_err());
    assert!(Source::parse("no such image").is_err());
}
