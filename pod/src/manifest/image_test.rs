use serde_json::{Value, json};

use super::*;
use crate::manifest::MANIFEST_BYTES_MAX;

fn sample() -> Value {
    json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/reduce-worker",
        "labels": [
            {"name": "version", "value": "1.0.0"},
            {"name": "arch", "value": "amd64"},
            {"name": "os", "value": "linux"}
        ],
        "app": {
            "exec": ["/usr/bin/reduce-worker", "--quiet"],
            "user": "100",
            "group": "300",
            "supplementaryGIDs": [400, 500],
            "eventHandlers": [
                {"name": "pre-start", "exec": ["/usr/bin/data-downloader"]},
                {"name": "post-stop", "exec": ["/usr/bin/deregister-worker", "--verbose"]}
            ],
            "workingDirectory": "/opt/work",
            "environment": [{"name": "REDUCE_WORKER_DEBUG", "value": "true"}],
            "mountPoints": [{"name": "work", "path": "/var/lib/work", "readOnly": false}],
            "ports": [
                {"name": "health", "protocol": "tcp", "port": 4000, "count": 1, "socketActivated": true}
            ],
            "isolators": [
                {"name": "resource/cpu", "value": {"request": "250m", "limit": "500m"}},
                {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_NET_BIND_SERVICE"]}}
            ],
            "userAnnotations": {"a": "b"},
            "userLabels": {"c": "d"}
        },
        "dependencies": [{
            "imageName": "example.com/base",
            "imageID": format!("sha512-{}", "ab".repeat(64)),
            "labels": [{"name": "os", "value": "linux"}],
            "size": 22
        }],
        "pathWhitelist": ["/etc/ca", "/usr/bin"],
        "annotations": [
            {"name": "authors", "value": "Carly Container <carly@example.com>"},
            {"name": "example.com/unknown", "value": "is kept"}
        ]
    })
}

