use std::time::Duration;

use super::super::tests::new;
use super::*;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn on_a_busy_host_a_machine_gets_its_time_again_and_not_for_ever() {
    let mut session = new(&["web"]);
    for wait in 1..PATIENCE {
        let now = READY_TIMEOUT * wait;
        assert!(!session.is_late(now - Duration::from_millis(1)));
        assert!(session.is_late(now));
        session.wait_longer(now);
        session.tick(now);
        assert_eq!(session.take_actions(), [], "{now:?}");
    }
    let now = READY_TIMEOUT * PATIENCE;
    session.wait_longer(now);
    session.tick(now);
    session.vmm_exited(&ExitReason::Stopped, b"");
    let text = format!("the machine was not ready after {} s", now.as_secs());
    assert!(session.take_actions().contains(&Action::Say(text)));
}

#[test]
fn an_agent_that_came_is_not_late() {
    let mut session = new(&["web"]);
    session.stop(READY_TIMEOUT - Duration::from_millis(1));
    assert!(!session.is_late(READY_TIMEOUT * 2));
}
