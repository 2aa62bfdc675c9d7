//! `bulkhead fetch`: images into the store, before anything runs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use bulkhead_image::ImageId;
use clap::{Args, ValueEnum};

use crate::arguments::GlobalOptions;
use crate::run::images::{self, Narration, Wanted};

/// Digits of an id without `--full` (rkt).
const SHORT: usize = "sha512-".len() + 32;

const EXAMPLES: &str = "\
Fetch an image of a registry, and print its id:
  bulkhead fetch docker://redis:7
  bulkhead fetch quay.io/prometheus/prometheus

Fetch an ACI of a web server, by its address, or by its name where pages of its host say where it is:
  bulkhead fetch https://example.com/app.aci
  bulkhead fetch aci://example.com/app:1.0

Bring a local image into the store, an ACI with its signature in ./app.aci.asc or elsewhere:
  bulkhead fetch ./app.aci
  bulkhead fetch ./app.aci --signature=sig.asc

What was begun and could not be finished is gone on with by the next fetch within a day.";

/// When a registry is asked for an image that is in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// When the image is not in the store.
    #[default]
    New,
    /// Always.
    Update,
    /// Never.
    Never,
}

/// `fetch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FetchOptions {
    /// Images: names of a registry, names (aci://…) and addresses of ACIs, files or directories
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Print ids in full
    #[arg(long)]
    full: bool,

    /// The image's signature, of an ACI alone [default: IMAGE.asc]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    /// When to ask the registry: new (when the image is not in the store), update (always), never
    #[arg(long, value_name = "POLICY", default_value = "update")]
    pull_policy: PullPolicy,
}

impl FetchOptions {
    /// Fetches one image after the other, and gives a line for each.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<String> {
        let narration = Narration {
            command: "fetch",
            debug: global.debug,
            quiet: false,
        };
        if self.signature.is_some() && self.images.len() > 1 {
            bail!("--signature is for one image");
        }
        let store = images::open_store(&global.dir)?;
        let mut lines = String::new();
        for image in &self.images {
            let wanted = Wanted {
                image,
                signature: self.signature.as_deref(),
                policy: self.pull_policy,
            };
            let stored = images::bring(global, &store, wanted, narration)?;
            lines.push_str(&self.shown(&stored.id));
            lines.push('\n');
        }
        Ok(lines)
    }

    fn shown(&self, id: &ImageId) -> String {
        match self.full {
            true => id.to_string(),
            false => id.as_str().chars().take(SHORT).collect(),
        }
    }
}
