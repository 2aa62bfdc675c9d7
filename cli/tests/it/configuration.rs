//! What configuration files say, and `config`, which prints what results.

use std::process::Output;

use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_error};

fn config(fixture: &Fixture, words: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bulkhead"));
    let directories = ["system", "local", "user"];
    for name in directories {
        command.arg(format!("--{name}-config"));
        command.arg(fixture.path(name));
    }
    command.args(words).output().unwrap()
}

fn printed(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_results_is_printed_in_the_form_of_the_files() {
    let fixture = Fixture::new();
    fixture.configure(
        "system/paths.d/a.json",
        &json!({"data": "/system", "stage1-images": "/images"}),
    );
    fixture.configure("local/paths.d/a.json", &json!({"data": "/local"}));
    fixture.configure(
        "system/stage1.d/a.json",
        &json!({"name": "example.com/stage1", "version": "1", "location": "/a.aci"}),
    );
    fixture.configure("user/stage1.d/a.json", &json!({"location": "/b.aci"}));
    let paths = |data: &str| json!({"rktVersion": "v1", "rktKind": "paths", "data": data, "stage1-images": "/images"});
    let stage1 = json!({
        "rktVersion": "v1", "rktKind": "stage1",
        "name": "example.com/stage1", "version": "1", "location": "/b.aci"
    });
    let output = config(&fixture, &["config"]);
    assert_eq!(
        printed(&output),
        json!({"stage0": [paths("/local"), stage1]})
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("{\n  \"stage0\": [\n    {\n      \"rktVersion\""),
        "{text}"
    );

    let output = config(&fixture, &["--dir=/flag", "config", "--pretty-print=false"]);
    assert_eq!(
        printed(&output),
        json!({"stage0": [paths("/flag"), stage1]})
    );
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn without_files_the_defaults_are_printed() {
    let fixture = Fixture::new();
    let printed = printed(&config(&fixture, &["config"]));
    let stage0 = printed["stage0"].as_array().unwrap();
    assert_eq!(stage0.len(), 1, "{printed}");
    assert_eq!(stage0[0]["data"], "/var/lib/bulkhead");
}

#[test]
fn the_data_directory_is_the_flag_s_else_the_configuration_s() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let configured = fixture.path("configured");
    fixture.configure("user/paths.d/a.json", &json!({"data": configured}));
    let stage1 = fixture.path("stage1").display().to_string();
    let record = fixture.path("record");
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command
            .args(["run", "--insecure-options=image", "--user-config"])
            .arg(fixture.path("user"));
        command.args(["--stage1", &stage1]).args(words).arg(&image);
        command.env("RECORD", &record).output().unwrap()
    };
    assert_eq!(run(&[]).status.code(), Some(42));
    assert!(configured.join("pods/run").is_dir());
    let flag = fixture.path("data").display().to_string();
    assert_eq!(run(&["--dir", &flag]).status.code(), Some(42));
    assert_eq!(fixture.pods().len(), 1);
}

#[test]
fn a_wrong_file_stops_whatever_was_asked_for() {
    let fixture = Fixture::new();
    let file = fixture.configure("local/paths.d/a.json", &json!({"data": "relative"}));
    let expected = format!(
        "bulkhead: configuration {}\n  └─data \"relative\" is not an absolute path\n",
        file.display()
    );
    for words in [&["config"][..], &["list"], &["gc"], &["run", "a.aci"]] {
        assert_error(&config(&fixture, words), &expected);
    }
    let version = config(&fixture, &["version"]);
    assert_eq!(version.status.code(), Some(0), "needs no configuration");
}
