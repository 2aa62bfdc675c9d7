use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn shown(text: &str) -> String {
    text.parse::<RegistryReference>().unwrap().to_string()
}

#[test]
fn short_names_are_docker_s() {
    assert_eq!(shown("redis"), "docker.io/library/redis:latest");
    assert_eq!(shown("redis:7"), "docker.io/library/redis:7");
    assert_eq!(shown("grafana/loki"), "docker.io/grafana/loki:latest");
    assert_eq!(shown("docker.io/redis"), "docker.io/library/redis:latest");
}

#[test]
fn the_first_part_is_a_host_if_it_looks_like_one() {
    assert_eq!(shown("quay.io/a/b/c:v1"), "quay.io/a/b/c:v1");
    assert_eq!(shown("localhost/a"), "localhost/a:latest");
    assert_eq!(shown("127.0.0.1:5000/a:b"), "127.0.0.1:5000/a:b");
    assert_eq!(shown("[::1]:5000/a"), "[::1]:5000/a:latest");
}

#[test]
fn a_digest_wins_over_a_tag() {
    let both: RegistryReference = format!("quay.io/a:v1@{DIGEST}").parse().unwrap();
    assert_eq!(both.wanted(), DIGEST);
    assert!(!both.may_move());
    assert_eq!(both.to_string(), format!("quay.io/a:v1@{DIGEST}"));
    assert_eq!(
        shown(&format!("quay.io/a@{DIGEST}")),
        format!("quay.io/a@{DIGEST}")
    );
}

#[test]
fn what_no_registry_can_have_is_refused() {
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "Redis",
        "a//b",
        "a:",
        "a:-b",
        "a b",
        "../a",
        "a/../b",
        "quay.io/",
        "a@sha256:12",
        "a@",
        "ex_ample.org/a",
        "host:0/a",
        "host:99999/a",
        "host:port/a",
        "a.-b",
        "a___b",
        "[::g]/a",
        "a\n",
    ] {
        assert!(text.parse::<RegistryReference>().is_err(), "{text:?}");
    }
    let long = "a".repeat(MAX_NAME + 1);
    assert!(
        format!("quay.io/{long}")
            .parse::<RegistryReference>()
            .is_err()
    );
}
