//! Who an app runs as and where, seen from the image: what a converted image leaves open is filled in, and what cannot be is
//! refused before a machine starts.
//!
//! The guest decides in the end, with the same files and with the volumes mounted over them: whatever a volume covers is left
//! to it.

use bulkhead_image::{Accounts, Filesystem, Lookup, ReadError, User};
use bulkhead_pod::manifest::{
    AcName, App, Argument, EnvironmentVariable, ImageManifest, Principal, PrincipalForm, RuntimeApp,
};
use thiserror::Error;

use super::options::AppOptions;

/// An app that cannot run as it should, or where it should.
#[derive(Debug, Error)]
pub(crate) enum IdentityError {
    #[error("app \"{app}\": {field}: {name:?} is not in the image's {file}")]
    Unknown {
        app: AcName,
        field: &'static str,
        name: String,
        file: &'static str,
    },
    #[error("app \"{app}\": {field}: there is no {path:?} in the image whose owner it could be")]
    NoOwner {
        app: AcName,
        field: &'static str,
        path: String,
    },
    #[error("app \"{app}\": workingDirectory: {path:?} is not in the image")]
    NoDirectory { app: AcName, path: String },
    #[error("app \"{app}\": workingDirectory: {path:?} is no directory in the image")]
    NotDirectory { app: AcName, path: String },
    #[error("app \"{app}\"")]
    Read { app: AcName, source: ReadError },
}

/// Groups that a process of a pod can have beside its own.
const OTHER_GROUPS_MAX: usize = 256;

/// What Docker gives a user that `passwd` does not have.
const HOME_OF_NOBODY: &str = "/";

/// Trees that are the guest's in every app, and a directory that there is in every root.
const GUEST_TREES: [&str; 3] = ["/dev", "/proc", "/sys"];
const ALWAYS_THERE: [&str; 2] = ["/", "/etc"];

/// Fills in what an image that was converted from Docker's or OCI's form does not say (OCI image specification, "config",
/// `User`): the user's own group, its other groups, and its home. What flags say stays.
pub(crate) fn complete(
    app: &mut App,
    image: &ImageManifest,
    options: &AppOptions,
    accounts: &Accounts,
) {
    if !image.is_converted() {
        return;
    }
    let user = match app.user.form() {
        PrincipalForm::Name(name) => accounts.user(|user| user.name == name),
        PrincipalForm::Id(id) => accounts.user(|user| user.uid == id),
        PrincipalForm::OwnerOf(_) => return,
    };
    let is_number = matches!(app.user.form(), PrincipalForm::Id(_));
    if user.is_none() && !is_number {
        return;
    }
    if options.group.is_none() && !(options.user.is_none() && names_a_group(image)) {
        app.group = Principal::id(user.as_ref().map_or(0, |user| user.gid));
        if let (None, Some(user)) = (&options.supplementary_gids, &user) {
            app.supplementary_gids = accounts.groups_of(user.name);
            app.supplementary_gids.truncate(OTHER_GROUPS_MAX);
        }
    }
    set_home(app, user);
}

/// Whether the image's own configuration has a group behind its user.
fn names_a_group(image: &ImageManifest) -> bool {
    let user = image
        .annotation("bulkhead.dev/oci/user")
        .unwrap_or_default();
    user.split_once(':')
        .is_some_and(|(_, group)| !group.is_empty())
}

fn set_home(app: &mut App, user: Option<User<'_>>) {
    let home = user.map_or(HOME_OF_NOBODY, |user| user.home);
    let is_set = app.environment.iter().any(|v| v.name.as_str() == "HOME");
    if is_set || home.is_empty() {
        return;
    }
    // A home that no variable can hold is none.
    if let (Ok(name), Ok(value)) = ("HOME".parse(), Argument::try_from(home.to_owned())) {
        app.environment.push(EnvironmentVariable { name, value });
    }
}

