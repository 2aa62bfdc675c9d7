//! Signals to a running pod.

use std::time::{Duration, Instant};

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, pod};
use crate::leftovers::no_processes;

/// Says that it is ready, then does what the trap says.
fn waiting(trap: &str) -> Call {
    pod(&busybox_oci()).shell(&format!(
        "trap '{trap}' TERM; echo ready; while :; do sleep 0.1; done"
    ))
}

#[test]
fn sigterm_reaches_the_app_and_its_answer_comes_back() {
    waiting("echo stopping; exit 0")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(0)
        .shows("stopping\n");
    assert!(no_processes().is_empty());
}

#[test]
fn sigint_stops_like_sigterm() {
    waiting("exit 12")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGINT)
        .finish()
        .exits(12);
}

#[test]
fn an_app_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let start = Instant::now();
    waiting("")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(137);
    assert!(
        start.elapsed() < Duration::from_secs(120),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_second_signal_kills_at_once() {
    let end = waiting("echo asked")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .wait_for("asked")
        .signal(Signal::SIGTERM)
        .finish();
    if end.text().contains("never") {
        end.fail("the app went on");
    }
    assert!(no_processes().is_empty());
}

#[test]
fn a_stopped_pod_stops_every_app() {
    let app = |name: &str| {
        format!(
            "trap 'echo {name} stops; exit 0' TERM; echo {name} ready; while :; do sleep 0.1; done"
        )
    };
    let end = pod(&busybox_oci())
        .name("one")
        .shell(&app("one"))
        .app(busybox_oci())
        .name("two")
        .shell(&format!("sleep 0.5; {}", app("two")))
        .start()
        .wait_for("two ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(0);
    end.shows("one stops").shows("two stops");
}
