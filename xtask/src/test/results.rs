//! What a machine's tests have come to, read where the machine may have died.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A directory in which each run of the test harness writes a line a test that ended.
pub(super) struct Results {
    pub(super) directory: PathBuf,
}

/// The names of tests that ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) over_machines: BTreeSet<String>,
    pub(super) over_containers: BTreeSet<String>,
    pub(super) failed: Vec<String>,
}

impl Results {
    /// In a directory that is made, without what an earlier machine has left there.
    pub(super) fn in_new(directory: &Path) -> Result<Self> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.with_context(|| format!("remove {}", directory.display()))?,
        }
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    pub(super) fn over_machines(&self) -> PathBuf {
        self.directory.join("over-machines")
    }

    pub(super) fn over_containers(&self) -> PathBuf {
        self.directory.join("over-containers")
    }

    pub(super) fn read(&self) -> Result<Ended> {
        let mut ended = Ended::default();
        for (path, over) in [
            (self.over_machines(), &mut ended.over_machines),
            (self.over_containers(), &mut ended.over_containers),
        ] {
            let log = match fs::read_to_string(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.with_context(|| format!("read {}", path.display()))?,
            };
            for (result, name) in log.lines().filter_map(test) {
                over.insert(name.to_owned());
                if result != "ok" {
                    ended.failed.push(name.to_owned());
                }
            }
        }
        Ok(ended)
    }
}

/// Result and name of a line of the harness's log: `ok exit::zero_is_passed_on`, `failed …`. The last line may have been cut;
/// then its test runs again.
fn test(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ')
}

#[cfg(test)]
#[path = "results_test.rs"]
mod tests;
