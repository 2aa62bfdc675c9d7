//! How an error reaches the user: one report, on stderr, as rkt writes it.
//!
//! ```text
//! run: cannot import image web.aci
//!   └─cannot open web.aci
//!     └─No such file or directory (os error 2)
//! ```

use std::fmt::Write;
use std::io::{self, Write as _};

use anyhow::Context;

/// Every error of bulkhead itself, so that it can be told from the exit status of a pod.
pub(crate) const EXIT_ERROR: u8 = 254;
/// No subcommand was given.
pub(crate) const EXIT_NO_SUBCOMMAND: u8 = 2;

/// The error and its causes, one a line, each below what it caused.
pub(crate) fn tree(command: &str, error: &anyhow::Error) -> String {
    let mut text = format!("{command}: {error}\n");
    for (depth, cause) in error.chain().skip(1).enumerate() {
        let indent = "  ".repeat(depth + 1);
        writeln!(text, "{indent}└─{cause}").expect("writing to a String does not fail");
    }
    text
}

/// Writes to stdout. A reader that has gone (`bulkhead help | head -1`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to stdout"),
    }
}

/// The command line is not one that bulkhead understands, or asks for help.
#[derive(Debug)]
pub(crate) enum UsageError {
    /// Print this on stdout; not an error.
    Help(String),
    /// Print this, the overview of the subcommands.
    NoSubcommand(String),
    /// Print this.
    Wrong(String),
}

impl UsageError {
    /// What clap found wrong, without the usage lines: they do not know of several images.
    pub(crate) fn clap(command: &str, error: &clap::Error) -> Self {
        if !error.use_stderr() {
            return Self::Help(format!("{}\n", error.render().to_string().trim_end()));
        }
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
        let mut message = String::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let help = line.starts_with("For more information");
            if !help {
                writeln!(message, "{line}").expect("writing to a String does not fail");
            }
        }
        Self::wrong(command, message.trim_end())
    }

    /// Any other mistake.
    pub(crate) fn wrong(command: &str, message: &str) -> Self {
        let help = match command {
            "bulkhead" => "bulkhead --help".to_owned(),
            command => format!("bulkhead {command} --help"),
        };
        Self::Wrong(format!(
            "{command}: {message}\nFor more information, try '{help}'.\n"
        ))
    }
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
