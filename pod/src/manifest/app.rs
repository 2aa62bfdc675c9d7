//! An app: the program, who runs it, where, and with what around it.

use serde::{Deserialize, Deserializer, Serialize};

use super::bounds::{
    ARGUMENTS_MAX, ENVIRONMENT_MAX, EVENT_HANDLERS_MAX, GROUPS_MAX, ISOLATORS_MAX, PORTS_MAX,
    VOLUMES_MAX, list, text_map,
};
use super::error::{Document, ManifestError};
use super::isolator::{self, Isolator};
use super::metadata::TextMap;
use super::name::AcName;
use super::port::Port;
use super::text::{AbsolutePath, Argument, EnvironmentName, Principal};
use super::unique::unique;

/// What an image or a pod says about one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// The program and its arguments; no shell reads it. Empty: the user has to say what to run.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ARGUMENTS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exec: Vec<Argument>,
    /// Runs as this user.
    pub user: Principal,
    /// Runs as this group.
    pub group: Principal,
    /// Further groups.
    #[serde(
        rename = "supplementaryGIDs",
        default,
        deserialize_with = "list::<_, _, GROUPS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub supplementary_gids: Vec<u32>,
    /// Programs around the app's life; one an event.
    #[serde(
        default,
        deserialize_with = "list::<_, _, EVENT_HANDLERS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub event_handlers: Vec<EventHandler>,
    /// Where it starts; none: `/`.
    #[serde(
        default,
        deserialize_with = "optional_path",
        skip_serializing_if = "Option::is_none"
    )]
    pub working_directory: Option<AbsolutePath>,
    /// Its environment; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENVIRONMENT_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub environment: Vec<EnvironmentVariable>,
    /// Where it expects volumes; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, VOLUMES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub mount_points: Vec<MountPoint>,
    /// Where it listens; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, PORTS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ports: Vec<Port>,
    /// What it may use; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ISOLATORS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub isolators: Vec<Isolator>,
    /// The user's own notes.
    #[serde(
        default,
        deserialize_with = "text_map",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub user_annotations: TextMap,
    /// The user's own labels.
    #[serde(
        default,
        deserialize_with = "text_map",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub user_labels: TextMap,
}

/// One variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: EnvironmentName,
    /// Its value, taken as it is.
    pub value: Argument,
}

/// A place where the app expects a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// The name that a volume or mount refers to.
    pub name: AcName,
    /// Where in the app's file system.
    pub path: AbsolutePath,
    /// Whether the app does not write there.
    #[serde(default)]
    pub read_only: bool,
}

/// A program that runs before or after the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHandler {
    /// When.
    pub name: Event,
    /// The program and its arguments.
    #[serde(deserialize_with = "list::<_, _, ARGUMENTS_MAX>")]
    pub exec: Vec<Argument>,
}

/// When an [`EventHandler`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Before the app; the app starts when it has ended with 0.
    PreStart,
    /// After the app's end.
    PostStop,
}

impl App {
    /// An app that runs as root and says nothing else: for images that have none.
    #[must_use]
    pub fn of(user: Principal, group: Principal) -> Self {
        Self {
            exec: Vec::new(),
            user,
            group,
            supplementary_gids: Vec::new(),
            event_handlers: Vec::new(),
            working_directory: None,
            environment: Vec::new(),
            mount_points: Vec::new(),
            ports: Vec::new(),
            isolators: Vec::new(),
            user_annotations: TextMap::new(),
            user_labels: TextMap::new(),
        }
    }

    /// The rules between fields. `path` is the app's place in its document.
    pub(super) fn check(&self, document: Document, path: &str) -> Result<(), ManifestError> {
        check_exec(document, &format!("{path}.exec"), &self.exec)?;
        for (index, handler) in self.event_handlers.iter().enumerate() {
            let path = format!("{path}.eventHandlers[{index}]");
            if handler.exec.is_empty() {
                return Err(ManifestError::new(
                    document,
                    format!("{path}.exec"),
                    "is empty",
                ));
            }
            check_exec(document, &format!("{path}.exec"), &handler.exec)?;
            if self.event_handlers[..index]
                .iter()
                .any(|other| other.name == handler.name)
            {
                let problem = "the event has a handler already";
                return Err(ManifestError::new(
                    document,
                    format!("{path}.name"),
                    problem,
                ));
            }
        }
        let list = format!("{path}.environment");
        unique(document, &list, &self.environment, "name", |v| {
            v.name.as_str().to_owned()
        })?;
        let list = format!("{path}.mountPoints");
        unique(document, &list, &self.mount_points, "name", |m| {
            m.name.as_str().to_owned()
        })?;
        let list = format!("{path}.ports");
        unique(document, &list, &self.ports, "name", |p| {
            p.name.as_str().to_owned()
        })?;
        let list = format!("{path}.isolators");
        isolator::check(document, &list, self.isolators.iter().map(Isolator::name))
    }
}

/// A command line may be absent, but its first word, the program, is not empty.
fn check_exec(document: Document, path: &str, exec: &[Argument]) -> Result<(), ManifestError> {
    if exec
        .first()
        .is_some_and(|program| program.as_str().is_empty())
    {
        return Err(ManifestError::new(
            document,
            format!("{path}[0]"),
            "names no program",
        ));
    }
    Ok(())
}

/// Go writes an absent path as "".
fn optional_path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AbsolutePath>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(AbsolutePath::try_from)
        .transpose()
        .map_err(serde::de::Error::custom)
}
