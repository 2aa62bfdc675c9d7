use serde_json::{Value, json};

use super::*;

fn sample() -> Value {
    let id = format!("sha512-{}", "0c".repeat(64));
    json!({
        "acVersion": "0.8.11",
        "acKind": "PodManifest",
        "apps": [
            {
                "name": "reduce-worker",
                "image": {
                    "id": id,
                    "name": "example.com/reduce-worker",
                    "labels": [{"name": "version", "value": "1.0.0"}]
                },
                "app": {
                    "exec": ["/bin/reduce-worker"],
                    "user": "0",
                    "group": "0",
                    "ports": [{
                        "name": "ftp", "protocol": "tcp", "port": 21, "count": 1, "socketActivated": false
                    }]
                },
                "readOnlyRootFS": true,
                "mounts": [
                    {"volume": "worklib", "path": "/var/lib/work"},
                    {
                        "volume": "own", "path": "/own",
                        "appVolume": {"name": "own", "kind": "empty", "mode": "0700", "uid": 7, "gid": 8}
                    }
                ],
                "annotations": [{"name": "foo", "value": "baz"}]
            },
            {"name": "backup", "image": {"id": id}}
        ],
        "volumes": [
            {"name": "worklib", "kind": "host", "source": "/opt/tenant1/work", "readOnly": true, "recursive": false},
            {"name": "tmp", "kind": "empty", "mode": "0755"}
        ],
        "isolators": [
            {"name": "resource/memory", "value": {"limit": "4G"}},
            {"name": "example.com/later", "value": {"x": [1]}}
        ],
        "annotations": [{"name": "ip-address", "value": "10.1.2.3"}],
        "ports": [
            {"name": "ftp", "hostPort": 2121},
            {
                "name": "web", "hostPort": 80, "hostIP": "10.0.0.1",
                "podPort": {
                    "name": "web", "protocol": "tcp", "port": 8080, "count": 1, "socketActivated": false
                }
            }
        ],
        "userAnnotations": {"k": "v"},
        "userLabels": {"l": "w"}
    })
}

fn parse(manifest: &Value) -> Result<PodManifest, String> {
    PodManifest::parse(manifest.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut manifest = sample();
    match manifest.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            match manifest.pointer_mut(parent).unwrap() {
                Value::Array(list) => list.push(value),
                parent => parent[key] = value,
            }
        }
    }
    manifest
}

#[test]
fn a_full_manifest_reads_and_writes_back_whole() {
    let manifest = parse(&sample()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&manifest.to_json()).unwrap(),
        sample()
    );
    assert!(manifest.app("backup").is_some());
    assert!(manifest.app("absent").is_none());
}

/// Where, what is put there (JSON), and what is said of it.
const WRONG_FIELDS: &[(&str, &str, &str)] = &[
    (
        "/acKind",
        r#""ImageManifest""#,
        "acKind: unknown variant `ImageManifest`, expected `PodManifest`",
    ),
    (
        "/apps/1/name",
        r#""Foo""#,
        "apps[1].name: \"Foo\" is not an AC name",
    ),
    (
        "/apps/1/name",
        r#""reduce-worker""#,
        "apps[1].name: \"reduce-worker\" occurs twice",
    ),
    (
        "/apps/1/image",
        r#"{}"#,
        "apps[1].image: missing field `id`",
    ),
    (
        "/apps/1/image/id",
        r#""sha256-00""#,
        "apps[1].image.id: \"sha256-00\" is not an image id (sha512-…)",
    ),
    (
        "/apps/0/image/labels/0/name",
        r#""name""#,
        "apps[0].image.labels[0].name: a label must not be called \"name\"",
    ),
    (
        "/apps/0/annotations/1",
        r#"{"name": "foo", "value": ""}"#,
        "apps[0].annotations[1].name: \"foo\" occurs twice",
    ),
    (
        "/apps/0/readOnlyRootFS",
        r#""yes""#,
        "apps[0].readOnlyRootFS: invalid type: string \"yes\", expected a boolean",
    ),
    (
        "/apps/0/mounts/0/volume",
        r#""absent""#,
        "apps[0].mounts[0].volume: dangling mount point: no volume \"absent\"",
    ),
    (
        "/apps/0/mounts/0/path",
        r#""x""#,
        "apps[0].mounts[0].path: \"x\" is not an absolute path",
    ),
    (
        "/apps/0/app/isolators",
        r#"[{"name": "os/x", "value": 1}]"#,
        "apps[0].app.isolators[0]: unknown isolator \"os/x\"",
    ),
    (
        "/apps/0/app/exec/0",
        r#""""#,
        "apps[0].app.exec[0]: names no program",
    ),
    (
        "/volumes/1/name",
        r#""worklib""#,
        "volumes[1].name: \"worklib\" occurs twice",
    ),
    (
        "/volumes/0/source",
        r#""rel""#,
        "volumes[0]: \"rel\" is not an absolute path",
    ),
    (
        "/volumes/0/source",
        "null",
        "volumes[0]: a host volume needs a source",
    ),
    (
        "/volumes/0/uid",
        r#"1"#,
        "volumes[0]: a host volume has no mode, uid or gid",
    ),
    (
        "/volumes/0/kind",
        r#""nfs""#,
        "volumes[0].kind: unknown variant `nfs`, expected one of `host`, `empty`, `disk`",
    ),
    (
        "/volumes/0/fsType",
        r#""ext4""#,
        "volumes[0]: only a disk volume has an fsType",
    ),
    (
        "/volumes/1",
        r#"{"name":"d","kind":"disk"}"#,
        "volumes[1]: a disk volume needs a source",
    ),
    (
        "/volumes/1",
        r#"{"name":"d","kind":"disk","source":"/x","recursive":true}"#,
        "volumes[1]: a disk volume has nothing below it to be recursive",
    ),
    (
        "/volumes/1",
        r#"{"name":"d","kind":"disk","source":"/x","fsType":"ntfs"}"#,
        "volumes[1].fsType: unknown variant `ntfs`, expected `ext4` or `erofs`",
    ),
    (
        "/volumes/1/source",
        r#""/x""#,
        "volumes[1]: an empty volume has no source",
    ),
    (
        "/volumes/1/mode",
        r#""0999""#,
        "volumes[1].mode: \"0999\" is not an octal file mode (as 0755)",
    ),
    (
        "/volumes/1/mode",
        r#""77777""#,
        "volumes[1].mode: \"77777\" is not an octal file mode (as 0755)",
    ),
    (
        "/isolators/1/name",
        r#""resource/memory""#,
        "isolators[1]: isolator \"resource/memory\": has neither request nor limit",
    ),
    (
        "/isolators/2",
        r#"{"name": "example.com/later"}"#,
        "isolators[2].name: \"example.com/later\" occurs twice",
    ),
    (
        "/annotations/1",
        r#"{"name": "ip-address", "value": ""}"#,
        "annotations[1].name: \"ip-address\" occurs twice",
    ),
    (
        "/ports/0/hostPort",
        r#"0"#,
        "ports[0].hostPort: 0 is outside 1..65535",
    ),
    (
        "/ports/1/hostIP",
        r#""a""#,
        "ports[1].hostIP: invalid IP address syntax",
    ),
    (
        "/ports/2",
        r#"{"name": "ftp", "hostPort": 2121, "hostIP": "1.2.3.4"}"#,
        "ports[2].hostPort: 2121 is exposed already",
    ),
];

