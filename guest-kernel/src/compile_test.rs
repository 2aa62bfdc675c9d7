use super::*;
use crate::Setting;

#[test]
fn a_failed_command_shows_the_end_of_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let error = run(
        Command::new("sh").args(["-c", "seq 1 100; echo broken >&2; exit 3"]),
        &log,
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "sh -c seq 1 100; echo broken >&2; exit 3 failed; the end of its output:\n72\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("\n100\nbroken"), "{text}");
}

#[test]
fn a_missing_command_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&mut Command::new("/no/such/make"), &dir.path().join("log")).unwrap_err();
    assert_eq!(error.to_string(), "cannot run /no/such/make");
}

#[test]
fn every_option_that_was_not_taken_is_listed() {
    let missed = |option: &str| Missed {
        request: Request {
            option: option.into(),
            setting: Setting::Value("y".into()),
            fragment: "virtio".into(),
        },
        actual: Setting::Off,
    };
    assert_eq!(
        CompileError::NotTaken(vec![missed("CONFIG_A"), missed("CONFIG_B")]).to_string(),
        "the kernel's configuration did not take 2 options:\n\
         CONFIG_A: virtio asks for y, it became n\n\
         CONFIG_B: virtio asks for y, it became n"
    );
}
