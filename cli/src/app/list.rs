//! `bulkhead app list`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::arguments::GlobalOptions;
use crate::pods::{Description, Format, PodName, json, table};
use crate::report;

/// Options of `app list`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    pod: PodName,

    /// Leave out the line that names the columns
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    no_legend: bool,

    /// Print JSON instead of a table
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl ListOptions {
    pub(super) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = self.pod.find(&global.dir)?;
        let uuid = pod.uuid();
        let Some(pod) = Description::of(&global.dir, pod, false)? else {
            bail!("pod {uuid} is no more");
        };
        let apps: Vec<_> = pod.apps().map(|(app, exit)| pod.app(app, exit)).collect();
        let text = match self.format {
            Some(format) => json(&apps, format).context("make JSON of the apps")?,
            None => {
                let legend = (!self.no_legend).then(|| vec!["NAME".to_owned(), "STATE".to_owned()]);
                let rows = apps
                    .iter()
                    .map(|app| vec![app.name.to_owned(), app.state.to_owned()]);
                table(&legend.into_iter().chain(rows).collect::<Vec<_>>())
            }
        };
        report::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
