//! Who asks web servers, for App Container images, signatures and keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::Problem;
use super::logins::{Login, Password};

pub(super) const KIND: &str = "auth";

/// The port that a domain without one has.
const USUAL_PORT: &str = ":443";

/// What proves to each server who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Auth(BTreeMap<String, Proof>);

/// What proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Proof {
    Basic(Login),
    Oauth { token: Password },
}

/// The fields of the kind `auth`, as they are read.
#[derive(Deserialize)]
pub(super) struct Read {
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default, rename = "type")]
    kind: String,
    /// Not in messages, whatever is wrong with them.
    #[serde(default)]
    credentials: Value,
}

/// The same, as they are written.
#[derive(Serialize)]
pub(super) struct Fields {
    domains: Vec<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    credentials: Proof,
}

impl Auth {
    /// All servers, by their hosts, with their ports where these are not the usual ones.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Proof)> {
        self.0.iter()
    }

    pub(super) fn take(&mut self, read: Read) -> Result<(), Problem> {
        if read.domains.is_empty() {
            return Err(Problem::Missing("domains"));
        }
        let proof = read.proof()?;
        for domain in read.domains {
            let server = domain.strip_suffix(USUAL_PORT).unwrap_or(&domain);
            let server = server.to_ascii_lowercase();
            if self.0.insert(server, proof.clone()).is_some() {
                return Err(Problem::Value {
                    what: "domain",
                    value: domain,
                    problem: "has credentials by another file of this directory already",
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
        self.0.iter().map(|(domain, proof)| Fields {
            domains: vec![domain.clone()],
            kind: match proof {
                Proof::Basic(_) => "basic",
                Proof::Oauth { .. } => "oauth",
            },
            credentials: proof.clone(),
        })
    }
}

impl Read {
    fn proof(&self) -> Result<Proof, Problem> {
        let word = |field: &str| {
            let word = self.credentials[field].as_str().unwrap_or_default();
            (!word.is_empty()).then(|| word.to_owned())
        };
        match self.kind.as_str() {
            "" => Err(Problem::Missing("type")),
            "basic" => match word("user").zip(word("password")) {
                Some((user, password)) => Ok(Proof::Basic(Login {
                    user,
                    password: Password(password),
                })),
                None => Err(Problem::Missing("credentials with a user and a password")),
            },
            "oauth" => match word("token") {
                Some(token) => Ok(Proof::Oauth {
                    token: Password(token),
                }),
                None => Err(Problem::Missing("credentials with a token")),
            },
            other => Err(Problem::Value {
                what: "type",
                value: other.to_owned(),
                problem: "is neither \"basic\" nor \"oauth\"",
            }),
        }
    }
}
