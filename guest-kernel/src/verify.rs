//! Did the kernel's configuration end as the fragments asked? Kconfig drops a wish silently when a
//! dependency is missing, and turns an option on that another one selects.

use std::collections::BTreeMap;
use std::fmt;

use crate::fragment::{Request, Setting};

/// A request that the final configuration does not fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// What was asked for.
    pub request: Request,
    /// What it is.
    pub actual: Setting,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request {
            option,
            setting,
            fragment,
        } = &self.request;
        write!(
            f,
            "{option}: {fragment} asks for {setting}, it became {}",
            self.actual
        )
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "n",
            Self::Value(value) => value,
        })
    }
}

/// Every request that `config`, the text of a `.config`, does not fulfil.
#[must_use]
pub fn verify(requests: &[Request], config: &str) -> Vec<Missed> {
    let values = values(config);
    requests
        .iter()
        .filter_map(|request| {
            let actual = values
                .get(request.option.as_str())
                .map_or(Setting::Off, |value| Setting::Value((*value).into()));
            (actual != request.setting).then(|| Missed {
                request: request.clone(),
                actual,
            })
        })
        .collect()
}

/// The number of options that are `=y` in the text of a `.config`.
#[must_use]
pub fn options_set(config: &str) -> usize {
    values(config)
        .values()
        .filter(|value| **value == "y")
        .count()
}

fn values(config: &str) -> BTreeMap<&str, &str> {
    config
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .collect()
}

#[cfg(test)]
#[path = "verify_test.rs"]
mod tests;
