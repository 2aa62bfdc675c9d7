//! Stage1 images of other versions of the interface, and ones that are not whole.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::fixture::{Fixture, assert_error};
use crate::pods::hold;

const VERSION: &str = "coreos.com/rkt/stage1/interface-version";

/// Sets an annotation of the stage1, or takes it away.
fn annotate(fixture: &Fixture, name: &str, value: Option<&str>) {
    fixture.change_stage1(|manifest| {
        let annotations = manifest["annotations"].as_array_mut().unwrap();
        annotations.retain(|annotation| annotation["name"] != name);
        annotations.extend(value.map(|value| json!({"name": name, "value": value})));
    });
}

#[test]
fn flags_that_a_lower_version_lacks_are_left_out_with_a_warning() {
    // What came with which version.
    let flags = [
        (2, "--hostname=box"),
        (4, "--dns-conf-mode=resolv=stage0,hosts=default"),
        (3, "--disable-capabilities-restriction"),
        (3, "--disable-paths"),
        (3, "--disable-seccomp"),
    ];
    for version in 1..=6 {
        let fixture = Fixture::new();
        let text = version.to_string();
        annotate(&fixture, VERSION, (version > 1).then_some(text.as_str()));
        let image = fixture.aci("app", |_| {});
        let output = fixture.bulkhead(&[
            "run",
            "--insecure-options=image,all-run",
            "--hostname=box",
            "--dns=10.0.0.1",
            &image,
        ]);
        assert_eq!(output.status.code(), Some(42), "{output:?}");
        let (known, unknown): (Vec<_>, Vec<_>) =
            flags.iter().partition(|(since, _)| *since <= version);
        let mut expected = vec!["--net=none".to_owned()];
        expected.extend(known.iter().map(|(_, flag)| (*flag).to_owned()));
        let uuid = fixture.pod().file_name().unwrap().display().to_string();
        expected.push(uuid);
        assert_eq!(fixture.recorded("argument"), expected, "version {version}");
        let warnings = unknown.iter().map(|(since, flag)| {
            let flag = flag.split('=').next().unwrap();
            format!(
                "run: warning: stage1 image bulkhead.dev/stage1-test speaks version {version} of the interface, \
                 and {flag} came with version {since}: it is left out\n"
            )
        });
        let warnings: String = warnings.collect();
        assert_eq!(String::from_utf8_lossy(&output.stderr), warnings);
    }
}

#[test]
fn a_version_that_nobody_knows_is_an_error() {
    for version in ["7", "0", "-1", "six", "6.0", ""] {
        let fixture = Fixture::new();
        annotate(&fixture, VERSION, Some(version));
        let image = fixture.aci("app", |_| {});
        let output = fixture.bulkhead(&["run", &image]);
        let stage1 = fixture.path("stage1").display().to_string();
        let expected = format!(
            "run: stage1 image \"{stage1}\"\n  └─{stage1}/manifest: annotation {VERSION}: \
             \"{version}\" is none of 1 to 6, which this program speaks\n"
        );
        assert_error(&output, &expected);
        assert_eq!(fixture.pods(), [""; 0]);
    }
}

/// `app sandbox`, which must be refused.
#[track_caller]
fn sandbox_refused(fixture: &Fixture, expected: &str) {
    let stage1 = format!("--stage1={}", fixture.path("stage1").display());
    let output = fixture.bulkhead(&["app", "sandbox", &stage1]);
    assert_error(&output, &format!("app sandbox: {expected}\n"));
    assert_eq!(fixture.pods(), [""; 0]);
}

#[test]
fn a_mutable_pod_needs_a_stage1_for_it() {
    let fixture = Fixture::new();
    annotate(&fixture, VERSION, Some("4"));
    sandbox_refused(
        &fixture,
        "stage1 image bulkhead.dev/stage1-test speaks version 4 of the interface, and pods whose apps come and go \
         (--mutable) came with version 5",
    );
    annotate(&fixture, VERSION, Some("6"));
    annotate(&fixture, "coreos.com/rkt/stage1/app/stop", None);
    annotate(&fixture, "coreos.com/rkt/stage1/app/add", None);
    sandbox_refused(
        &fixture,
        "stage1 image bulkhead.dev/stage1-test cannot run pods whose apps come and go: it has no \
         coreos.com/rkt/stage1/app/add, coreos.com/rkt/stage1/app/stop",
    );
}

#[test]
fn every_entrypoint_that_an_image_names_is_looked_at_before_a_pod_is_made() {
    let names = [
        "run",
        "enter",
        "attach",
        "stop",
        "gc",
        "app/add",
        "app/start",
        "app/stop",
        "app/rm",
    ];
    for name in names {
        let fixture = Fixture::new();
        let image = fixture.aci("app", |_| {});
        let annotation = format!("coreos.com/rkt/stage1/{name}");
        let refused = |value: &str, problem: &str| {
            annotate(&fixture, &annotation, Some(value));
            let output = fixture.bulkhead(&["run", &image]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            let expected = format!("manifest: annotation {annotation}: {problem}\n");
            assert!(stderr.ends_with(&expected), "{stderr}");
            assert_eq!(output.status.code(), Some(254));
            assert_eq!(fixture.pods(), [""; 0]);
        };
        refused("/absent", "/absent is not in the image");
        refused("/rkt", "/rkt is not an executable file");
        refused("relative", "\"relative\" is not an absolute path");
        refused("/../run", "\"/../run\" is not a path without \"..\"");
        symlink("/bin/sh", fixture.path("stage1/rootfs/shell")).unwrap();
        refused("/shell", "/shell is a link out of the image");
    }
}

#[test]
fn a_pod_whose_stage1_lost_a_program_says_which() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    assert_eq!(fixture.bulkhead(&["run", &image]).status.code(), Some(42));
    let pod = fixture.pod();
    let id = pod.file_name().unwrap().display().to_string();
    let _running = hold(&pod);
    fs::write(pod.join("pid"), "4711\n").unwrap();
    let closed = |name: &str| {
        let program = pod.join("stage1/rootfs").join(name);
        // The image's file is a link to the same.
        fs::remove_file(&program).unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    };
    for (words, name) in [
        (&["enter", &id, "/bin/true"][..], "enter"),
        (&["attach", &id], "attach"),
        (&["stop", &id], "stop"),
    ] {
        closed(name);
        let output = fixture.bulkhead(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected =
            format!("annotation coreos.com/rkt/stage1/{name}: /{name} is not an executable file\n");
        assert!(stderr.contains(&expected), "{stderr}");
        assert_eq!(output.status.code(), Some(254));
    }
}

#[test]
fn the_local_configuration_is_handed_on() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let output = fixture.bulkhead(&["run", "--local-config=local", &image]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let local = fixture.path("local").display().to_string();
    let arguments = fixture.recorded("argument");
    assert_eq!(
        arguments[..2],
        ["--net=none".to_owned(), format!("--local-config={local}")]
    );
    for (version, knows) in [("4", false), ("5", true)] {
        let fixture = Fixture::new();
        annotate(&fixture, VERSION, Some(version));
        let image = fixture.aci("app", |_| {});
        fixture.bulkhead(&["run", &image]);
        fs::remove_file(fixture.path("record")).unwrap();
        let output = fixture.bulkhead(&["gc", "--local-config=/l", "--grace-period=0"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let record = fs::read_to_string(fixture.path("record")).unwrap();
        assert_eq!(record.contains(": --local-config=/l "), knows, "{record}");
    }
}
