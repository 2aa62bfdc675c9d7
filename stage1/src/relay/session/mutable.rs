//! The apps of a mutable pod: they are added, started, stopped, started again and removed while it runs.
//!
//! ```text
//! Adding ──▶ Idle ──start──▶ Running ──stop──▶ Stopping
//!    │        │ ▲               └──── ended ──────┘
//!    ▼        │ └─────────────────────────┘
//! Failed      └──remove──▶ Removing ──▶ (gone)
//! ```
//!
//! Each start is a process of its own with an id of its own. The end of one is no end of the pod. Who asked for a change hears how
//! it ended; what is asked of the agent is asked again on a new connection, until it has answered.

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::control::Order;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::mutable::AddApp;
use bulkhead_protocol::plan::{AppName, Process as Planned, ProcessId};
use bulkhead_protocol::relay::Outputs;

use super::action::{Action, Answer, AppChange, Outgoing};
use super::{Phase, Session, Violation};

/// Ids of processes that enter apps begin here; those of the apps' own lie below.
pub(super) const FIRST_ENTERED: u32 = 1 << 24;

const SIGTERM: u8 = 15;

/// Who waits for an answer: a number that the session's driver gives, never twice.
pub type Asker = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Adding,
    Idle,
    Running(ProcessId),
    Stopping {
        process: ProcessId,
        /// When it is killed; and again after as long, should it have been on its way to its program.
        kill_at: Duration,
    },
    Removing,
    Failed(String),
}

#[derive(Debug)]
struct App {
    number: u16,
    name: AppName,
    program: Planned,
    outputs: Outputs,
    state: State,
    /// The last process, whose output may still be on its way.
    last: Option<ProcessId>,
    unsent: VecDeque<ToAgent>,
    /// What the agent has not answered yet.
    unanswered: Option<ToAgent>,
    waiting: Vec<(Asker, Order)>,
}

impl App {
    fn ask(&mut self, message: ToAgent) {
        self.unanswered = Some(message.clone());
        self.unsent.push_back(message);
    }

    fn process(&self) -> Option<ProcessId> {
        match self.state {
            State::Running(process) | State::Stopping { process, .. } => Some(process),
            _ => None,
        }
    }

    /// Those who wait for this order.
    fn take_waiting(&mut self, order: Order) -> Vec<Asker> {
        let (of_order, others) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, waits_for)| *waits_for == order);
        self.waiting = others;
        let of_order: Vec<(Asker, Order)> = of_order;
        of_order.into_iter().map(|(asker, _)| asker).collect()
    }
}

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Mutable {
    apps: Vec<App>,
    /// Numbers below this one were given.
    numbers: u16,
}

impl Mutable {
    pub(super) fn deadline(&self) -> Option<Duration> {
        let deadline = |app: &App| match app.state {
            State::Stopping { kill_at, .. } => Some(kill_at),
            _ => None,
        };
        self.apps.iter().filter_map(deadline).min()
    }

    pub(super) fn resume(&mut self) {
        for app in &mut self.apps {
            if let Some(message) = &app.unanswered
                && !app.unsent.contains(message)
            {
                app.unsent.push_front(message.clone());
            }
        }
    }

    pub(super) fn next_message(&mut self) -> Option<ToAgent> {
        self.apps.iter_mut().find_map(|app| app.unsent.pop_front())
    }

    fn named(&mut self, name: &AppName) -> Option<&mut App> {
        self.apps.iter_mut().find(|app| app.name == *name)
    }

    fn running(&mut self, process: ProcessId) -> Option<&mut App> {
        self.apps
            .iter_mut()
            .find(|app| app.process() == Some(process))
    }

    /// The one that the agent speaks of; none of one that is gone.
    fn numbered(&mut self, number: u16) -> Result<Option<&mut App>, Violation> {
        if number >= self.numbers {
            return Err(Violation::App(number));
        }
        Ok(self.apps.iter_mut().find(|app| app.number == number))
    }

    fn drop_app(&mut self, number: u16) {
        self.apps.retain(|app| app.number != number);
    }
}

