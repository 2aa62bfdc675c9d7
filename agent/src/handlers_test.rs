use bulkhead_protocol::plan::{AppName, ProcessId, Stdio};

use super::*;

fn words(words: &[&str]) -> Vec<bulkhead_protocol::bounded::Text<131_071>> {
    words.iter().map(|&word| word.try_into().unwrap()).collect()
}

fn process(pre_start: &[&str], post_stop: &[&str]) -> Process {
    Process {
        id: ProcessId(0),
        app: AppName::try_from("web".to_owned()).unwrap(),
        arguments: words(&["/main"]).try_into().unwrap(),
        pre_start: words(pre_start).try_into().unwrap(),
        post_stop: words(post_stop).try_into().unwrap(),
        environment: Vec::new().try_into().unwrap(),
        working_directory: "/".try_into().unwrap(),
        user: "web".try_into().unwrap(),
        group: "100".try_into().unwrap(),
        groups: vec![4, 20].try_into().unwrap(),
        stdio: Stdio::Pipes { stdin: false },
        capabilities: 0,
        no_new_privileges: false,
        seccomp: None,
        oom_score_adj: 0,
        rlimits: Vec::new().try_into().unwrap(),
        says_ready: false,
        listeners: Vec::new().try_into().unwrap(),
    }
}

fn both() -> Handlers {
    Handlers::of(&process(&["/before", "x"], &["/after"])).unwrap()
}

fn program(handlers: &Handlers) -> String {
    handlers.program().arguments[0].as_str().to_owned()
}

fn reason(text: &str) -> Option<Reason> {
    Some(Reason::truncated(text))
}

#[test]
fn the_three_run_one_after_the_other() {
    assert!(Handlers::of(&process(&[], &[])).is_none());
    let mut handlers = both();
    assert_eq!(program(&handlers), "/before");
    let next = handlers.ended(Exit::Code(0), None, true, PodIs::Running);
    assert_eq!((next, program(&handlers).as_str()), (After::Next, "/main"));
    let next = handlers.ended(Exit::Code(3), reason("why"), true, PodIs::Running);
    assert_eq!((next, program(&handlers).as_str()), (After::Next, "/after"));
    let end = handlers.ended(Exit::Code(0), None, true, PodIs::Running);
    assert_eq!(end, After::End(Exit::Code(0), None));
    let told = handlers.final_end(Exit::Code(0), None);
    assert_eq!(told, (Exit::Code(3), reason("why")));
}

#[test]
fn handlers_are_root_s_whoever_the_app_is() {
    let mut handlers = both();
    let who = |handlers: &Handlers| {
        let program = handlers.program();
        let (user, group) = (program.user.as_str(), program.group.as_str());
        (user.to_owned(), group.to_owned(), program.groups.to_vec())
    };
    let root = ("0".to_owned(), "0".to_owned(), vec![]);
    assert_eq!(who(&handlers), root);
    handlers.ended(Exit::Code(0), None, true, PodIs::Running);
    let app = ("web".to_owned(), "100".to_owned(), vec![4, 20]);
    assert_eq!(who(&handlers), app);
    handlers.ended(Exit::Code(0), None, true, PodIs::Running);
    assert_eq!(who(&handlers), root);
}

#[test]
fn a_failed_handler_before_is_the_end() {
    let end = both().ended(Exit::Code(7), None, true, PodIs::Running);
    let text = "its pre-start handler ended with 7; the app was not started";
    assert_eq!(end, After::End(Exit::Code(7), reason(text)));
    let end = both().ended(Exit::Signal(9), None, true, PodIs::Stopping);
    let text = "its pre-start handler was ended by signal 9; the app was not started";
    assert_eq!(end, After::End(Exit::Signal(9), reason(text)));
}

#[test]
fn a_stopped_pod_starts_nothing_but_handlers_after() {
    let end = both().ended(Exit::Code(0), None, true, PodIs::Stopping);
    let text = "the pod was stopped before it was started";
    assert_eq!(end, After::End(Exit::Signal(15), reason(text)));
    let mut handlers = Handlers::of(&process(&[], &["/after"])).unwrap();
    let next = handlers.ended(Exit::Signal(15), None, true, PodIs::Stopping);
    assert_eq!((next, handlers.stage()), (After::Next, Stage::PostStop));
    let mut handlers = Handlers::of(&process(&[], &["/after"])).unwrap();
    let end = handlers.ended(Exit::Signal(9), None, true, PodIs::Over);
    assert_eq!(end, After::End(Exit::Signal(9), None));
}

#[test]
fn nothing_follows_a_program_that_never_ran() {
    let mut handlers = Handlers::of(&process(&[], &["/after"])).unwrap();
    let end = handlers.ended(Exit::Code(203), reason("cannot run"), false, PodIs::Running);
    assert_eq!(end, After::End(Exit::Code(203), reason("cannot run")));
}

#[test]
fn a_failed_handler_after_is_told_and_changes_no_code() {
    let mut handlers = Handlers::of(&process(&[], &["/after"])).unwrap();
    handlers.ended(Exit::Code(0), None, true, PodIs::Running);
    let After::End(exit, why) = handlers.ended(Exit::Code(4), None, true, PodIs::Running) else {
        panic!("there is nothing behind it");
    };
    let told = handlers.final_end(exit, why);
    let text = "its post-stop handler ended with 4";
    assert_eq!(told, (Exit::Code(0), reason(text)));
}
