//! Whose images are damaged.

use std::path::Path;

use bulkhead_protocol::plan::{App, AppName};

use super::Pod;

impl Pod {
    /// A device has a bad block: whether that is news of an image.
    pub fn note_damage(&mut self, device: &Path) -> bool {
        self.images.note_damage(device)
    }

    /// The apps whose images have bad blocks.
    pub fn with_damage(&self) -> impl Iterator<Item = &AppName> {
        let there = self.apps.iter().filter(|app| !app.is_removed);
        let plans = there.map(|app| &app.plan);
        let is_damaged = |app: &&App| {
            let mut layers = app.image.layers().iter();
            layers.any(|layer| self.images.is_damaged(*layer))
        };
        plans.filter(is_damaged).map(|app| &app.name)
    }
}
