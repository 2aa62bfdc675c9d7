use super::*;

#[test]
fn an_absent_call_has_a_reason_and_is_one_that_debian_answers() {
    for (name, number, reason) in ABSENT {
        assert!(!reason.is_empty(), "{name}");
        assert!(*number <= LAST_PROBED, "{name}");
        let debian_lacks_it = DEBIAN_ENOSYS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(number));
        assert!(!debian_lacks_it, "{name} needs no exception");
    }
}

#[test]
fn everything_else_must_be_answered() {
    let (read, init_module, create_module) = (0, 175, 174);
    assert!(!may_be_absent(read));
    assert!(may_be_absent(init_module));
    assert!(may_be_absent(create_module), "gone from Linux since 2.6");
}

#[test]
fn the_ranges_are_in_order_and_apart() {
    for pair in DEBIAN_ENOSYS.windows(2) {
        assert!(
            pair[0].0 <= pair[0].1 && pair[0].1 + 1 < pair[1].0,
            "{pair:?}"
        );
    }
}
