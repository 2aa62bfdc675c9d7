//! When the pod is ready: its apps run, and those that say so themselves have said it.

use bulkhead_protocol::plan::ProcessId;

use super::action::Action;
use super::{Session, Violation};

impl Session {
    pub(super) fn look_whether_apps_run(&mut self) {
        if !self.stopping && self.apps.all_run() {
            self.actions.push(Action::AppsRun);
        }
    }

    pub(super) fn app_is_ready(&mut self, process: ProcessId) -> Result<(), Violation> {
        if self.apps.had(process) {
            return Ok(());
        }
        let app = self.apps.get_mut(process);
        if app.ok_or(Violation::Process(process))?.ready()? {
            self.look_whether_apps_run();
        }
        Ok(())
    }
}
