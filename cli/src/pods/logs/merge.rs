//! The logs of several apps as one, in the order of time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use bulkhead_pod::log::{AppLog, LogError, Logs, Record};
use bulkhead_pod::manifest::AcName;

/// One app's log, and the record that was read ahead.
struct App {
    log: AppLog,
    next: Option<Record>,
}

/// Reads logs of apps side by side.
pub(super) struct Merger {
    logs: Logs,
    apps: BTreeMap<AcName, App>,
    only: bool,
}

impl Merger {
    /// Of these apps and those that have logs beside them, or of the one with this name.
    pub(super) fn new(logs: Logs, known: BTreeSet<AcName>, only: Option<&str>) -> Result<Self> {
        let all: BTreeSet<AcName> = known.into_iter().chain(logs.apps()?).collect();
        let chosen: Vec<&AcName> = all
            .iter()
            .filter(|app| only.is_none_or(|only| app.as_str() == only))
            .collect();
        if let Some(only) = only
            && chosen.is_empty()
        {
            let names: Vec<&str> = all.iter().map(AcName::as_str).collect();
            bail!("it has no app {only:?}: it has {}", names.join(", "));
        }
        let app = |name: &AcName| App {
            log: logs.app(name),
            next: None,
        };
        let apps = chosen
            .into_iter()
            .map(|name| (name.clone(), app(name)))
            .collect();
        Ok(Self {
            logs,
            apps,
            only: only.is_some(),
        })
    }

    pub(super) fn has_several(&self) -> bool {
        self.apps.len() > 1
    }

    /// Adds the apps that have come since, unless one was asked for.
    pub(super) fn look_for_apps(&mut self) -> Result<(), LogError> {
        if self.only {
            return Ok(());
        }
        for name in self.logs.apps()? {
            let log = self.logs.app(&name);
            let app = App { log, next: None };
            self.apps.entry(name).or_insert(app);
        }
        Ok(())
    }

    /// The earliest of those that are there to be read; of an app never before an earlier record of the same app.
    pub(super) fn next_record(&mut self) -> Result<Option<(AcName, Record)>, LogError> {
        for app in self.apps.values_mut() {
            if app.next.is_none() {
                app.next = app.log.next_record()?;
            }
        }
        let heads = self.apps.iter_mut();
        let heads = heads.filter_map(|(name, app)| Some((app.next.as_ref()?.time, name, app)));
        let earliest = heads.min_by_key(|(time, _, _)| *time);
        Ok(earliest.and_then(|(_, name, app)| Some((name.clone(), app.next.take()?))))
    }

    /// What is wrong with logs, since the last call.
    pub(super) fn take_complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, app) in &mut self.apps {
            match app.log.take_damaged() {
                0 => {}
                count => {
                    complaints.push(format!("app {name}: {count} lines of its log are damaged"))
                }
            }
            if app.log.take_missed() {
                complaints.push(format!(
                    "app {name}: lines may be missing here: it writes faster than they are read"
                ));
            }
        }
        complaints
    }
}
