//! Whose keyless signatures count: who makes the certificates, who keeps the log, and who may have signed.

use std::path::PathBuf;

use bulkhead_trust::{Identity, Subject};
use serde::{Deserialize, Serialize};

use super::absolute;
use crate::configuration::files::Problem;

/// The field `keyless`. One that is not known here may be a check that somebody counts on: it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeylessRule {
    /// The file of the certificates of who makes certificates.
    pub(crate) roots: PathBuf,
    /// The file of the public key of the log of signatures.
    pub(crate) log_key: PathBuf,
    /// The file of the public key of the log of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ct_key: Option<PathBuf>,
    identities: Vec<IdentityRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IdentityRule {
    issuer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject_prefix: Option<String>,
}

impl KeylessRule {
    pub(super) fn check(&self) -> Result<(), Problem> {
        absolute("roots", &self.roots)?;
        absolute("logKey", &self.log_key)?;
        if let Some(path) = &self.ct_key {
            absolute("ctKey", path)?;
        }
        if self.identities.is_empty() {
            return Err(Problem::Missing("identities"));
        }
        self.identities.iter().try_for_each(IdentityRule::check)
    }

    /// Who may have signed.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        let identities = self.identities.iter();
        identities.filter_map(IdentityRule::identity).collect()
    }
}

impl IdentityRule {
    fn check(&self) -> Result<(), Problem> {
        if self.issuer.is_empty() {
            return Err(Problem::Missing("issuer of an identity"));
        }
        match (&self.subject, &self.subject_prefix) {
            (Some(subject), None) if !subject.is_empty() => Ok(()),
            // What begins with `https://github.com/team` may be of `teams`, and with `somebody@` anybody's.
            (None, Some(prefix)) if prefix.contains("://") && prefix.ends_with(['/', '@']) => {
                Ok(())
            }
            (None, Some(prefix)) => Err(Problem::Value {
                what: "subjectPrefix",
                value: prefix.clone(),
                problem: "is no URI that ends with / or @",
            }),
            _ => Err(Problem::Pair(
                "an identity has either a subject or a subjectPrefix",
            )),
        }
    }

    /// One that was checked.
    fn identity(&self) -> Option<Identity> {
        let is = self.subject.clone().map(Subject::Is);
        let begins = || self.subject_prefix.clone().map(Subject::BeginsWith);
        Some(Identity {
            issuer: self.issuer.clone(),
            subject: is.or_else(begins)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(more: &serde_json::Value) -> Result<KeylessRule, Problem> {
        let mut fields = json!({"roots": "/ca.pem", "logKey": "/log.pub",
            "identities": [{"issuer": "https://issuer", "subject": "a@b"}]});
        let fields_of = fields.as_object_mut().unwrap();
        fields_of.extend(more.as_object().unwrap().clone());
        let rule: KeylessRule = serde_json::from_value(fields)?;
        rule.check()?;
        Ok(rule)
    }

    #[test]
    fn an_identity_is_one_subject_or_those_of_one_beginning() {
        let rule = check(&json!({"ctKey": "/ct.pub", "identities": [
            {"issuer": "https://issuer", "subject": "a@b"},
            {"issuer": "https://issuer", "subjectPrefix": "https://host/team/"}]}));
        let subjects = rule.unwrap().identities().into_iter();
        assert_eq!(
            subjects.map(|one| one.subject).collect::<Vec<_>>(),
            [
                Subject::Is("a@b".to_owned()),
                Subject::BeginsWith("https://host/team/".to_owned())
            ]
        );
    }

    #[test]
    fn what_would_let_others_in_is_refused() {
        for wrong in [
            json!({"roots": "ca.pem"}),
            json!({"logKey": "log.pub"}),
            json!({"ctKey": "ct.pub"}),
            json!({"ctkey": "/ct.pub"}),
            json!({"identities": []}),
            json!({"identities": [{"issuer": "https://issuer"}]}),
            json!({"identities": [{"issuer": "", "subject": "a@b"}]}),
            json!({"identities": [{"issuer": "https://issuer", "subject": ""}]}),
            json!({"identities": [{"issuer": "https://issuer", "subjectPrefix": ""}]}),
            json!({"identities": [{"issuer": "https://issuer", "subjectPrefix": "https://host/team"}]}),
            json!({"identities": [{"issuer": "https://issuer", "subjectPrefix": "somebody@"}]}),
            json!({"identities": [{"issuer": "https://issuer", "subject": "a@b", "subjectPrefix": "https://b/"}]}),
            json!({"identities": [{"issuer": "https://issuer", "subject": "a@b", "repository": "a"}]}),
        ] {
            assert!(check(&wrong).is_err(), "{wrong}");
        }
    }
}
