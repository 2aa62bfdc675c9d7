#![allow(clippy::unwrap_used)] // A test fails by panicking.

use clap::ValueEnum;

use super::*;
use crate::examples::tests::{calls, subcommands, text};

/// A flag of the program, of a pod, of its start, and of an app.
const FLAGS: [&str; 4] = ["insecure-options", "inherit-env", "hostname", "caps-retain"];

#[test]
fn every_shell_completes_subcommands_and_the_flags_of_apps_too() {
    for shell in Shell::value_variants() {
        let script = CompletionOptions { shell: *shell }.text();
        for word in FLAGS {
            assert!(script.contains(word), "{shell}: {word}");
        }
        for (words, command) in subcommands(&arguments::definition(), "") {
            assert!(script.contains(command.get_name()), "{shell}: {words}");
        }
    }
}

#[test]
fn images_are_completed_as_files() {
    let script = CompletionOptions { shell: Shell::Zsh }.text();
    let images = script.lines().filter(|line| line.contains("images --"));
    let files = images.filter(|line| line.contains("_files"));
    assert_eq!(files.count(), WITH_IMAGES.len());
}

#[test]
fn bash_completes_flags_of_an_app_after_its_image() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("bulkhead");
    let text = CompletionOptions { shell: Shell::Bash }.text();
    std::fs::write(&script, text).unwrap();
    let ask = "source \"$1\"; COMP_WORDS=(bulkhead run redis.aci --caps-); COMP_CWORD=3; \
               _bulkhead bulkhead --caps- redis.aci; echo ${COMPREPLY[@]}";
    let output = std::process::Command::new("bash")
        .args(["-c", ask, "bash"])
        .arg(&script)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "--caps-retain --caps-remove\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn each_subcommand_has_a_page_with_its_examples_and_run_s_has_the_flags_of_apps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    ManOptions { directory: path }.write().unwrap();
    let read = |page: &str| {
        let page = std::fs::read_to_string(directory.path().join(page)).expect(page);
        page.replace('\\', "")
    };
    for (words, command) in subcommands(&arguments::definition(), "") {
        let page = read(&format!("bulkhead-{}.1", words.replace(' ', "-")));
        for call in calls(&text(&command)) {
            assert!(page.contains(&call.join(" ")), "{words}: {call:?}");
        }
    }
    read("bulkhead.1");
    let run = read("bulkhead-run.1");
    for flag in FLAGS {
        assert!(run.contains(&format!("--{flag}")), "{flag}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = PathBuf::from("/nowhere/at/all");
    let error = ManOptions { directory }.write().unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}
