use super::*;

#[test]
fn names_become_what_appc_accepts() {
    assert_eq!(ac_name("/var/lib/My Data"), "var-lib-my-data");
    assert_eq!(ac_name("8080/tcp"), "8080-tcp");
    assert_eq!(ac_name("///"), "");
    assert_eq!(
        ac_identifier("docker.io/library/Redis"),
        "docker.io/library/redis"
    );
    assert_eq!(
        ac_identifier("localhost:5000/a__b"),
        "localhost-5000/a_b".replace('_', "-_").replace("-_", "_")
    );
    assert_eq!(ac_identifier("../../x/"), "x");
    assert_eq!(ac_identifier("été"), "t");
    assert_eq!(ac_identifier("..."), "image");
}

#[test]
fn references_split_at_the_tag_and_not_at_the_registry_port() {
    assert_eq!(
        split_reference("localhost:5000/a/b"),
        ("localhost:5000/a/b", None)
    );
    assert_eq!(
        split_reference("localhost:5000/a/b:7"),
        ("localhost:5000/a/b", Some("7"))
    );
    assert_eq!(split_reference("redis:7@sha256:00"), ("redis", Some("7")));
}
