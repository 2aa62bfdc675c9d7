use std::thread;

use super::*;

#[test]
fn members_stand_until_the_gate_opens() {
    let bell = Arc::new(Event::new().unwrap());
    let gate = Arc::new(Gate::new(3, Arc::clone(&bell)));
    for _ in 0..50 {
        gate.close();
        assert!(!gate.all_stand());
        let members: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.pass(|| {}))
            })
            .collect();
        while !gate.all_stand() {
            thread::yield_now();
        }
        assert!(bell.hear());
        gate.open();
        for member in members {
            assert!(member.join().unwrap());
        }
    }
}

#[test]
fn an_open_gate_holds_nobody_and_an_ended_one_sends_home() {
    let gate = Gate::new(1, Arc::new(Event::new().unwrap()));
    assert!(gate.pass(|| {}));
    gate.end();
    assert!(!gate.pass(|| {}));
    gate.close();
    gate.open();
    assert!(!gate.pass(|| {}), "an end is for good");
}

#[test]
fn a_gate_without_members_is_always_ready() {
    let gate = Gate::new(0, Arc::new(Event::new().unwrap()));
    assert!(!gate.all_stand());
    gate.close();
    assert!(gate.all_stand());
}

#[test]
fn closing_again_before_anybody_left_tells_again() {
    let bell = Arc::new(Event::new().unwrap());
    let gate = Arc::new(Gate::new(1, Arc::clone(&bell)));
    gate.close();
    let member = thread::spawn({
        let gate = Arc::clone(&gate);
        move || while gate.pass(|| {}) {}
    });
    for _ in 0..1000 {
        while !bell.hear() {
            thread::yield_now();
        }
        assert!(gate.all_stand());
        gate.open();
        gate.close();
    }
    gate.end();
    member.join().unwrap();
}

#[test]
fn a_member_settles_before_it_stands_and_only_then() {
    let gate = Gate::new(1, Arc::new(Event::new().unwrap()));
    assert!(gate.pass(|| panic!("the gate is open")));
    gate.close();
    let passed = gate.pass(|| {
        assert!(!gate.all_stand());
        // Opened before it stands: so it goes on.
        gate.open();
    });
    assert!(passed);
}
