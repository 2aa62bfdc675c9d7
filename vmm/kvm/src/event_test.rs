use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::*;

#[test]
fn a_bell_rung_often_is_heard_once() {
    let bell = Event::new().unwrap();
    assert!(!bell.hear());
    bell.ring().unwrap();
    bell.ring().unwrap();
    assert!(bell.hear());
    assert!(!bell.hear());
}

#[test]
fn a_silent_bell_that_another_process_has_made_blocking_holds_nobody_up() {
    let bell = Event::new().unwrap();
    let flags = fcntl_getfl(&bell).unwrap();
    fcntl_setfl(&bell, flags.difference(OFlags::NONBLOCK)).unwrap();
    assert!(!bell.hear());
    bell.ring().unwrap();
    assert!(bell.hear());
}
