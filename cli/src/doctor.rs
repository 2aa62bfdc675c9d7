//! `bulkhead doctor`: can this host run pods, and what helps where it cannot?
//!
//! [`facts`] reads the host, [`checks`] judges what was read: pure functions, so that each verdict
//! and its words are tested without a host that has the defect.

mod checks;
mod facts;
mod host_advice;
mod stage1_files;

use std::fmt::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use self::facts::Facts;
use crate::arguments::GlobalOptions;

const EXAMPLES: &str = "\
One line a check: ok, warning (pods run, but the advice makes them safer or faster), problem (pods
do not run), unknown (the host does not say). Exit status: 0 when `bulkhead run --stage1=kvm` can
work, 254 otherwise. Any user may ask; the answer is for that user.";

/// Options of `doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorOptions {
    /// Print JSON: {"usable": bool, "checks": [{"name", "status", "finding", "remedy"}]}
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Problem,
    Unknown,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            finding: finding.into(),
            remedy: None,
        }
    }

    fn unknown(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Unknown,
            finding: finding.into(),
            remedy: None,
        }
    }

    fn warning(name: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (finding, remedy) = (finding.into(), Some(remedy.into()));
        Self {
            name,
            status: Status::Warning,
            finding,
            remedy,
        }
    }

    fn problem(name: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: Status::Problem,
            ..Self::warning(name, finding, remedy)
        }
    }
}

#[derive(Serialize)]
struct Report {
    usable: bool,
    checks: Vec<Check>,
}

impl Report {
    fn new(checks: Vec<Check>) -> Self {
        let usable = checks.iter().all(|check| check.status != Status::Problem);
        Self { usable, checks }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |check: &Check| -> std::fmt::Result {
            write!(
                text,
                "{:<8} {:<14} {}",
                check.status.word(),
                check.name,
                check.finding
            )?;
            match &check.remedy {
                Some(remedy) => writeln!(text, "; remedy: {remedy}"),
                None => writeln!(text),
            }
        };
        for check in &self.checks {
            line(check).expect("writing to a String does not fail");
        }
        text.push_str(match self.usable {
            true => "bulkhead run --stage1=kvm can work on this host\n",
            false => "bulkhead run --stage1=kvm cannot work on this host\n",
        });
        text
    }
}

/// The report, and whether `run --stage1=kvm` can work.
pub(crate) fn doctor(global: &GlobalOptions, options: &DoctorOptions) -> Result<(String, bool)> {
    let facts = Facts::read(global);
    let mut checks = checks::all(&facts);
    checks.extend(host_advice::all(&facts.advice));
    let report = Report::new(checks);
    let text = match options.json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => report.text(),
    };
    Ok((text, report.usable))
}

#[cfg(test)]
#[path = "doctor_test.rs"]
mod tests;
