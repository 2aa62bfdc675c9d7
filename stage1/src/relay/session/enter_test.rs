use bulkhead_protocol::plan::{Resource, WindowSize};

use super::*;

fn list<const MAX: usize, const COUNT: usize>(words: &[&str]) -> List<Text<MAX>, COUNT> {
    let texts = words.iter().map(|word| Text::try_from(*word).unwrap());
    List::try_from(texts.collect::<Vec<_>>()).unwrap()
}

/// An unprivileged app with everything that can be taken from one.
fn app() -> Process {
    let limit = ResourceLimit {
        resource: Resource::Core,
        soft: Some(0),
        hard: None,
    };
    Process {
        id: ProcessId(0),
        app: AppName::try_from("web".to_owned()).unwrap(),
        arguments: list(&["/bin/web", "--serve"]),
        pre_start: list(&["/bin/before"]),
        post_stop: list(&["/bin/after"]),
        environment: list(&["PATH=/bin", "TERM=dumb", "TERMINAL=no", "EMPTY"]),
        working_directory: Text::try_from("/srv").unwrap(),
        user: Text::try_from("www").unwrap(),
        group: Text::try_from("www").unwrap(),
        groups: List::try_from(vec![7]).unwrap(),
        stdio: Stdio::Pipes { stdin: false },
        capabilities: 0,
        no_new_privileges: true,
        seccomp: Some(vec![0; 8].try_into().unwrap()),
        oom_score_adj: 100,
        rlimits: List::try_from(vec![limit]).unwrap(),
        says_ready: false,
        listeners: List::default(),
    }
}

fn exec(arguments: &[&str], environment: &[&str], terminal: Option<WindowSize>) -> Exec {
    Exec {
        app: app().app,
        arguments: list(arguments),
        environment: list(environment),
        terminal,
    }
}

#[test]
fn it_has_the_app_s_surroundings_and_none_of_its_restrictions() {
    let exec = exec(&["ls", "-l"], &["TERM=xterm", "NEW=1"], None);
    let process = Surroundings::of(&app(), false)
        .process(ProcessId(9), exec)
        .unwrap();
    let expected = Process {
        id: ProcessId(9),
        arguments: list(&["ls", "-l"]),
        pre_start: List::default(),
        post_stop: List::default(),
        environment: list(&["PATH=/bin", "TERMINAL=no", "EMPTY", "TERM=xterm", "NEW=1"]),
        working_directory: Text::try_from("/").unwrap(),
        user: Text::try_from("0").unwrap(),
        group: Text::try_from("0").unwrap(),
        groups: List::default(),
        stdio: Stdio::Pipes { stdin: true },
        capabilities: u64::MAX,
        no_new_privileges: false,
        seccomp: None,
        ..app()
    };
    assert_eq!(process, expected);
}

#[test]
fn confined_it_has_the_app_s_restrictions_and_is_still_root() {
    let exec = exec(&["ls"], &[], None);
    let process = Surroundings::of(&app(), true)
        .process(ProcessId(1), exec)
        .unwrap();
    assert_eq!(process.user.as_str(), "0");
    assert_eq!(
        (
            process.capabilities,
            process.no_new_privileges,
            process.seccomp
        ),
        (app().capabilities, true, app().seccomp)
    );
}

#[test]
fn a_terminal_has_its_size() {
    let size = WindowSize {
        rows: 5,
        columns: 9,
    };
    let exec = exec(&["sh"], &[], Some(size));
    let process = Surroundings::of(&app(), false).process(ProcessId(1), exec);
    assert_eq!(process.unwrap().stdio, Stdio::Terminal { size });
}

#[test]
fn what_cannot_run_is_refused() {
    let surroundings = Surroundings::of(&app(), false);
    let none = surroundings.process(ProcessId(1), exec(&[], &[], None));
    assert_eq!(none, Err(Refusal::NoProgram));
    let variables = (0..MAX_ENVIRONMENT).map(|n| Text::try_from(format!("V{n}=")).unwrap());
    let environment = List::try_from(variables.collect::<Vec<_>>()).unwrap();
    let full = Process {
        environment,
        ..app()
    };
    let surroundings = Surroundings::of(&full, false);
    let replaced = surroundings.process(ProcessId(1), exec(&["ls"], &["V7=new"], None));
    assert_eq!(replaced.unwrap().environment.len(), MAX_ENVIRONMENT);
    let added = surroundings.process(ProcessId(1), exec(&["ls"], &["NEW=1"], None));
    let app = app().app;
    assert_eq!(added, Err(Refusal::Environment { app }));
}