/// Refuses a user, group or working directory that the guest will not find.
///
/// # Errors
/// Which of them, of which app.
pub(crate) fn check(
    runtime: &RuntimeApp,
    app: &App,
    image: &Filesystem,
    accounts: &Accounts,
) -> Result<(), IdentityError> {
    let check = Check {
        name: &runtime.name,
        covers: covers(runtime, app),
        image,
        accounts,
    };
    check.user(app)?;
    check.group(app)?;
    check.working_directory(app)
}

/// Paths on which something is mounted.
fn covers<'a>(runtime: &'a RuntimeApp, app: &'a App) -> Vec<&'a str> {
    let mounts = runtime.mounts.iter().map(|mount| mount.path.as_str());
    let points = app.mount_points.iter().map(|point| point.path.as_str());
    mounts.chain(points).collect()
}

struct Check<'a> {
    name: &'a AcName,
    covers: Vec<&'a str>,
    image: &'a Filesystem,
    accounts: &'a Accounts,
}

impl Check<'_> {
    fn user(&self, app: &App) -> Result<(), IdentityError> {
        let known = |name: &str| {
            !self.accounts.knows_users() || self.accounts.user(|user| user.name == name).is_some()
        };
        self.principal("user", &app.user, "/etc/passwd", known)
    }

    fn group(&self, app: &App) -> Result<(), IdentityError> {
        // The user's own name stands for its own group, whatever the file of groups has.
        let known = |name: &str| {
            !self.accounts.knows_groups()
                || self.accounts.group(name).is_some()
                || app.user.as_str() == name
        };
        self.principal("group", &app.group, "/etc/group", known)
    }

    fn principal(
        &self,
        field: &'static str,
        principal: &Principal,
        file: &'static str,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), IdentityError> {
        match principal.form() {
            PrincipalForm::Id(_) | PrincipalForm::Name("root") => Ok(()),
            PrincipalForm::Name(name) if self.is_covered(file) || known(name) => Ok(()),
            PrincipalForm::Name(name) => Err(IdentityError::Unknown {
                app: self.name.clone(),
                field,
                name: name.to_owned(),
                file,
            }),
            PrincipalForm::OwnerOf(path) => match self.look(path, Filesystem::lookup_itself)? {
                Lookup::Missing { over_link: false } => Err(IdentityError::NoOwner {
                    app: self.name.clone(),
                    field,
                    path: path.to_owned(),
                }),
                _ => Ok(()),
            },
        }
    }

    fn working_directory(&self, app: &App) -> Result<(), IdentityError> {
        let Some(path) = app.working_directory.as_ref().map(|path| path.as_str()) else {
            return Ok(());
        };
        let (app, path_text) = (self.name.clone(), path.to_owned());
        match self.look(path, Filesystem::lookup)? {
            Lookup::Missing { over_link: false } => Err(IdentityError::NoDirectory {
                app,
                path: path_text,
            }),
            Lookup::Found(found) if !found.is_directory() && !self.is_special(path) => {
                Err(IdentityError::NotDirectory {
                    app,
                    path: path_text,
                })
            }
            _ => Ok(()),
        }
    }

    /// What is not the image's to say counts as something behind a link: it may be there.
    fn look(
        &self,
        path: &str,
        lookup: impl Fn(&Filesystem, &str) -> Result<Lookup, ReadError>,
    ) -> Result<Lookup, IdentityError> {
        if self.is_special(path) {
            return Ok(Lookup::Missing { over_link: true });
        }
        lookup(self.image, path).map_err(|source| IdentityError::Read {
            app: self.name.clone(),
            source,
        })
    }

    fn is_special(&self, path: &str) -> bool {
        let is_the_guest_s = GUEST_TREES.iter().any(|tree| is_within(path, tree));
        // Targets of mounts are made, with the directories above them.
        let is_made = self.covers.iter().any(|cover| is_within(cover, path));
        is_the_guest_s || is_made || ALWAYS_THERE.contains(&path) || self.is_covered(path)
    }

    fn is_covered(&self, path: &str) -> bool {
        self.covers.iter().any(|cover| is_within(path, cover))
    }
}

fn is_within(path: &str, tree: &str) -> bool {
    let rest = path.strip_prefix(tree.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "identity_test.rs"]
mod tests;
