use bulkhead_pod::manifest::PodManifest;

use super::*;

const NONE: Stdio = Stdio::Pipes { stdin: false };

fn of_modes(modes: &[(&str, &str)], callers: Stdio) -> Result<(Stdio, Outputs), String> {
    let modes = modes.iter();
    let annotations =
        modes.map(|(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#));
    let annotations = annotations.collect::<Vec<_>>().join(",");
    let id = format!("sha512-{}", "0f".repeat(64));
    let json = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{{
            "name":"web","image":{{"id":"{id}"}},"annotations":[{annotations}]}}]}}"#
    );
    let app = PodManifest::parse(json.as_bytes()).unwrap().apps[0].clone();
    let name = AppName::try_from("web".to_owned()).unwrap();
    of(&app, &name, callers).map_err(|error| error.to_string())
}

fn outputs(stdout: Destination, stderr: Destination) -> Outputs {
    Outputs { stdout, stderr }
}

#[test]
fn without_modes_output_is_logged_and_there_is_no_input() {
    let log = outputs(Destination::Log, Destination::Log);
    assert_eq!(of_modes(&[], NONE), Ok((NONE, log)));
    let pipes = Stdio::Pipes { stdin: true };
    assert_eq!(of_modes(&[], pipes), Ok((pipes, log)));
    let terminal = Stdio::Terminal { size: SIZE };
    let shown = outputs(Destination::Stream, Destination::Stream);
    assert_eq!(of_modes(&[], terminal), Ok((terminal, shown)));
}

#[test]
fn modes_say_where_each_stream_leads() {
    let modes = [(STDIN, "stream"), (STDOUT, "stream"), (STDERR, "null")];
    let expected = outputs(Destination::Stream, Destination::Null);
    assert_eq!(
        of_modes(&modes, NONE),
        Ok((Stdio::Pipes { stdin: true }, expected))
    );
    let attached = outputs(Destination::Attached, Destination::Attached);
    assert_eq!(
        of_modes(&[(STDIN, "tty")], NONE),
        Ok((Stdio::Terminal { size: SIZE }, attached))
    );
}

#[test]
fn what_does_not_go_together_is_named() {
    let error = |modes: &[_], callers| of_modes(modes, callers).unwrap_err();
    assert_eq!(
        error(&[(STDIN, "tty"), (STDOUT, "log")], NONE),
        "app web: its streams: a terminal is all three, or none of them"
    );
    assert_eq!(
        error(&[(STDOUT, "file")], NONE),
        "app web: its streams: \"file\" is not one of log, null, stream and tty"
    );
    assert_eq!(
        error(&[(STDOUT, "log")], Stdio::Pipes { stdin: true }),
        "app web: its streams: those of an interactive app are its caller's"
    );
}
