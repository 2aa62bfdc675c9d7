//! How registries are spoken to, where that is not as usual. The kind is ours; rkt had none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::Problem;

pub(super) const KIND: &str = "registry";

/// What is unusual of each registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RegistryRules(BTreeMap<String, Rules>);

/// What is unusual of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rules {
    /// Whether it speaks HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plain_http: Option<bool>,
    /// A file of certificates of authorities that it is trusted by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorities: Option<PathBuf>,
}

/// The fields of the kind `registry`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Fields {
    #[serde(default)]
    registries: Vec<String>,
    #[serde(flatten)]
    rules: Rules,
}

impl RegistryRules {
    /// What is unusual of this one, by its host.
    pub(crate) fn of(&self, host: &str) -> Rules {
        self.0.get(host).cloned().unwrap_or_default()
    }

    pub(super) fn take(&mut self, fields: Fields) -> Result<(), Problem> {
        if fields.registries.is_empty() {
            return Err(Problem::Missing("registries"));
        }
        let relative = fields.rules.authorities.as_ref();
        if let Some(path) = relative.filter(|path| !path.is_absolute()) {
            return Err(Problem::Value {
                what: "authorities",
                value: path.display().to_string(),
                problem: "is not an absolute path",
            });
        }
        for registry in fields.registries {
            if self
                .0
                .insert(registry.clone(), fields.rules.clone())
                .is_some()
            {
                return Err(Problem::Value {
                    what: "registry",
                    value: registry,
                    problem: "has rules by another file of this directory already",
                });
            }
        }
        Ok(())
    }

    pub(super) fn override_with(&mut self, stronger: Self) {
        for (host, rules) in stronger.0 {
            let place = self.0.entry(host).or_default();
            place.plain_http = rules.plain_http.or(place.plain_http);
            place.authorities = rules.authorities.or(place.authorities.take());
        }
    }

    /// As they could stand in files.
    pub(super) fn fields(&self) -> impl Iterator<Item = Fields> {
        self.0.iter().map(|(host, rules)| Fields {
            registries: vec![host.clone()],
            rules: rules.clone(),
        })
    }
}