#[test]
fn wrong_fields_are_named() {
    for (pointer, value, expected) in WRONG_FIELDS {
        let error = parse(&with(pointer, serde_json::from_str(value).unwrap())).unwrap_err();
        assert_eq!(
            error,
            format!("pod manifest: {expected}"),
            "{pointer} = {value}"
        );
    }
}

#[test]
fn an_exposed_port_leads_to_one_port() {
    let mut manifest = sample();
    manifest["apps"].as_array_mut().unwrap().pop();
    assert!(parse(&manifest).is_ok());
    manifest["ports"][0]["name"] = json!("absent");
    let error = parse(&manifest).unwrap_err();
    assert_eq!(
        error,
        "pod manifest: ports[0].name: no app has a port \"absent\""
    );
    // While an app's image is unknown, its ports are too.
    assert!(parse(&with("/ports/0/name", json!("absent"))).is_ok());

    let mut manifest = sample();
    let app = manifest["apps"][0]["app"].clone();
    manifest["apps"][1]["app"] = app;
    let error = parse(&manifest).unwrap_err();
    assert_eq!(
        error,
        "pod manifest: ports[0].name: several apps have a port \"ftp\""
    );
}

#[test]
fn the_same_host_port_on_other_addresses_or_protocols() {
    let port = |ip: &str, protocol: &str| {
        json!({"name": "x", "hostPort": 80, "hostIP": ip,
               "podPort": {"name": "x", "protocol": protocol, "port": 1}})
    };
    assert!(parse(&with("/ports/2", port("10.0.0.2", "tcp"))).is_ok());
    assert!(parse(&with("/ports/2", port("10.0.0.1", "udp"))).is_ok());
    assert!(parse(&with("/ports/2", port("10.0.0.1", "tcp"))).is_err());
    assert!(parse(&with("/ports/2", port("0.0.0.0", "tcp"))).is_err());
    assert!(parse(&with("/ports/2", port("::", "tcp"))).is_err());
}

#[test]
fn apps_are_bounded() {
    let app = |i| json!({"name": format!("app{i}"), "image": {"id": format!("sha512-{}", "00".repeat(64))}});
    let apps = |count| Value::Array((0..count).map(app).collect());
    assert!(parse(&with("/apps", apps(APPS_MAX))).is_ok());
    let error = parse(&with("/apps", apps(APPS_MAX + 1))).unwrap_err();
    assert_eq!(error, "pod manifest: apps: more than 64 entries");
}

proptest::proptest! {
    #[test]
    fn a_broken_manifest_never_panics(at in 0usize..2000, byte: u8) {
        let mut text = sample().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(manifest) = PodManifest::parse(&text) {
            let again = PodManifest::parse(&manifest.to_json());
            proptest::prop_assert_eq!(again, Ok(manifest));
        }
    }
}
