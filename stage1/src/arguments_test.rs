use super::*;

const UUID: &str = "6733f7f2-2f4b-4f0c-8f1c-0d2f1a1b2c3d";

fn parse(arguments: &[&str]) -> Result<Arguments, ArgumentError> {
    Arguments::parse(arguments.iter().map(OsString::from))
}

fn error(argument: &str) -> String {
    parse(&[argument, UUID]).unwrap_err().to_string()
}

#[test]
fn the_whole_vector_of_interface_version_6_is_known() {
    let parsed = parse(&[
        "--debug",
        "--net=none",
        "--interactive",
        "--mutable=false",
        "--local-config=/etc/rkt",
        "--hostname=web-1.example",
        "--disable-capabilities-restriction",
        "--disable-paths",
        "--disable-seccomp",
        "--dns-conf-mode=resolv=host,hosts=stage0",
        "--ipc=private",
        UUID,
    ]);
    let expected = Arguments {
        debug: true,
        interactive: true,
        mutable: false,
        block_images: false,
        hostname: Some("web-1.example".to_owned()),
        resolv_conf: NameSource::Host,
        hosts: NameSource::Stage0,
        metadata_token: None,
        insecure: Insecure {
            capabilities: true,
            paths: true,
            seccomp: true,
        },
        export: None,
        uuid: UUID.to_owned(),
    };
    assert_eq!(parsed, Ok(expected));
}

#[test]
fn a_pod_without_a_name_is_called_by_its_uuid() {
    let parsed = parse(&[UUID]).unwrap();
    assert_eq!(parsed.pod_name(), format!("bulkhead-{UUID}"));
    let parsed = parse(&["--hostname=box", UUID]).unwrap();
    assert_eq!(parsed.pod_name(), "box");
}

#[test]
fn files_of_names_come_from_where_stage0_says() {
    let modes = |modes: &str| {
        let parsed = parse(&[&format!("--dns-conf-mode={modes}"), UUID]).unwrap();
        (parsed.resolv_conf, parsed.hosts)
    };
    let default = NameSource::Default;
    assert_eq!(modes("resolv=none,hosts=default"), (default, default));
    assert_eq!(modes("resolv=stage0"), (NameSource::Stage0, default));
    assert_eq!(modes("hosts=host"), (default, NameSource::Host));
    for bad in [
        "",
        "resolv",
        "resolv=dhcp",
        "hosts=none",
        "mtab=host",
        "resolv=host,",
    ] {
        let error = error(&format!("--dns-conf-mode={bad}"));
        assert!(
            error.starts_with("--dns-conf-mode: \"") && error.contains("is not resolv=host|"),
            "{error}"
        );
    }
}

#[test]
fn a_network_is_refused_with_the_reason() {
    assert_eq!(
        error("--net=default,host"),
        "--net=default,host is not supported yet: a pod has loopback only (--net=none)"
    );
    assert_eq!(
        error("--net"),
        "--net=default is not supported yet: a pod has loopback only (--net=none)"
    );
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    assert_eq!(
        error("--private-users=1000:65536"),
        "--private-users=1000:65536 is not supported yet: an app's users are the guest's own"
    );
    assert_eq!(
        error("--ipc=parent"),
        "--ipc=parent is not supported yet: a machine cannot share the host's IPC objects"
    );
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(error("--nett=none"), "unknown argument \"--nett=none\"");
    assert_eq!(
        error("--debug=maybe"),
        "--debug: \"maybe\" is not true or false"
    );
    assert_eq!(
        error("--hostname=a b"),
        "--hostname: \"a b\" is not a host name of at most 64 characters"
    );
    assert_eq!(
        parse(&["--net=none"]).unwrap_err().to_string(),
        "expected one pod UUID, found 0"
    );
    assert_eq!(
        parse(&[UUID, UUID]).unwrap_err().to_string(),
        "expected one pod UUID, found 2"
    );
    assert_eq!(
        error("../../etc"),
        "UUID: \"../../etc\" is not a pod's UUID"
    );
}

#[test]
fn the_metadata_service_s_token_is_letters_and_digits() {
    let token = |text: &str| {
        let uuid = "6733c088-a507-4694-aabf-fb7c31d0b9c2";
        Arguments::parse([format!("--mds-token={text}"), uuid.to_owned()].map(OsString::from))
    };
    let good = "00f1e2".to_owned();
    assert_eq!(token(&good).unwrap().metadata_token, Some(good));
    for bad in ["", "a/b", "a b", &"a".repeat(65)] {
        let error = token(bad).unwrap_err().to_string();
        assert_eq!(
            error,
            "--mds-token: \"…\" is not 1 to 64 letters and digits"
        );
    }
}
