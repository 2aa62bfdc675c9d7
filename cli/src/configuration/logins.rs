//! Who asks registries.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::files::Problem;

pub(super) const KIND: &str = "dockerAuth";

/// What Docker's own registry is called elsewhere.
const DOCKER: &str = "docker.io";
const DOCKER_HOSTS: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// A user of each registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Logins(BTreeMap<String, Login>);

/// A user and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Password,
}

/// Not for messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The fields of the kind `dockerAuth`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Fields {
    #[serde(default)]
    registries: Vec<String>,
    credentials: Option<Login>,
}

impl Logins {
    /// The user of a registry, by its host.
    pub(crate) fn of(&self, host: &str) -> Option<&Login> {
        self.0.get(host)
    }

    pub(super) fn take(&mut self, fields: Fields) -> Result<(), Problem> {
        let Some(login) = fields.credentials.filter(|login| !login.user.is_empty()) else {
            return Err(Problem::Missing("credentials with a user"));
        };
        if fields.registries.is_empty() {
            return Err(Problem::Missing("registries"));
        }
        for registry in fields.registries {
            let host = match DOCKER_HOSTS.contains(&registry.as_str()) {
                true => DOCKER.to_owned(),
                false => registry,
            };
            if self.0.insert(host.clone(), login.clone()).is_some() {
                return Err(Problem::Value {
                    what: "registry",
                    value: host,
                    problem: "has a user by another file of this directory already",
                });
            }
        }
        Ok(())
    }

    pub(super) fn override_with(&mut self, stronger: Self) {
        self.0.extend(stronger.0);
    }

    /// As they could stand in files.
    pub(super) fn fields(&self) -> impl Iterator<Item = Fields> {
        self.0.iter().map(|(host, login)| Fields {
            registries: vec![host.clone()],
            credentials: Some(login.clone()),
        })
    }
}
