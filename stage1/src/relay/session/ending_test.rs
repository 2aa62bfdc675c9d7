use std::time::Duration;

use super::super::tests::new;
use super::*;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn on_a_busy_host_a_machine_gets_its_time_again() {
    let mut session = new(&["web"]);
    assert!(!session.is_late(READY_TIMEOUT - Duration::from_millis(1)));
    assert!(session.is_late(READY_TIMEOUT));
    session.wait_longer(READY_TIMEOUT);
    session.tick(READY_TIMEOUT);
    assert_eq!(session.take_actions(), []);
    let now = READY_TIMEOUT * 2;
    session.tick(now);
    session.vmm_exited(&ExitReason::Stopped, b"");
    let text = format!("the machine was not ready after {} s", now.as_secs());
    assert!(session.take_actions().contains(&Action::Say(text)));
}

#[test]
fn who_has_stopped_is_not_late_and_gets_longer_to_end_too() {
    let mut session = new(&["web"]);
    let now = READY_TIMEOUT - Duration::from_millis(1);
    session.stop(now);
    assert!(!session.is_late(now));
    let late = now + VMM_END_LIMIT;
    assert!(session.is_late(late));
    session.wait_longer(late);
    assert_eq!(session.deadline(), Some(late + VMM_END_LIMIT));
}
