//! What files say where flags do not: rkt's configuration (docs/configuration.md).
//!
//! ```text
//! DIRECTORY/paths.d/*.json    where data and installed stage1 images are
//! DIRECTORY/stage1.d/*.json   which stage1 image runs pods
//! DIRECTORY/auth.d/*.json     who asks registries and web servers
//! DIRECTORY/registries.d/*.json  how they are spoken to
//! DIRECTORY/policy.d/*.json   which of their images are taken
//! ```
//!
//! There are up to three directories; what a later one says takes the place of what an earlier one says, field by field. In one directory a
//! field is said once. Another kind is a module with its fields, and a line in [`Configuration::take`].

mod auth;
mod command;
mod files;
mod logins;
mod paths;
mod policies;
mod registries;
mod stage1;

use std::path::Path;

pub(crate) use self::auth::{Auth, Proof};
pub(crate) use self::command::ConfigOptions;
pub(crate) use self::files::ConfigurationError;
use self::files::{File, Problem};
pub(crate) use self::logins::{Login, Logins};
pub(crate) use self::paths::Paths;
pub(crate) use self::policies::{KeylessRule, Policies, Rule, Verdict};
pub(crate) use self::registries::RegistryRules;
pub(crate) use self::stage1::{DefaultStage1, Stage1Name};

/// The vendor's directory.
pub(crate) const SYSTEM_DIRECTORY: &str = "/usr/lib/bulkhead";
/// The administrator's.
pub(crate) const LOCAL_DIRECTORY: &str = "/etc/bulkhead";

/// The version of every kind that there is.
const VERSION: &str = "v1";

/// The subdirectories, and the kinds of files in each.
const KINDS: [(&str, &[&str]); 5] = [
    ("paths.d", &[paths::KIND]),
    ("stage1.d", &[stage1::KIND]),
    ("auth.d", &[logins::KIND, auth::KIND]),
    ("registries.d", &[registries::KIND]),
    ("policy.d", &[policies::KIND]),
];

/// What results of all directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) paths: Paths,
    pub(crate) stage1: DefaultStage1,
    pub(crate) logins: Logins,
    pub(crate) auth: Auth,
    pub(crate) registries: RegistryRules,
    pub(crate) policies: Policies,
}

impl Configuration {
    /// Reads directories, the strongest last. One that is not there says nothing.
    pub(crate) fn read(directories: &[&Path]) -> Result<Self, ConfigurationError> {
        let mut all = Self::default();
        for directory in directories {
            let one = Self::of_directory(directory)?;
            all.paths.override_with(one.paths);
            all.stage1.override_with(one.stage1);
            all.logins.override_with(one.logins);
            all.auth.override_with(one.auth);
            all.registries.override_with(one.registries);
            all.policies.override_with(one.policies);
        }
        Ok(all)
    }

    fn of_directory(directory: &Path) -> Result<Self, ConfigurationError> {
        let mut one = Self::default();
        for (subdirectory, kinds) in KINDS {
            for file in files::list(&directory.join(subdirectory))? {
                let file = File::read(&file, kinds)?;
                one.take(&file).map_err(|problem| file.wrong(problem))?;
            }
        }
        Ok(one)
    }

    fn take(&mut self, file: &File) -> Result<(), Problem> {
        match file.kind() {
            paths::KIND => self.paths.take(file.fields()?),
            logins::KIND => self.logins.take(file.fields()?),
            registries::KIND => self.registries.take(file.fields()?),
            policies::KIND => self.policies.take(file.fields()?),
            auth::KIND => self.auth.take(file.fields()?),
            _ => self.stage1.take(file.fields()?),
        }
    }
}

#[cfg(test)]
#[path = "configuration_test.rs"]
mod tests;
