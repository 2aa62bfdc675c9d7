//! `bulkhead trust`: whose signatures of images are taken.

mod review;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_trust::{BadPrefix, MAX_KEY_BYTES, Prefix, PublicKey};
use clap::Args;

use crate::arguments::GlobalOptions;

/// `trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustOptions {
    /// Files of OpenPGP keys, as `gpg --armor --export` writes them
    #[arg(value_name = "PUBKEY")]
    keys: Vec<String>,

    /// Trust the keys for images whose names are this or begin with it and a slash
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,

    /// Trust the keys for all images
    #[arg(long)]
    root: bool,

    /// Do not ask whether the fingerprints are the right ones
    #[arg(long)]
    skip_fingerprint_review: bool,
}

impl TrustOptions {
    /// Shows each key, asks, and trusts it.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let prefix = self.prefix()?;
        if self.keys.is_empty() {
            bail!("at least one key is required");
        }
        for location in &self.keys {
            let bytes =
                read(location).with_context(|| format!("error accessing the key {location}"))?;
            let keys = PublicKey::read(&bytes);
            let keys = keys.with_context(|| format!("error reading the key {location}"))?;
            self.trust(global, prefix.as_ref(), location, &keys)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What keys are for; none: all images.
    fn prefix(&self) -> Result<Option<Prefix>> {
        match (self.prefix.as_str(), self.root) {
            ("", false) => bail!("--root required for non-prefixed (root) keys"),
            ("", true) => Ok(None),
            (_, true) => bail!("--root and --prefix usage mutually exclusive"),
            (prefix, false) => match prefix.split_once("://") {
                Some((scheme, _)) => {
                    bail!("--prefix must not contain a URL scheme, omit {scheme}://")
                }
                None => Ok(Some(prefix.parse().map_err(|error: BadPrefix| error)?)),
            },
        }
    }

    fn trust(
        &self,
        global: &GlobalOptions,
        prefix: Option<&Prefix>,
        location: &str,
        keys: &[PublicKey],
    ) -> Result<()> {
        let store = global.trust_store();
        review::show(prefix, location, keys);
        let for_whom = prefix.map_or("", Prefix::as_str);
        let review = match self.skip_fingerprint_review {
            true => "without",
            false if !review::is_accepted()? => {
                eprintln!("trust: Not trusting {location:?}");
                return Ok(());
            }
            false => "after",
        };
        eprintln!(
            "trust: Trusting {location:?} for prefix {for_whom:?} {review} fingerprint review."
        );
        for key in keys {
            let path = store.add(prefix, key)?;
            match prefix {
                None => eprintln!("trust: Added root key at {path:?}"),
                Some(prefix) => eprintln!(
                    "trust: Added key for prefix {:?} at {path:?}",
                    prefix.as_str()
                ),
            }
        }
        Ok(())
    }
}

fn read(location: &str) -> Result<Vec<u8>> {
    if location.contains("://") {
        bail!("only local files are supported");
    }
    let mut bytes = Vec::new();
    let file = File::open(Path::new(location))?;
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_KEY_BYTES {
        true => bail!("it is longer than {MAX_KEY_BYTES} bytes"),
        false => Ok(bytes),
    }
}
