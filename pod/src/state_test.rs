use super::*;

#[test]
fn place_and_lock_are_the_state() {
    let names = |locked| Phase::ALL.map(|phase| State::of(phase, locked).to_string());
    let free = [
        "embryo",
        "aborted prepare",
        "prepared",
        "exited",
        "exited garbage",
        "garbage",
    ];
    let held = [
        "embryo",
        "preparing",
        "prepared",
        "running",
        "exited deleting",
        "deleting",
    ];
    assert_eq!(names(false), free);
    assert_eq!(names(true), held);
}

#[test]
fn nothing_is_to_be_waited_for_in_a_finished_pod() {
    let finished = |phase, locked| State::of(phase, locked).is_finished();
    assert_eq!(
        Phase::ALL.map(|phase| finished(phase, true)),
        [false, false, false, false, true, true]
    );
    assert_eq!(
        Phase::ALL.map(|phase| finished(phase, false)),
        [false, true, false, true, true, true]
    );
}
