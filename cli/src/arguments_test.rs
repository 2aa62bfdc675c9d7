use super::*;

fn parse_line(line: &str) -> Result<Request, UsageError> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(&words)
}

fn run(line: &str) -> (GlobalOptions, RunRequest) {
    match parse_line(line) {
        Ok(Request::Run(global, request)) => (global, *request),
        other => panic!("{line}: {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    match parse_line(line) {
        Err(UsageError::Wrong(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn help(line: &str) -> String {
    match parse_line(line) {
        Err(UsageError::Help(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn clap_agrees_with_its_own_definitions() {
    CommandLine::command().debug_assert();
}

#[test]
fn global_options_before_and_after_the_subcommand() {
    for line in [
        "--dir /d --debug run a",
        "run --dir=/d --debug a",
        "--debug run a --dir /d",
    ] {
        let (global, request) = run(line);
        assert_eq!(
            (global.dir_flag, global.debug),
            (Some(PathBuf::from("/d")), true),
            "{line}"
        );
        assert_eq!(request.pod.apps[0].image, "a");
    }
    let (global, _) = run("run a");
    assert_eq!((global.dir_flag, global.debug), (None, false));
    assert!(!run("--debug=false run a").0.debug);
}

#[test]
fn insecure_options() {
    let leaves_out = |line: &str| {
        let (global, _) = run(line);
        use InsecureOption::{Capabilities, Paths, Seccomp};
        [Capabilities, Paths, Seccomp].map(|check| global.leaves_out(check))
    };
    assert_eq!(leaves_out("run a"), [false; 3]);
    assert_eq!(
        leaves_out("--insecure-options=image,seccomp run a"),
        [false, false, true]
    );
    assert_eq!(leaves_out("run --insecure-options=all-run a"), [true; 3]);
    assert_eq!(leaves_out("run --insecure-options=all-fetch a"), [false; 3]);
    assert!(wrong("run --insecure-options=everything a").contains("everything"));
}

#[test]
fn subcommands_by_prefix() {
    assert!(matches!(parse_line("version"), Ok(Request::Version)));
    assert!(matches!(parse_line("ver"), Ok(Request::Version)));
    assert!(matches!(parse_line("doc --json"), Ok(Request::Doctor(..))));
    assert!(matches!(parse_line("run image"), Ok(Request::Run(..))));
    assert!(matches!(
        parse_line("run-p uuid"),
        Ok(Request::RunPrepared(..))
    ));
    assert!(matches!(parse_line("prep a"), Ok(Request::Prepare(..))));
    assert!(wrong("ru image").starts_with("bulkhead: unrecognized subcommand 'ru'"));
    assert!(wrong("frobnicate").starts_with("bulkhead: unrecognized subcommand 'frobnicate'"));
}

#[test]
fn no_subcommand_is_an_error_of_its_own() {
    assert!(matches!(parse_line(""), Err(UsageError::NoSubcommand(_))));
    assert!(matches!(
        parse_line("--debug"),
        Err(UsageError::NoSubcommand(_))
    ));
}

/// A command line, and what is said of it.
const WRONG_WORDS: &[(&str, &str)] = &[
    ("run", "run: must provide at least one image\n"),
    ("run --frob a", "run: unexpected argument '--frob' found\n"),
    ("run a --frob", "run: unexpected argument '--frob' found\n"),
    (
        "run a --nam=x",
        "run: unexpected argument '--nam' found\n  tip: a similar argument exists: '--name'\n",
    ),
    (
        "run a --name",
        "run: a value is required for '--name <NAME>' but none was supplied\n",
    ),
    (
        "run a --name=Foo",
        "run: invalid value 'Foo' for '--name <NAME>': \"Foo\" is not an AC name\n",
    ),
    (
        "run a --memory=16m",
        "run: invalid value '16m' for '--memory <QUANTITY>': 1 bytes are fewer than 4096; was a unit meant, as in 1Mi?\n",
    ),
    (
        "run a --memory=4095",
        "run: invalid value '4095' for '--memory <QUANTITY>': 4095 bytes are fewer than 4096; was a unit meant, as in 4095Mi?\n",
    ),
    (
        "run a --cpu=x",
        "run: invalid value 'x' for '--cpu <QUANTITY>': \"x\" is not a quantity (as 2, 0.5, 500m, 16Mi)\n",
    ),
    (
        "run --net=host a",
        "run: invalid value 'host' for '--net[=<NETWORKS>]': only none is supported yet: networking comes later\n",
    ),
    (
        "run --net a",
        "run: invalid value 'default' for '--net[=<NETWORKS>]': only none is supported yet: networking comes later\n",
    ),
    (
        "run --interactive a b",
        "run: --interactive is for one app, this pod has 2\n",
    ),
    (
        "run a --caps-retain=CAP_KILL --cap-remove=CAP_CHOWN",
        "run: the argument '--caps-retain <CAP_...,...>' cannot be used with '--caps-remove <CAP_...,...>'\n",
    ),
    (
        "run -- x",
        "run: an image is required before any app arguments (--)\n",
    ),
    (
        "run a --name=x --name=y",
        "run: the argument '--name <NAME>' cannot be used multiple times\n",
    ),
    (
        "run --set-env=1=2 a",
        "run: invalid value '1=2' for '--set-env <NAME=VALUE>': \"1\" is not an environment variable's name\n",
    ),
    (
        "run --set-env=A a",
        "run: invalid value 'A' for '--set-env <NAME=VALUE>': \"A\" is not of the form NAME=VALUE\n",
    ),
    (
        "run --hostname=a_b a",
        "run: invalid value 'a_b' for '--hostname <NAME>': \"a_b\" is not a host name (letters, digits, dots and dashes, at most 64)\n",
    ),
    ("prepare", "prepare: must provide at least one image\n"),
    (
        "prepare --frob a",
        "prepare: unexpected argument '--frob' found\n",
    ),
    (
        "prepare a --name=Foo",
        "prepare: invalid value 'Foo' for '--name <NAME>': \"Foo\" is not an AC name\n",
    ),
    (
        "doctor --frob",
        "bulkhead: unexpected argument '--frob' found\n",
    ),
];

#[test]
fn wrong_words_are_named() {
    for (line, expected) in WRONG_WORDS {
        let command = match line.split(' ').next() {
            Some("run") => "bulkhead run",
            Some("prepare") => "bulkhead prepare",
            _ => "bulkhead",
        };
        let help = format!("For more information, try '{command} --help'.\n");
        assert_eq!(wrong(line), format!("{expected}{help}"), "{line}");
    }
}

/// It is the run that has them.
#[test]
fn a_pod_is_prepared_without_a_start() {
    for flag in [
        "--net=none",
        "--interactive",
        "--hostname=a",
        "--uuid-file-save=a",
    ] {
        let name = flag.split('=').next().unwrap();
        let expected = format!("prepare: unexpected argument '{name}' found\n");
        let error = wrong(&format!("prepare {flag} a"));
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn help_teaches() {
    let overview = help("--help");
    for part in [
        "run",
        "doctor",
        "version",
        "Examples:",
        "--dir <DIR>",
        "Exit status",
    ] {
        assert!(overview.contains(part), "{part} in {overview}");
    }
    assert_eq!(help("help"), overview);
    for line in [
        "run --help",
        "help run",
        "run a --help",
        "run a b --name=x -- y --- --help",
    ] {
        let text = help(line);
        let usage = "Usage: bulkhead run [POD OPTIONS] IMAGE [APP OPTIONS]";
        for part in [
            usage,
            "Pod options",
            "App options",
            "--memory <QUANTITY>",
            "--set-env",
            "redis",
        ] {
            assert!(text.contains(part), "{line}: {part} in {text}");
        }
        assert!(!text.contains("--trace"), "hidden");
    }
    assert!(help("doctor --help").contains("Exit status: 0 when"));
}

#[test]
fn app_add_has_an_image_with_its_flags_and_words() {
    let line = "--debug ap ad 6733 --name=x web.aci --user 7 -- --name=y";
    assert!(matches!(parse_line(line), Ok(Request::AddApp(global, _)) if global.debug));
    assert!(matches!(
        parse_line("app list 6733"),
        Ok(Request::App(_, AppCommand::List(_)))
    ));
    assert!(help("app add --help").contains("app add UUID IMAGE"));
    assert!(wrong("app add 6733 web.aci --nane=x").contains("--name"));
}
