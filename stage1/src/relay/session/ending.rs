//! How a pod ends: by its apps, by a stop, by a failure, or by time.

use std::time::Duration;

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::exit::{CODE_RUNTIME_FAILED, Exit};
use bulkhead_protocol::vmm::ExitReason;

use super::action::{Action, Outgoing};
use super::failure::Failure;
use super::time_limit::TimeLimit;
use super::{Link, Phase, Session};

/// What the guest gets beyond the grace period to report that its apps are dead.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Silence that ends the wait for the rest of the output, once all apps (or a program that was entered) have ended: something holds a stream open that
/// will never write again.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How long the pod outlives its apps for clients that have not taken what the apps wrote to them.
pub(super) const LINGER_LIMIT: Duration = Duration::from_secs(5);

/// Between asking the VMM to stop and its last word.
const VMM_END_LIMIT: Duration = Duration::from_secs(2);

/// SIGTERM: how a pod ends that was stopped before its apps ran.
const SIGTERM: u8 = 15;

impl Session {
    /// Stop in order: the supervisor's word, or its end.
    pub fn stop(&mut self, now: Duration) {
        match self.phase {
            Phase::Booting => {
                self.stopped_early = true;
                self.end(now);
            }
            Phase::Running => self.stop_apps(now),
            Phase::PoweringOff | Phase::Ending | Phase::Finished => {}
        }
    }

    pub(super) fn stop_apps(&mut self, now: Duration) {
        if self.stopping || self.is_over() {
            return;
        }
        self.stopping = true;
        let grace_ms = self.stop_grace_ms;
        let grace = Duration::from_millis(u64::from(grace_ms));
        self.until = Some(TimeLimit::after(now, grace + STOP_MARGIN));
        self.control
            .push_back(Outgoing::Message(ToAgent::Stop { grace_ms }));
        self.look_for_the_end(now);
    }

    /// Whether nothing more can happen: all apps have ended, and none can come.
    pub(super) fn is_over(&self) -> bool {
        self.apps.all_ended() && (self.mutable.is_none() || self.stopping)
    }

    /// When all apps have ended: power off, at once if all output is passed on, or after a silence.
    pub(super) fn look_for_the_end(&mut self, now: Duration) {
        if self.phase != Phase::Running || !self.is_over() {
            return;
        }
        let all_passed_on = self.apps.all_passed_on();
        if all_passed_on && self.entered.connections() == 0 {
            self.power_off(now);
        } else if all_passed_on {
            self.linger(now);
        } else if self.apps.awaits_reader() {
            // However long the reader of our output takes: that is between it and whoever started it.
            self.until = None;
        } else {
            self.until = Some(TimeLimit::after(now, DRAIN_LIMIT));
        }
    }

    /// What apps have written to their clients is on its way, once the apps have ended.
    fn linger(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.lingers, true) {
            let limit = TimeLimit::after(now, LINGER_LIMIT);
            let earlier = self.until.filter(|until| until.at() <= limit.at());
            self.until = Some(earlier.unwrap_or(limit));
        }
    }

    fn power_off(&mut self, now: Duration) {
        self.phase = Phase::PoweringOff;
        self.until = Some(TimeLimit::after(now, self.power_off_grace));
        self.control.push_back(Outgoing::Message(ToAgent::Shutdown));
    }

    /// The guest has nothing left to do.
    pub(super) fn end(&mut self, now: Duration) {
        self.phase = Phase::Ending;
        self.until = Some(TimeLimit::after(now, VMM_END_LIMIT));
        self.redial_until = None;
        self.link = Link::Down;
        self.actions.push(Action::StopVmm);
        self.actions.push(Action::Disconnect);
    }

    pub(super) fn fail(&mut self, now: Duration, failure: Failure) {
        if !matches!(self.phase, Phase::Ending | Phase::Finished) {
            self.failure = Some(failure);
            self.end(now);
        }
    }

    /// Whether the machine or its agent has not done in time what is waited for. The next [`tick`](Self::tick) gives it up.
    /// Clients who stand still are not waited for longer, whatever the host has to do.
    pub fn is_late(&self, now: Duration) -> bool {
        !self.lingers && self.until.is_some_and(|until| until.is_over(now))
    }

    /// They get as much time again, for the host has more to do than it can; but not for ever.
    pub fn wait_longer(&mut self, now: Duration) {
        if let Some(until) = &mut self.until {
            until.extend(now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        if self.redial_until.is_some_and(|until| now >= until) {
            self.fail(
                now,
                Failure::machine("the guest's agent was lost".to_owned()),
            );
            return;
        }
        self.entered_tick(now);
        self.apps_tick(now);
        let Some(until) = self.until.filter(|until| until.is_over(now)) else {
            return;
        };
        let seconds = until.given().as_secs();
        match self.phase {
            Phase::Booting => {
                let text = format!("the machine was not ready after {seconds} s");
                self.fail(now, Failure::no_agent(text));
            }
            Phase::Running => self.power_off(now),
            Phase::PoweringOff => {
                let text = format!("the guest did not power off within {seconds} s");
                self.actions.push(Action::Say(text));
                self.end(now);
            }
            Phase::Ending => self.finish(None, &[]),
            Phase::Finished => {}
        }
    }

    /// The VMM's last word.
    pub fn vmm_exited(&mut self, reason: &ExitReason, console: &[u8]) {
        self.debug(&format!("the VMM ended: {reason}"));
        let failure = match self.phase {
            Phase::Booting => {
                let text = format!("the machine ended before it was ready: {reason}");
                Some(match reason {
                    // A kernel without disk and vsock, whose agent gives up.
                    ExitReason::GuestReset => Failure::no_agent(text),
                    _ => Failure::machine(text),
                })
            }
            Phase::Running if !self.is_over() => Some(Failure::machine(format!(
                "the machine ended while its apps were running: {reason}"
            ))),
            _ => None,
        };
        self.finish(failure, console);
    }

    /// The VMM ended without a word.
    pub fn vmm_lost(&mut self) {
        if self.phase != Phase::Ending {
            let text = "the VMM ended without giving a reason".to_owned();
            self.finish(Some(Failure::machine(text)), &[]);
        } else {
            self.finish(None, &[]);
        }
    }

    fn finish(&mut self, failure: Option<Failure>, console: &[u8]) {
        if self.phase == Phase::Finished {
            return;
        }
        self.phase = Phase::Finished;
        self.until = None;
        self.redial_until = None;
        let failure = self.failure.take().or(failure);
        let code = match failure {
            Some(failure) => {
                self.actions.push(Action::Say(failure.text));
                if failure.kernel {
                    self.actions.push(Action::LookAtKernel);
                }
                if failure.console && !console.is_empty() {
                    self.actions.push(Action::ShowConsole(console.to_vec()));
                }
                CODE_RUNTIME_FAILED
            }
            None if self.mutable.is_some() => 0,
            None if self.stopped_early => Exit::Signal(SIGTERM).code(),
            None => self.apps.code(),
        };
        self.actions.push(Action::Phase {
            name: "pod-done",
            ago_ns: 0,
        });
        self.actions.push(Action::Finish(code));
    }
}

#[cfg(test)]
#[path = "ending_test.rs"]
mod tests;
