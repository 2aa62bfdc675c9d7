use bulkhead_pod::manifest::Principal;

use super::*;

fn set(names: &[&str], errno: Option<&str>) -> SyscallFilter {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    SyscallFilter::new(names, errno.map(|errno| errno.parse().unwrap())).unwrap()
}

fn planned(isolator: Option<Isolator>) -> Result<Option<Filter>, String> {
    let mut app = App::of(Principal::id(0), Principal::id(0));
    app.isolators.extend(isolator);
    let name = AppName::try_from("web".to_owned()).unwrap();
    filter(&app, &name, 0).map_err(|error| error.to_string())
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