impl Session {
    /// The supervisor has made room for an app.
    pub fn add_app(&mut self, add: AddApp) {
        let Some(mutable) = &mut self.mutable else {
            return;
        };
        let name = add.added.app.name.clone();
        let number = add.added.number;
        let metadata = &mut self.metadata;
        let failed = metadata.add(&name, &add.manifest, &add.image_manifest);
        mutable.numbers = mutable.numbers.max(number.saturating_add(1));
        // One that failed before makes way.
        mutable.apps.retain(|app| app.name != name);
        let mut app = App {
            number,
            name,
            program: add.process,
            outputs: add.outputs,
            state: State::Adding,
            last: None,
            unsent: VecDeque::new(),
            unanswered: None,
            waiting: Vec::new(),
        };
        match failed {
            Ok(()) => app.ask(ToAgent::AddApp(Box::new(add.added))),
            Err(error) => app.state = State::Failed(error.to_string()),
        }
        mutable.apps.push(app);
    }

    /// Somebody wants something of an app. The answer comes now, or by [`Action::Answer`].
    pub fn order(
        &mut self,
        now: Duration,
        asker: Asker,
        name: &AppName,
        order: Order,
    ) -> Option<Answer> {
        let refuse = |reason: String| Some(Answer::Refused(reason));
        let grace = Duration::from_millis(u64::from(self.stop_grace_ms));
        if self.stopping || !matches!(self.phase, Phase::Booting | Phase::Running) {
            return refuse("the pod is ending".to_owned());
        }
        let Some(mutable) = &mut self.mutable else {
            return refuse("the pod is not mutable".to_owned());
        };
        let Some(app) = mutable.named(name) else {
            return match order {
                Order::Leave => Some(Answer::Done),
                _ => refuse(format!("the pod has no app {name}")),
            };
        };
        match (order, app.state.clone()) {
            (Order::Leave, State::Failed(_)) => {
                let number = app.number;
                mutable.drop_app(number);
                Some(Answer::Done)
            }
            (Order::Arrive, State::Failed(reason)) => {
                let number = app.number;
                mutable.drop_app(number);
                refuse(reason)
            }
            (_, State::Failed(reason)) => refuse(reason),
            (Order::Arrive, State::Adding)
            | (Order::Leave, State::Removing)
            | (Order::Stop, State::Stopping { .. }) => {
                app.waiting.push((asker, order));
                None
            }
            (_, State::Adding) => refuse(format!("app {name} is being added")),
            (_, State::Removing) => refuse(format!("app {name} is being removed")),
            (Order::Arrive, _) => Some(Answer::Done),
            (Order::Start, State::Idle) => self.start_app(asker, name),
            (Order::Start, _) => refuse(format!("app {name} runs already")),
            (Order::Stop, State::Running(process)) => {
                app.waiting.push((asker, order));
                let kill_at = now + grace;
                app.state = State::Stopping { process, kill_at };
                let signal = SIGTERM;
                app.unsent.push_back(ToAgent::Signal { process, signal });
                None
            }
            (Order::Stop, State::Idle) => Some(Answer::NotRunning),
            (Order::Leave, State::Idle) => {
                app.waiting.push((asker, order));
                app.state = State::Removing;
                let app_number = app.number;
                app.ask(ToAgent::RemoveApp { app: app_number });
                None
            }
            (Order::Leave, _) => refuse(format!("app {name} runs")),
        }
    }

    fn start_app(&mut self, asker: Asker, name: &AppName) -> Option<Answer> {
        let app = self.mutable.as_mut()?.named(name)?;
        let (last, program, outputs) = (app.last.take(), app.program.clone(), app.outputs);
        if let Some(last) = last {
            self.forget_run(last);
        }
        let Some(process) = self.apps.start(&program, FIRST_ENTERED) else {
            let reason = format!("the pod's apps were started {FIRST_ENTERED} times");
            return Some(Answer::Refused(reason));
        };
        let app = self.mutable.as_mut()?.named(name)?;
        app.waiting.push((asker, Order::Start));
        app.state = State::Running(process);
        self.inputs.add(process, program.stdio);
        self.outputs.insert(process, outputs);
        app.ask(ToAgent::Start(Box::new(Planned {
            id: process,
            ..program
        })));
        self.actions.push(Action::Label {
            process,
            app: name.clone(),
            outputs,
        });
        self.app_changed(name, AppChange::Started);
        None
    }

    /// What is still on its way of an ended process's output is not waited for.
    fn forget_run(&mut self, process: ProcessId) {
        self.inputs.remove(process);
        self.outputs.remove(&process);
        if let Some(mut ended) = self.apps.forget(process) {
            let acks = ended.close_rest().map(ToAgent::Ack);
            self.control.extend(acks.map(Outgoing::Message));
        }
        self.actions.push(Action::Forget { process });
    }

