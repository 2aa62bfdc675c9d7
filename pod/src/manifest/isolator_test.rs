use super::*;

fn parse(json: &str) -> Result<Isolator, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn every_known_name_reads_and_writes_back() {
    let samples = [
        r#"{"name":"resource/cpu","value":{"request":"250m","limit":"500m"}}"#,
        r#"{"name":"resource/memory","value":{"limit":"1G"}}"#,
        r#"{"name":"resource/block-bandwidth","value":{"default":true,"limit":"2G"}}"#,
        r#"{"name":"resource/block-iops","value":{"default":true,"limit":"1000"}}"#,
        r#"{"name":"resource/network-bandwidth","value":{"default":true,"limit":"1G"}}"#,
        r#"{"name":"os/linux/capabilities-retain-set","value":{"set":["CAP_NET_ADMIN","CAP_CHOWN"]}}"#,
        r#"{"name":"os/linux/capabilities-remove-set","value":{"set":["CAP_CHECKPOINT_RESTORE"]}}"#,
        r#"{"name":"os/linux/seccomp-retain-set","value":{"set":["@appc.io/all","openat"],"errno":"EPERM"}}"#,
        r#"{"name":"os/linux/seccomp-remove-set","value":{"set":["@rkt/default-blacklist"]}}"#,
        r#"{"name":"os/linux/no-new-privileges","value":true}"#,
        r#"{"name":"os/linux/oom-score-adj","value":-1000}"#,
        r#"{"name":"os/linux/cpu-shares","value":262144}"#,
        r#"{"name":"os/linux/selinux-context","value":{"user":"u","role":"r","type":"t","level":"s0"}}"#,
        r#"{"name":"os/linux/apparmor-profile","value":"strict"}"#,
        r#"{"name":"os/unix/sysctl","value":{"net.ipv4.tcp_mtu_probing":"1"}}"#,
    ];
    for json in samples {
        let isolator = parse(json).unwrap();
        assert_eq!(serde_json::to_string(&isolator).unwrap(), json);
        assert!(json.contains(&format!("\"name\":\"{}\"", isolator.name())));
    }
}

#[test]
fn refused_values() {
    let cases = [
        (
            r#"{"name":"os/linux/magic","value":{}}"#,
            "unknown isolator \"os/linux/magic\"",
        ),
        (
            r#"{"name":"resource/memory","value":{"limit":"16mi"}}"#,
            "isolator \"resource/memory\": limit: \"16mi\" is not a quantity (as 2, 0.5, 500m, 16Mi)",
        ),
        (
            r#"{"name":"resource/memory","value":{"limit":16}}"#,
            "isolator \"resource/memory\": limit: invalid type: integer `16`, expected a string",
        ),
        (
            r#"{"name":"resource/cpu","value":{}}"#,
            "isolator \"resource/cpu\": has neither request nor limit",
        ),
        (
            r#"{"name":"resource/cpu","value":{"limit":"0"}}"#,
            "isolator \"resource/cpu\": limit: nothing runs with 0",
        ),
        (
            r#"{"name":"resource/block-iops","value":{"default":false,"limit":"1"}}"#,
            "isolator \"resource/block-iops\": default: must be true",
        ),
        (
            r#"{"name":"resource/block-iops","value":{"default":true,"request":"1","limit":"1"}}"#,
            "isolator \"resource/block-iops\": request: must not be given",
        ),
        (
            r#"{"name":"os/linux/capabilities-retain-set","value":{"set":[]}}"#,
            "isolator \"os/linux/capabilities-retain-set\": set: names no capability",
        ),
        (
            r#"{"name":"os/linux/capabilities-retain-set","value":{"set":["net_admin"]}}"#,
            "isolator \"os/linux/capabilities-retain-set\": set[0]: \"net_admin\" is not a \
             capability of Linux (as CAP_NET_ADMIN, in capitals)",
        ),
        (
            r#"{"name":"os/linux/seccomp-remove-set","value":{"set":["a b"]}}"#,
            "isolator \"os/linux/seccomp-remove-set\": set[0]: \"a b\" is not a system call's \
             name or an @group",
        ),
        (
            r#"{"name":"os/linux/seccomp-remove-set","value":{"set":["a"],"errno":"eperm"}}"#,
            "isolator \"os/linux/seccomp-remove-set\": \"eperm\" is not the name of an error \
             number (as EPERM)",
        ),
        (
            r#"{"name":"os/linux/oom-score-adj","value":1001}"#,
            "isolator \"os/linux/oom-score-adj\": 1001 is outside -1000..1000",
        ),
        (
            r#"{"name":"os/linux/cpu-shares","value":1}"#,
            "isolator \"os/linux/cpu-shares\": 1 is outside 2..262144",
        ),
        (
            r#"{"name":"os/linux/no-new-privileges"}"#,
            "isolator \"os/linux/no-new-privileges\": invalid type: null, expected a boolean",
        ),
        (
            r#"{"name":"os/unix/sysctl","value":{"a":1}}"#,
            "isolator \"os/unix/sysctl\": a: invalid type: integer `1`, expected a string",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(parse(json).unwrap_err(), expected, "{json}");
    }
}

#[test]
fn a_pod_keeps_what_it_does_not_know() {
    let json = r#"{"name":"example.com/x","value":{"deep":[1,null]}}"#;
    let isolator: PodIsolator = serde_json::from_str(json).unwrap();
    assert!(matches!(isolator, PodIsolator::Unknown(_)));
    assert_eq!(serde_json::to_string(&isolator).unwrap(), json);
    let json = r#"{"name":"resource/cpu","value":{"limit":"0"}}"#;
    assert!(serde_json::from_str::<PodIsolator>(json).is_err());
}

#[test]
fn capabilities_have_the_kernels_numbers() {
    use crate::manifest::Capability;
    for (name, number) in [
        ("CAP_CHOWN", 0),
        ("CAP_SYS_ADMIN", 21),
        ("CAP_SETFCAP", 31),
        ("CAP_CHECKPOINT_RESTORE", 40),
    ] {
        let capability: Capability = name.parse().unwrap();
        assert_eq!((capability.number(), capability.name()), (number, name));
    }
}

#[test]
fn exclusive_sets() {
    let check = |names: &[&str]| {
        check(Document::Image, "app.isolators", names.iter().copied()).map_err(|e| e.to_string())
    };
    assert_eq!(check(&["resource/cpu", "resource/memory"]), Ok(()));
    assert_eq!(
        check(&[
            "os/linux/seccomp-retain-set",
            "os/linux/capabilities-remove-set"
        ]),
        Ok(())
    );
    assert_eq!(
        check(&["resource/cpu", "resource/cpu"]).unwrap_err(),
        "image manifest: app.isolators[1].name: \"resource/cpu\" occurs twice"
    );
    assert_eq!(
        check(&["os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set"]).unwrap_err(),
        "image manifest: app.isolators[1].name: \"os/linux/seccomp-retain-set\" excludes \
         \"os/linux/seccomp-remove-set\""
    );
}
