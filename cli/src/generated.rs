//! What is made of the command line's definition: completions of shells, and manual pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Arg, Args, ValueHint};
use clap_complete::Shell;

use crate::arguments;

/// Subcommands whose images, and what follows them, clap does not read (see `run::grammar`).
const WITH_IMAGES: [&str; 2] = ["run", "prepare"];

/// Options of `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionOptions {
    /// The shell that is to read it
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionOptions {
    /// A script for the shell.
    pub(crate) fn text(&self) -> String {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "bulkhead", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

/// Options of `man-pages`.
#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// A directory that is there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl ManOptions {
    /// Writes `bulkhead.1`, and `bulkhead-SUBCOMMAND.1` for each subcommand.
    pub(crate) fn write(&self) -> Result<()> {
        clap_mangen::generate_to(definition().disable_help_subcommand(true), &self.directory)
            .with_context(|| {
                format!(
                    "cannot write manual pages into {}",
                    self.directory.display()
                )
            })
    }
}

/// The definition, with images where `run`'s own grammar has them: shells complete them as paths.
fn definition() -> clap::Command {
    let images = Arg::new("images")
        .value_name("IMAGE")
        .help("Images, each followed by the options of its app")
        .num_args(0..)
        .value_hint(ValueHint::AnyPath);
    WITH_IMAGES
        .iter()
        .fold(arguments::definition(), |command, name| {
            command.mut_subcommand(name, |subcommand| subcommand.arg(images.clone()))
        })
}

#[cfg(test)]
#[path = "generated_test.rs"]
mod tests;