    /// Nobody waits at this number any more.
    pub fn asker_left(&mut self, asker: Asker) {
        for app in self
            .mutable
            .iter_mut()
            .flat_map(|mutable| &mut mutable.apps)
        {
            app.waiting.retain(|(waiting, _)| *waiting != asker);
        }
    }

    pub(super) fn app_added(
        &mut self,
        number: u16,
        failure: Option<String>,
    ) -> Result<(), Violation> {
        let Some(mutable) = &mut self.mutable else {
            return Err(Violation::App(number));
        };
        let Some(app) = mutable.numbered(number)? else {
            return Ok(());
        };
        if app.state != State::Adding {
            return Ok(());
        }
        app.unanswered = None;
        let (name, waiting) = (app.name.clone(), app.take_waiting(Order::Arrive));
        match failure {
            None => {
                app.state = State::Idle;
                self.entered.add_app(&app.program);
                self.app_changed(&name, AppChange::Added);
                self.tell_askers(waiting, &Answer::Done);
            }
            Some(reason) => {
                self.metadata.remove(&name);
                if waiting.is_empty() {
                    app.state = State::Failed(reason);
                } else {
                    mutable.drop_app(number);
                    self.tell_askers(waiting, &Answer::Refused(reason));
                }
            }
        }
        Ok(())
    }

    pub(super) fn app_removed(
        &mut self,
        number: u16,
        failure: Option<String>,
    ) -> Result<(), Violation> {
        let Some(mutable) = &mut self.mutable else {
            return Err(Violation::App(number));
        };
        let Some(app) = mutable.numbered(number)? else {
            return Ok(());
        };
        if app.state != State::Removing {
            return Ok(());
        }
        app.unanswered = None;
        let (name, last) = (app.name.clone(), app.last);
        let waiting = app.take_waiting(Order::Leave);
        if let Some(reason) = failure {
            app.state = State::Idle;
            self.tell_askers(waiting, &Answer::Refused(reason));
            return Ok(());
        }
        mutable.drop_app(number);
        if let Some(last) = last {
            self.forget_run(last);
        }
        self.entered.remove_app(&name);
        self.metadata.remove(&name);
        self.app_changed(&name, AppChange::Removed);
        self.tell_askers(waiting, &Answer::Done);
        Ok(())
    }

    pub(super) fn app_started(&mut self, process: ProcessId) {
        let app = self.mutable.as_mut().and_then(|m| m.running(process));
        if let Some(app) = app {
            app.unanswered = None;
            let waiting = app.take_waiting(Order::Start);
            self.tell_askers(waiting, &Answer::Done);
        }
    }

    pub(super) fn app_exited(&mut self, process: ProcessId, exit: Exit, reason: Option<&str>) {
        let app = self.mutable.as_mut().and_then(|m| m.running(process));
        let Some(app) = app else { return };
        app.unanswered = None;
        if matches!(app.state, State::Stopping { .. }) {
            // What it has left behind goes with it.
            let number = app.number;
            app.unsent.push_back(ToAgent::KillApp { app: number });
        }
        app.state = State::Idle;
        app.last = Some(process);
        let (never_ran, stopped) = (
            app.take_waiting(Order::Start),
            app.take_waiting(Order::Stop),
        );
        let reason = reason.map_or_else(|| format!("it ended with {}", exit.code()), str::to_owned);
        self.tell_askers(never_ran, &Answer::Refused(reason));
        self.tell_askers(stopped, &Answer::Done);
    }

    pub(super) fn apps_tick(&mut self, now: Duration) {
        let grace = Duration::from_millis(u64::from(self.stop_grace_ms));
        for app in self
            .mutable
            .iter_mut()
            .flat_map(|mutable| &mut mutable.apps)
        {
            let State::Stopping { kill_at, .. } = &mut app.state else {
                continue;
            };
            if now >= *kill_at {
                *kill_at = now + grace;
                let number = app.number;
                app.unsent.push_back(ToAgent::KillApp { app: number });
            }
        }
    }

    fn app_changed(&mut self, app: &AppName, change: AppChange) {
        let app = app.clone();
        self.actions.push(Action::App { app, change });
    }

    fn tell_askers(&mut self, askers: Vec<Asker>, answer: &Answer) {
        let tell = |asker| Action::Answer {
            asker,
            answer: answer.clone(),
        };
        self.actions.extend(askers.into_iter().map(tell));
    }
}

#[cfg(test)]
#[path = "mutable_test.rs"]
mod tests;
