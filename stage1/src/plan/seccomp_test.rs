use bulkhead_pod::manifest::Principal;

use super::*;

fn set(names: &[&str], errno: Option<&str>) -> SyscallFilter {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    SyscallFilter::new(names, errno.map(|errno| errno.parse().unwrap())).unwrap()
}

fn planned(isolator: Option<Isolator>) -> Result<Option<Filter>, String> {
    planned_with(0, isolator)
}

fn planned_with(bounding_set: u64, isolator: Option<Isolator>) -> Result<Option<Filter>, String> {
    let mut app = App::of(Principal::id(0), Principal::id(0));
    app.isolators.extend(isolator);
    let name = AppName::try_from("web".to_owned()).unwrap();
    filter(&app, &name, bounding_set).map_err(|error| error.to_string())
}

#[test]
fn every_known_call_of_both_tables_has_the_verdict_of_its_set() {
    let named = ["openat", "@systemd/clock", "socketcall"];
    let retain = retain(&set(&named, None)).unwrap();
    let remove = remove(&set(&named, Some("EACCES"))).unwrap();
    let set = set(&named, None);
    let wanted = expand(&set).unwrap();
    for name in calls::names() {
        for (number, table) in [
            (calls::x86_64_number(name), &retain.x86_64),
            (calls::i386_number(name), &retain.i386),
        ] {
            let Some(number) = number else { continue };
            let allowed = table.verdicts.get(&number) == Some(&Verdict::Always(Action::Allow));
            assert_eq!(
                allowed,
                wanted.contains(name) || ALWAYS.contains(&name),
                "{name}"
            );
        }
        if let Some(number) = calls::x86_64_number(name) {
            let denied =
                remove.x86_64.verdicts.get(&number) == Some(&Verdict::Always(Action::Errno(13)));
            assert_eq!(denied, wanted.contains(name), "{name}");
        }
    }
    assert_eq!(
        (retain.x86_64.other, retain.x32),
        (Action::Kill, Action::Kill)
    );
    assert_eq!(
        (remove.i386.other, remove.x32),
        (Action::Allow, Action::Errno(13))
    );
}

#[test]
fn names_that_do_not_exist_are_refused_with_app_and_isolator() {
    let remove = |names: &[&str], errno| planned(Some(Isolator::SeccompRemove(set(names, errno))));
    let whose = "app web: isolator os/linux/seccomp-remove-set";
    for (names, errno, problem) in [
        (["opennat"], None, "Linux on x86 has no system call opennat"),
        (
            ["@systemd/cloc"],
            None,
            "there is no group @systemd/cloc of system calls",
        ),
        (["mount"], Some("ENOPE"), "errno: Linux has no error ENOPE"),
        (
            ["@appc.io/all"],
            None,
            "it removes execve, without which no program starts",
        ),
    ] {
        assert_eq!(remove(&names, errno), Err(format!("{whose}: {problem}")));
    }
}

#[test]
fn all_is_no_filter_and_every_filter_fits() {
    let retain = |name| planned(Some(Isolator::SeccompRetain(set(&[name], None))));
    assert_eq!(retain("@appc.io/all"), Ok(None));
    assert!(retain("@appc.io/empty").unwrap().is_some());
    let default = planned(None).unwrap().unwrap();
    assert!(
        default.len().is_multiple_of(FILTER_INSTRUCTION_LENGTH),
        "{}",
        default.len()
    );
}

#[test]
fn no_filter_opens_files_by_handles_and_no_other_verdict_changes() {
    let number = calls::x86_64_number(OPEN_BY_HANDLE).unwrap();
    let of = |mut policy: Policy| {
        let openat = policy.x86_64.of(calls::x86_64_number("openat").unwrap());
        forbid_handles(&mut policy);
        assert_eq!(
            policy.x86_64.of(calls::x86_64_number("openat").unwrap()),
            openat
        );
        let i386 = calls::i386_number(OPEN_BY_HANDLE).unwrap();
        assert_eq!(policy.i386.of(i386), policy.x86_64.of(number));
        policy.x86_64.of(number)
    };
    let (eperm, kill) = (
        Verdict::Always(Action::Errno(1)),
        Verdict::Always(Action::Kill),
    );
    let named = set(&[OPEN_BY_HANDLE], None);
    let other = set(&["reboot"], None);
    assert_eq!(of(retain(&named).unwrap()), eperm);
    assert_eq!(of(remove(&other).unwrap()), eperm);
    assert_eq!(of(default::policy(u64::MAX)), eperm);
    // What its own set forbids keeps its end.
    assert_eq!(of(retain(&other).unwrap()), kill);
    assert_eq!(of(remove(&named).unwrap()), kill);
    let all = || Some(Isolator::SeccompRetain(set(&["@appc.io/all"], None)));
    let search = 1 << 2;
    assert!(planned_with(search, all()).unwrap().is_some());
    assert_eq!(planned_with(!search, all()), Ok(None));
}
