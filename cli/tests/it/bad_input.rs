//! Each mistake gives one error that names what is wrong, and leaves no pod behind.

use std::fs;

use serde_json::json;

use crate::fixture::{Fixture, assert_error, list};

#[track_caller]
fn assert_nothing_left(fixture: &Fixture) {
    assert_eq!(fixture.pods(), [""; 0]);
    assert_eq!(
        list(&fixture.path("data/cas/tmp")),
        [""; 0].map(std::path::PathBuf::from)
    );
    assert!(!fixture.path("record").exists(), "stage1 was executed");
}

#[test]
fn a_missing_image() {
    let fixture = Fixture::new();
    let output = fixture.bulkhead(&["run", "./absent.aci"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.starts_with("run: cannot import image ./absent.aci\n  └─"),
        "{stderr}"
    );
    assert!(
        stderr.ends_with("No such file or directory (os error 2)\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(254));
    assert_nothing_left(&fixture);
}

#[test]
fn a_file_that_is_no_image() {
    let fixture = Fixture::new();
    fs::write(fixture.path("text.aci"), "this is no image").unwrap();
    let output = fixture.bulkhead(&["run", "./text.aci"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("run: cannot import image ./text.aci\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(254));
    assert_nothing_left(&fixture);
}

#[test]
fn an_image_for_another_machine() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |manifest| {
        manifest["labels"][1]["value"] = json!("aarch64")
    });
    let output = fixture.bulkhead(&["run", &image]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("aarch64"), "{stderr}");
    assert_eq!(output.status.code(), Some(254));
    assert_nothing_left(&fixture);
}

#[test]
fn a_manifest_with_a_wrong_field() {
    let cases = [
        ("/app/user", json!(0)),
        ("/app/isolators/0/name", json!("os/linux/magic")),
        ("/app/environment/1/name", json!("FROM")),
        ("/app/exec", json!("/bin/app")),
    ];
    for (pointer, value) in cases {
        let fixture = Fixture::new();
        let image = fixture.aci("app", |manifest| {
            *manifest.pointer_mut(pointer).unwrap() = value
        });
        let output = fixture.bulkhead(&["run", &image]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(&image), "names the file: {stderr}");
        let field = pointer.split('/').nth(2).unwrap();
        assert!(
            stderr.contains(field) || stderr.contains("magic"),
            "{pointer}: {stderr}"
        );
        assert_eq!(output.status.code(), Some(254));
        assert_nothing_left(&fixture);
    }
}

#[test]
fn two_apps_of_one_name() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let output = fixture.bulkhead(&["run", &image, &image]);
    let text = "run: two apps are called \"app\": give one of them another name with --name\n";
    assert_error(&output, text);
    assert_nothing_left(&fixture);
    let output = fixture.bulkhead(&["run", &image, &image, "--name=second"]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
}

#[test]
fn nothing_to_run() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |manifest| {
        manifest.as_object_mut().unwrap().remove("app");
    });
    let output = fixture.bulkhead(&["run", &image]);
    let text = format!("run: image \"{image}\" says no program to run: give one with --exec\n");
    assert_error(&output, &text);
    assert_nothing_left(&fixture);
}

#[test]
fn variables_that_do_not_fit() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let output = fixture.bulkhead(&["run", "--set-env=A=1", "--set-env=A=2", &image]);
    assert_error(&output, "run: --set-env sets \"A\" twice\n");
    let output = fixture.bulkhead(&["run", &image, "--environment=A=1", "--environment=A=2"]);
    assert_error(
        &output,
        "run: app \"app\"\n  └─--environment sets \"A\" twice\n",
    );
    fs::write(fixture.path("file"), "A=1\nbroken\n").unwrap();
    let output = fixture.bulkhead(&["run", "--set-env-file=file", &image]);
    let text =
        "run: --set-env-file\n  └─file line 2\n    └─\"broken\" is not of the form NAME=VALUE\n";
    assert_error(&output, text);
    let output = fixture.bulkhead(&["run", "--set-env-file=absent", &image]);
    let text =
        "run: --set-env-file\n  └─read absent\n    └─No such file or directory (os error 2)\n";
    assert_error(&output, text);
    assert_nothing_left(&fixture);
}

#[test]
fn a_stage1_that_is_not_there_or_not_whole() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let run = |stage1: &str| {
        fixture
            .command()
            .args(["run", "--stage1", stage1, &image])
            .output()
            .unwrap()
    };
    let stderr = String::from_utf8(run("absent").stderr).unwrap();
    assert!(
        stderr.starts_with("run: no stage1 image \"absent\" in "),
        "{stderr}"
    );
    let text = "run: stage1 image \"./absent\"\n  └─read DIR/absent/manifest\n    \
                └─No such file or directory (os error 2)\n";
    let directory = fixture
        .path("")
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    assert_error(&run("./absent"), &text.replace("DIR", &directory));
    assert_nothing_left(&fixture);

    // Whole, but the program in it does not start: the pod that was made for it goes.
    fs::write(fixture.path("stage1/rootfs/run"), "#!/absent/interpreter\n").unwrap();
    let output = fixture.bulkhead(&["run", &image]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("run: execute /"), "{stderr}");
    assert!(
        stderr.ends_with("/run\n  └─No such file or directory (os error 2)\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(254));
    assert_nothing_left(&fixture);
}

#[test]
fn a_data_directory_that_is_a_file() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    fs::write(fixture.path("data"), "").unwrap();
    let output = fixture.bulkhead(&["run", &image]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let data = fixture.path("data").display().to_string();
    assert!(
        stderr.starts_with(&format!("run: open the image store of {data}\n")),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(254));
}

#[test]
fn a_uuid_file_that_cannot_be_written() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let output = fixture.bulkhead(&["run", "--uuid-file-save=absent/uuid", &image]);
    let text =
        "run: write the pod's UUID to absent/uuid\n  └─No such file or directory (os error 2)\n";
    assert_error(&output, text);
    assert_nothing_left(&fixture);
}

#[test]
fn a_user_group_or_directory_that_the_image_does_not_have_starts_no_pod() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    for (flag, problem) in [
        (
            "--user=mallory",
            "user: \"mallory\" is not in the image's /etc/passwd",
        ),
        (
            "--group=mallory",
            "group: \"mallory\" is not in the image's /etc/group",
        ),
        (
            "--working-dir=/none",
            "workingDirectory: \"/none\" is not in the image",
        ),
    ] {
        let output = fixture.bulkhead(&["run", &image, flag]);
        assert_error(&output, &format!("run: app \"app\": {problem}\n"));
        assert!(fixture.pods().is_empty());
    }
}
