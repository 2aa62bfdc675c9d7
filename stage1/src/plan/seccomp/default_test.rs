use super::*;

fn verdict(name: &str, set: u64) -> Verdict {
    policy(set).x86_64.verdicts[&calls::x86_64_number(name).unwrap()]
}

#[test]
fn the_list_of_capabilities_is_read_whole() {
    let lines = BY_CAPABILITY.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(grants().count(), lines.count());
    for (capability, mut names) in grants() {
        assert!(names.all(calls::exists), "{capability}");
    }
}

#[test]
fn a_capability_opens_its_calls() {
    let admin = 1 << 21;
    let eperm = Action::Errno(1);
    assert_eq!(verdict("mount", 0), Verdict::Always(eperm));
    assert_eq!(verdict("mount", admin), Verdict::Always(Action::Allow));
    assert_eq!(verdict("keyctl", u64::MAX), Verdict::Always(eperm));
    assert_eq!(
        verdict("clone", 0),
        Verdict::If(Test::NoneOf(NEW_NAMESPACES), eperm)
    );
    assert_eq!(verdict("clone", admin), Verdict::Always(Action::Allow));
    assert_eq!(verdict("clone3", 0), Verdict::Always(Action::Errno(38)));
    assert!(matches!(verdict("socket", 0), Verdict::If(..)));
    assert_eq!(verdict("openat", 0), Verdict::Always(Action::Allow));
}