fn parse(manifest: &Value) -> Result<ImageManifest, String> {
    ImageManifest::parse(manifest.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// The sample with one place replaced; `pointer` is an RFC 6901 pointer.
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
    assert_eq!(manifest.label("version"), Some("1.0.0"));
    assert_eq!(manifest.annotation("example.com/unknown"), Some("is kept"));
    assert_eq!(manifest.annotation("absent"), None);
    assert_eq!(
        serde_json::from_slice::<Value>(&manifest.to_json()).unwrap(),
        sample()
    );
}

#[test]
fn what_go_writes_for_nothing_is_nothing() {
    let mut manifest = sample();
    for pointer in [
        "/labels",
        "/app",
        "/dependencies",
        "/pathWhitelist",
        "/annotations",
    ] {
        *manifest.pointer_mut(pointer).unwrap() = Value::Null;
    }
    let manifest = parse(&manifest).unwrap();
    assert!(manifest.app.is_none() && manifest.labels.is_empty());
    let manifest = parse(&with("/app/workingDirectory", json!(""))).unwrap();
    assert_eq!(manifest.app.as_ref().unwrap().working_directory, None);
    let manifest = parse(&with(
        "/app/ports/0",
        json!({"name": "a", "protocol": "udp", "port": 1}),
    ));
    assert_eq!(manifest.unwrap().app.as_ref().unwrap().ports[0].count, 1);
}

#[test]
fn fields_from_the_future_are_passed_over() {
    assert_eq!(
        parse(&with("/later", json!([1]))).unwrap(),
        parse(&sample()).unwrap()
    );
}

/// Where, what is put there (JSON), and what is said of it.
const WRONG_FIELDS: &[(&str, &str, &str)] = &[
    (
        "/acKind",
        r#""PodManifest""#,
        "acKind: unknown variant `PodManifest`, expected `ImageManifest`",
    ),
    (
        "/acVersion",
        r#""1""#,
        "acVersion: \"1\" is not a version (MAJOR.MINOR.PATCH)",
    ),
    ("/name", r#""Foo""#, "name: \"Foo\" is not an AC identifier"),
    (
        "/name",
        r#"7"#,
        "name: invalid type: integer `7`, expected a string",
    ),
    (
        "/labels",
        r#""x""#,
        "labels: invalid type: string \"x\", expected a list",
    ),
    (
        "/labels/1/name",
        r#""version""#,
        "labels[1].name: \"version\" occurs twice",
    ),
    (
        "/labels/1/name",
        r#""name""#,
        "labels[1].name: a label must not be called \"name\"",
    ),
    (
        "/annotations/1/name",
        r#""authors""#,
        "annotations[1].name: \"authors\" occurs twice",
    ),
    (
        "/pathWhitelist/0",
        r#""etc""#,
        "pathWhitelist[0]: \"etc\" is not an absolute path",
    ),
    (
        "/dependencies/0/imageID",
        r#""x""#,
        "dependencies[0].imageID: \"x\" is not an image id (sha512-…)",
    ),
    (
        "/dependencies/0/size",
        r#"-1"#,
        "dependencies[0].size: invalid value: integer `-1`, expected u64",
    ),
    (
        "/app",
        r#""x""#,
        "app: invalid type: string \"x\", expected struct App",
    ),
    ("/app/exec/0", r#""""#, "app.exec[0]: names no program"),
    (
        "/app/exec/1",
        r#"null"#,
        "app.exec[1]: invalid type: null, expected a string",
    ),
    (
        "/app/exec/1",
        r#""a\u0000""#,
        "app.exec[1]: \"a\\0\" is not a text without NUL",
    ),
    (
        "/app/user",
        r#""""#,
        "app.user: \"\" is not a user or group",
    ),
    (
        "/app/group",
        r#""a:b""#,
        "app.group: \"a:b\" is not a user or group",
    ),
    (
        "/app/supplementaryGIDs/0",
        r#"-1"#,
        "app.supplementaryGIDs[0]: invalid value: integer `-1`, expected u32",
    ),
    (
        "/app/eventHandlers/1/name",
        r#""pre-start""#,
        "app.eventHandlers[1].name: the event has a handler already",
    ),
    (
        "/app/eventHandlers/1/exec",
        r#"[]"#,
        "app.eventHandlers[1].exec: is empty",
    ),
    (
        "/app/workingDirectory",
        r#""work""#,
        "app.workingDirectory: \"work\" is not an absolute path",
    ),
    (
        "/app/environment/1",
        r#"{"name": "REDUCE_WORKER_DEBUG", "value": ""}"#,
        "app.environment[1].name: \"REDUCE_WORKER_DEBUG\" occurs twice",
    ),
    (
        "/app/environment/0/name",
        r#""1""#,
        "app.environment[0].name: \"1\" is not an environment variable's name",
    ),
    (
        "/app/mountPoints/0/path",
        r#""/a/../b""#,
        "app.mountPoints[0].path: \"/a/../b\" is not a path without \"..\"",
    ),
    (
        "/app/mountPoints/0/name",
        r#""../x""#,
        "app.mountPoints[0].name: \"../x\" is not an AC name",
    ),
    (
        "/app/ports/0/port",
        r#"0"#,
        "app.ports[0].port: 0 is outside 1..65535",
    ),
    (
        "/app/ports/0/port",
        r#"65536"#,
        "app.ports[0].port: 65536 is outside 1..65535",
    ),
    (
        "/app/ports/0/count",
        r#"61537"#,
        "app.ports[0]: count: 61537 ports from 4000 do not fit",
    ),
    (
        "/app/ports/0/count",
        r#"0"#,
        "app.ports[0]: count: 0 ports from 4000 do not fit",
    ),
    (
        "/app/isolators/0/name",
        r#""os/x""#,
        "app.isolators[0]: unknown isolator \"os/x\"",
    ),
    (
        "/app/isolators/0/name",
        r#""os/linux/capabilities-retain-set""#,
        "app.isolators[0]: isolator \"os/linux/capabilities-retain-set\": set: names no capability",
    ),
    (
        "/app/userLabels",
        r#"{"a": 1}"#,
        "app.userLabels.a: invalid type: integer `1`, expected a string",
    ),
];

#[test]
fn wrong_fields_are_named() {
    for (pointer, value, expected) in WRONG_FIELDS {
        let error = parse(&with(pointer, serde_json::from_str(value).unwrap())).unwrap_err();
        assert_eq!(
            error,
            format!("image manifest: {expected}"),
            "{pointer} = {value}"
        );
    }
}

#[test]
fn lists_are_bounded() {
    let entry = |i| json!({"name": format!("p{i}"), "protocol": "tcp", "port": 1});
    let ports = |count| Value::Array((0..count).map(entry).collect());
    assert!(parse(&with("/app/ports", ports(1024))).is_ok());
    assert_eq!(
        parse(&with("/app/ports", ports(1025))).unwrap_err(),
        "image manifest: app.ports: more than 1024 entries"
    );
}

#[test]
fn text_that_is_no_manifest() {
    let parse = |bytes: &[u8]| ImageManifest::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        parse(b""),
        "image manifest: EOF while parsing a value at line 1 column 0"
    );
    assert_eq!(
        parse(b"\x7fELF"),
        "image manifest: expected value at line 1 column 1"
    );
    assert_eq!(parse(b"{}"), "image manifest: missing field `acKind`");
    assert_eq!(
        parse(b"[1]"),
        "image manifest: [0]: expected value at line 1 column 2"
    );
    let twice = sample().to_string().replacen('{', r#"{"name":"a","#, 1);
    assert_eq!(
        parse(twice.as_bytes()),
        "image manifest: duplicate field `name`"
    );
    let map = sample()
        .to_string()
        .replace(r#""a":"b""#, r#""a":"b","a":"c""#);
    assert_eq!(
        parse(map.as_bytes()),
        "image manifest: app.userAnnotations: \"a\" occurs twice"
    );
    let after = format!("{}x", sample());
    assert!(parse(after.as_bytes()).contains("trailing characters"));
    let deep = "[".repeat(100_000);
    assert!(parse(deep.as_bytes()).starts_with("image manifest: "));
    let deep = sample()
        .to_string()
        .replacen('{', &format!(r#"{{"x":{}"#, "[".repeat(100_000)), 1);
    assert!(parse(deep.as_bytes()).contains("line 1 column"));
    let long = vec![b' '; MANIFEST_BYTES_MAX + 1];
    assert_eq!(
        parse(&long),
        "image manifest: 1048577 bytes are more than 1048576"
    );
}

proptest::proptest! {
    #[test]
    fn a_broken_manifest_never_panics(at in 0usize..2000, byte: u8) {
        let mut text = sample().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(manifest) = ImageManifest::parse(&text) {
            let again = ImageManifest::parse(&manifest.to_json());
            proptest::prop_assert_eq!(again, Ok(manifest));
        }
    }
}
