use bulkhead_pod::manifest::{CapabilitySet, Principal};

use super::*;

fn app(isolator: Option<Isolator>) -> App {
    let mut app = App::of(Principal::id(0), Principal::id(0));
    app.isolators.extend(isolator);
    app
}

fn set(names: &[&str]) -> CapabilitySet {
    CapabilitySet::new(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap()
}

/// What `/proc/self/status` of a container of Docker says.
const DOCKER: u64 = 0xa804_25fb;

#[test]
fn the_default_is_what_containers_have() {
    assert_eq!(bounding_set(&app(None), false), DOCKER);
}

#[test]
fn sets_replace_or_reduce_it_and_the_user_s_word_stands_above() {
    let retain = app(Some(Isolator::CapabilitiesRetain(set(&[
        "CAP_CHOWN",
        "CAP_SYS_ADMIN",
    ]))));
    assert_eq!(bounding_set(&retain, false), 1 | 1 << 21);
    let remove = app(Some(Isolator::CapabilitiesRemove(set(&[
        "CAP_CHOWN",
        "CAP_SYS_ADMIN",
    ]))));
    assert_eq!(bounding_set(&remove, false), DOCKER & !1);
    assert_eq!(bounding_set(&remove, true), u64::MAX);
}
