//! `bulkhead config`: what results of all configuration and flags, in the form of configuration files.

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{DefaultStage1, Paths, VERSION, auth, logins, paths, policies, registries, stage1};
use crate::arguments::GlobalOptions;
use crate::stage1::installed;

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigOptions {
    /// Break and indent the text
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pretty_print: bool,
}

/// What `config` prints, as rkt's: the configuration of each stage.
#[derive(Serialize)]
struct Stages<'a> {
    stage0: Vec<Entry<'a>>,
}

/// As it could stand in a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    rkt_version: &'static str,
    rkt_kind: &'static str,
    #[serde(flatten)]
    fields: Fields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Paths(Paths),
    Stage1(&'a DefaultStage1),
    Login(logins::Fields),
    Auth(auth::Fields),
    Registry(registries::Fields),
    Policy(policies::Fields),
}

impl ConfigOptions {
    /// The text to print.
    pub(crate) fn text(&self, global: &GlobalOptions) -> Result<String> {
        let paths = Paths {
            data: Some(std::path::absolute(&global.dir).context("find the data directory")?),
            stage1_images: installed(global).into_iter().next(),
        };
        let entry = |rkt_kind, fields| Entry {
            rkt_version: VERSION,
            rkt_kind,
            fields,
        };
        let configuration = &global.configuration;
        let default = &configuration.stage1;
        let mut stage0 = vec![entry(paths::KIND, Fields::Paths(paths))];
        if *default != DefaultStage1::default() {
            stage0.push(entry(stage1::KIND, Fields::Stage1(default)));
        }
        let logins = configuration.logins.fields();
        stage0.extend(logins.map(|fields| entry(logins::KIND, Fields::Login(fields))));
        let auth = configuration.auth.fields();
        stage0.extend(auth.map(|fields| entry(auth::KIND, Fields::Auth(fields))));
        let rules = configuration.registries.fields();
        stage0.extend(rules.map(|fields| entry(registries::KIND, Fields::Registry(fields))));
        let policies = configuration.policies.fields();
        stage0.extend(policies.map(|fields| entry(policies::KIND, Fields::Policy(fields))));
        let stages = Stages { stage0 };
        let text = match self.pretty_print {
            true => serde_json::to_string_pretty(&stages),
            false => serde_json::to_string(&stages),
        };
        Ok(text.context("the configuration as JSON")? + "\n")
    }
}
