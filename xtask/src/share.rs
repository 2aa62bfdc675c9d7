//! What `bulkhead` generates for the `share` of an installation: manual pages and completions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{output, run};

/// Shells, each with the file that it looks for, below `share`. The other shells have no directory of the kind.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/bulkhead"),
    ("fish", "fish/vendor_completions.d/bulkhead.fish"),
    ("zsh", "zsh/site-functions/_bulkhead"),
];

/// Lets `bulkhead` fill `share`, anew: pages of subcommands that went are not left.
pub(crate) fn generate(bulkhead: &Path, share: &Path) -> Result<()> {
    if share.exists() {
        fs::remove_dir_all(share).context("remove the former share")?;
    }
    let pages = share.join("man/man1");
    fs::create_dir_all(&pages).context("make the directory of manual pages")?;
    run(Command::new(bulkhead).arg("man-pages").arg(&pages))?;
    for (shell, file) in COMPLETIONS {
        let script = output(Command::new(bulkhead).args(["completion", shell]))?;
        write(&share.join(file), &script)
            .with_context(|| format!("write the completions of {shell}"))?;
    }
    Ok(())
}

fn write(file: &Path, script: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, script)
}
