use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory with these files, as `paths.d/NAME` and their texts.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn paths(fields: &str) -> String {
    format!(r#"{{"rktKind": "paths", "rktVersion": "v1", {fields}}}"#)
}

fn stage1(fields: &str) -> String {
    format!(r#"{{"rktKind": "stage1", "rktVersion": "v1", {fields}}}"#)
}

#[track_caller]
fn refused(files: &[(&str, &str)], expected: &str) {
    let directory = directory(files);
    let error = Configuration::read(&[directory.path()]).unwrap_err();
    let text = anyhow::Error::new(error);
    let text: Vec<String> = text.chain().map(ToString::to_string).collect();
    let text = text.join(": ");
    let text = text.replace(&directory.path().display().to_string(), "DIR");
    assert!(text.contains(expected), "{text:?} has no {expected:?}");
}

#[test]
fn a_later_directory_overrides_field_by_field() {
    let system = directory(&[
        (
            "paths.d/a.json",
            &paths(r#""data": "/system/data", "stage1-images": "/system/images""#),
        ),
        (
            "stage1.d/a.json",
            &stage1(r#""name": "example.com/system", "version": "1", "location": "/system.aci""#),
        ),
    ]);
    let local = directory(&[
        ("paths.d/b.json", &paths(r#""data": "/local/data""#)),
        (
            "stage1.d/b.json",
            &stage1(r#""location": "https://example.com/s.aci""#),
        ),
    ]);
    let user = directory(&[(
        "stage1.d/c.json",
        &stage1(r#""name": "example.com/user", "version": "2""#),
    )]);
    let all = [system.path(), local.path(), user.path()];
    let read = Configuration::read(&all).unwrap();
    assert_eq!(read.paths.data, Some(PathBuf::from("/local/data")));
    assert_eq!(
        read.paths.stage1_images,
        Some(PathBuf::from("/system/images"))
    );
    let name = read.stage1.name.unwrap();
    assert_eq!(name.to_string(), "example.com/user:2");
    let location = read.stage1.location.as_deref();
    assert_eq!(location, Some("https://example.com/s.aci"));
}

#[test]
fn what_is_no_configuration_says_nothing() {
    let directory = directory(&[
        ("paths.d/README", "not JSON"),
        ("paths.d/deeper/a.json", "not JSON"),
        ("paths.d/a.json", &paths(r#""data": "", "unknown": 1"#)),
    ]);
    std::os::unix::fs::symlink("/dev/null", directory.path().join("paths.d/l.json")).unwrap();
    let absent = directory.path().join("absent");
    let read = Configuration::read(&[directory.path(), &absent]).unwrap();
    assert_eq!(read, Configuration::default());
}

#[test]
fn one_directory_says_a_field_once() {
    refused(
        &[
            ("paths.d/a.json", &paths(r#""data": "/a""#)),
            ("paths.d/b.json", &paths(r#""data": "/a""#)),
        ],
        "configuration DIR/paths.d/b.json: data is specified by another file of this directory already",
    );
    refused(
        &[
            ("stage1.d/a.json", &stage1(r#""location": "/a""#)),
            ("stage1.d/b.json", &stage1(r#""location": "/b""#)),
        ],
        "location is specified",
    );
    refused(
        &[
            ("stage1.d/a.json", &stage1(r#""name": "a", "version": "1""#)),
            ("stage1.d/b.json", &stage1(r#""name": "b", "version": "1""#)),
        ],
        "name and version is specified",
    );
    let apart = directory(&[
        ("paths.d/a.json", &paths(r#""data": "/a""#)),
        ("paths.d/b.json", &paths(r#""stage1-images": "/b""#)),
    ]);
    assert!(Configuration::read(&[apart.path()]).is_ok());
}

#[test]
fn what_makes_no_sense_is_named_with_its_file() {
    let file = |text: &'static str| [("paths.d/a.json", text)];
    refused(
        &file("{"),
        "configuration DIR/paths.d/a.json: it is not the JSON",
    );
    refused(&file("{}"), "it has no rktKind");
    refused(&file(r#"{"rktKind": "paths"}"#), "it has no rktVersion");
    refused(
        &file(r#"{"rktKind": "stage1", "rktVersion": "v1"}"#),
        "its rktKind is \"stage1\", and files of this directory have \"paths\"",
    );
    refused(
        &file(r#"{"rktKind": "paths", "rktVersion": "v2"}"#),
        "its rktVersion \"v2\" is not known",
    );
    refused(
        &file(r#"{"rktKind": "paths", "rktVersion": "v1", "data": 7}"#),
        "it is not the JSON",
    );
    refused(
        &file(r#"{"rktKind": "paths", "rktVersion": "v1", "data": "relative"}"#),
        "data \"relative\" is not an absolute path",
    );
    let long = " ".repeat(65 << 10);
    refused(
        &[("paths.d/a.json", &long)],
        "it is longer than 65536 bytes",
    );
    refused(&[("paths.d", "a file")], "read configuration DIR/paths.d: ");
    let stage1 = |fields, expected| refused(&[("stage1.d/a.json", &stage1(fields))], expected);
    stage1(r#""name": "a""#, "it has a name, and no version");
    stage1(r#""version": "a""#, "it has a version, and no name");
    stage1(
        r#""location": "a.aci""#,
        "location \"a.aci\" is neither an absolute path nor a URL",
    );
    stage1(
        r#""location": "ftp://a""#,
        "location \"ftp://a\" has a scheme that is none of file, docker, http and https",
    );
}

fn login(registry: &str, user: &str) -> String {
    format!(
        r#"{{"rktKind": "dockerAuth", "rktVersion": "v1", "registries": ["{registry}"],
            "credentials": {{"user": "{user}", "password": "secret"}}}}"#
    )
}

#[test]
fn each_registry_has_the_user_of_the_last_directory() {
    let system = directory(&[
        ("auth.d/a.json", &login("quay.io", "system")),
        ("auth.d/b.json", &login("index.docker.io", "system")),
    ]);
    let local = directory(&[("auth.d/a.json", &login("quay.io", "local"))]);
    let read = Configuration::read(&[system.path(), local.path()]).unwrap();
    let user = |host| read.logins.of(host).map(|login| login.user.as_str());
    assert_eq!(user("quay.io"), Some("local"));
    assert_eq!(user("docker.io"), Some("system"));
    assert_eq!(user("example.com"), None);
    assert!(!format!("{read:?}").contains("secret"));
}

#[test]
fn logins_that_make_no_sense_are_named() {
    refused(
        &[
            ("auth.d/a.json", &login("a.io", "u")),
            ("auth.d/b.json", &login("a.io", "u")),
        ],
        "registry \"a.io\" has a user by another file",
    );
    refused(
        &[("auth.d/a.json", &login("a.io", ""))],
        "it has no credentials with a user",
    );
    let none = r#"{"rktKind": "dockerAuth", "rktVersion": "v1", "credentials": {"user": "u", "password": "p"}}"#;
    refused(&[("auth.d/a.json", none)], "it has no registries");
    refused(
        &[("auth.d/a.json", &paths(r#""data": "/a""#))],
        "files of this directory have \"dockerAuth\" or \"auth\"",
    );
}

#[test]
fn what_is_unusual_of_a_registry_is_said_field_by_field() {
    let rules = |fields: &str| {
        format!(
            r#"{{"rktKind": "registry", "rktVersion": "v1", "registries": ["a.io"], {fields}}}"#
        )
    };
    let system = directory(&[("registries.d/a.json", &rules(r#""authorities": "/ca.pem""#))]);
    let local = directory(&[("registries.d/a.json", &rules(r#""plainHttp": true"#))]);
    let read = Configuration::read(&[system.path(), local.path()]).unwrap();
    let rules_of = read.registries.of("a.io");
    assert_eq!(rules_of.plain_http, Some(true));
    assert_eq!(rules_of.authorities, Some(PathBuf::from("/ca.pem")));
    assert_eq!(read.registries.of("b.io").plain_http, None);
    let relative = rules(r#""authorities": "ca.pem""#);
    refused(
        &[("registries.d/a.json", &relative)],
        "authorities \"ca.pem\" is not an absolute path",
    );
}
