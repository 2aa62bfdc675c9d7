use super::*;
use crate::plan::seccomp::calls;

#[test]
fn every_member_is_a_call_of_the_tables() {
    for (group, _) in GROUPS {
        let mut set = BTreeSet::new();
        assert!(expand(group, &mut set), "{group}");
        let unknown: Vec<_> = set.iter().filter(|name| !calls::exists(name)).collect();
        assert!(unknown.is_empty(), "{group}: {unknown:?}");
    }
}

#[test]
fn groups_hold_groups_and_unknown_ones_are_known_as_such() {
    let mut set = BTreeSet::new();
    assert!(expand("@systemd/privileged", &mut set));
    assert!(set.contains("swapon") && set.contains("chown") && set.contains("acct"));
    assert!(!expand("@systemd/nothing", &mut set));
}
