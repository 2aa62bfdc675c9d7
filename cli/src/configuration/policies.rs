//! Which images of registries are taken. The kind is ours; rkt had none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::Problem;

mod keyless;

pub(crate) use self::keyless::KeylessRule;

pub(super) const KIND: &str = "imagePolicy";

/// What is said of images, by the beginnings of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policies(BTreeMap<String, Rule>);

/// What is said of those of one prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) policy: Verdict,
    /// Files of public keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<PathBuf>,
    /// Whose keyless signatures count, in the place of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keyless: Option<KeylessRule>,
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is taken.
    Accept,
    /// It is not.
    Reject,
    /// It is when one of the keys has signed it, or somebody without a key who is named.
    Signed,
}

/// The fields of the kind `imagePolicy`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Fields {
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(flatten)]
    rule: Rule,
}

impl Policies {
    /// What is said of this image, `HOST/REPOSITORY`: by the longest prefix of whole parts, and for all by the empty one.
    pub(crate) fn of(&self, name: &str) -> Option<&Rule> {
        let fits = |prefix: &str| match name.strip_prefix(prefix) {
            Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let fitting = self.0.iter().filter(|(prefix, _)| fits(prefix));
        let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
        longest.map(|(_, rule)| rule)
    }

    pub(super) fn take(&mut self, fields: Fields) -> Result<(), Problem> {
        if fields.prefixes.is_empty() {
            return Err(Problem::Missing("prefixes"));
        }
        fields.rule.check()?;
        for prefix in fields.prefixes {
            let prefix = prefix.trim_end_matches('/').to_owned();
            let before = self.0.insert(prefix.clone(), fields.rule.clone());
            if before.is_some() {
                return Err(Problem::Value {
                    what: "prefix",
                    value: prefix,
                    problem: "has a policy by another file of this directory already",
                });
            }
        }
        Ok(())
    }

    /// A prefix is one thing: what is said later of it takes the place of all that was said before.
    pub(super) fn override_with(&mut self, stronger: Self) {
        self.0.extend(stronger.0);
    }

    /// As they could stand in files.
    pub(super) fn fields(&self) -> impl Iterator<Item = Fields> {
        self.0.iter().map(|(prefix, rule)| Fields {
            prefixes: vec![prefix.clone()],
            rule: rule.clone(),
        })
    }
}

impl Rule {
    fn check(&self) -> Result<(), Problem> {
        let ways = usize::from(!self.keys.is_empty()) + usize::from(self.keyless.is_some());
        if ways != usize::from(self.policy == Verdict::Signed) {
            return Err(Problem::Value {
                what: "policy",
                value: format!("{:?}", self.policy).to_lowercase(),
                problem: "does not go with its keys: signed has some or is keyless, and nothing else has",
            });
        }
        for path in &self.keys {
            absolute("keys", path)?;
        }
        self.keyless.as_ref().map_or(Ok(()), KeylessRule::check)
    }
}

fn absolute(what: &'static str, path: &Path) -> Result<(), Problem> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(Problem::Value {
            what,
            value: path.display().to_string(),
            problem: "is not an absolute path",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(policy: Verdict) -> Rule {
        Rule {
            policy,
            keys: Vec::new(),
            keyless: None,
        }
    }

    fn policies(rules: &[(&str, Verdict)]) -> Policies {
        let rules = rules.iter();
        Policies(
            rules
                .map(|(prefix, policy)| ((*prefix).to_owned(), rule(*policy)))
                .collect(),
        )
    }

    #[test]
    fn the_longest_prefix_of_whole_parts_says_it() {
        let policies = policies(&[
            ("", Verdict::Reject),
            ("quay.io", Verdict::Accept),
            ("quay.io/team", Verdict::Reject),
        ]);
        let of = |name| policies.of(name).map(|rule| rule.policy);
        assert_eq!(of("quay.io/team/app"), Some(Verdict::Reject));
        assert_eq!(of("quay.io/team"), Some(Verdict::Reject));
        assert_eq!(of("quay.io/teams/app"), Some(Verdict::Accept));
        assert_eq!(of("quay.io.example.com/app"), Some(Verdict::Reject));
        assert_eq!(Policies::default().of("quay.io/app"), None);
    }

    #[test]
    fn keys_go_with_signatures_alone() {
        let take = |text: &str| {
            let fields = serde_json::from_str(text).map_err(Problem::from)?;
            Policies::default().take(fields)
        };
        take(r#"{"prefixes":["a"],"policy":"signed","keys":["/k"]}"#).unwrap();
        take(r#"{"prefixes":["a"],"policy":"reject"}"#).unwrap();
        for wrong in [
            r#"{"prefixes":["a"],"policy":"signed"}"#,
            r#"{"prefixes":["a"],"policy":"accept","keys":["/k"]}"#,
            r#"{"prefixes":["a"],"policy":"signed","keys":["k"]}"#,
            r#"{"prefixes":[],"policy":"accept"}"#,
            r#"{"prefixes":["a","a/"],"policy":"accept"}"#,
            r#"{"prefixes":["a"],"policy":"sign"}"#,
        ] {
            assert!(take(wrong).is_err(), "{wrong}");
        }
    }
}
