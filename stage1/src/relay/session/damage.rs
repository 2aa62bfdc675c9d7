//! Images that the host's disk has damaged.

use bulkhead_protocol::plan::AppName;

use super::action::Action;
use super::{Session, Violation};

impl Session {
    /// The guest found a block of an app's image that is not what it was. Said once, however many there are.
    pub(super) fn image_is_damaged(&mut self, app: AppName) -> Result<(), Violation> {
        let text = format!(
            "app {app}: its image is damaged: the host's disk gives other bytes than were imported, \
             and reading them fails (see `bulkhead image verify`)"
        );
        if self.apps.note_damage(app)? {
            self.actions.push(Action::Say(text));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "damage_test.rs"]
mod tests;
