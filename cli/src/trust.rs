//! `bulkhead trust`: whose signatures of images are taken.

mod review;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_image::{AciName, Web, WebAccess};
use bulkhead_trust::{BadPrefix, MAX_KEY_BYTES, Prefix, PublicKey};
use clap::Args;

use crate::arguments::{GlobalOptions, InsecureOption};
use crate::registries::web_access;
use crate::report;

/// `trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustOptions {
    /// Files or URLs of OpenPGP keys, as `gpg --armor --export` writes them [default: what the pages of the prefix say]
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

    /// Fetch keys by http too
    #[arg(long)]
    insecure_allow_http: bool,
}

impl TrustOptions {
    /// Shows each key, asks, and trusts it.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let prefix = self.prefix()?;
        for location in &self.locations(global, prefix.as_ref())? {
            let bytes = self
                .read(global, location)
                .with_context(|| format!("error accessing the key {location}"))?;
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

    /// The keys that are named, or those that pages say of the prefix.
    fn locations(&self, global: &GlobalOptions, prefix: Option<&Prefix>) -> Result<Vec<String>> {
        match (self.keys.as_slice(), prefix) {
            ([], None) => bail!("at least one key or --prefix required"),
            ([], Some(prefix)) => {
                let mut web = Web::start(&self.access(global)?)?;
                let name = AciName::of(prefix.clone());
                let keys = name.discover_keys(&mut web, self.insecure_allow_http);
                keys.context("--prefix meta discovery error")
            }
            (keys, _) => Ok(keys.to_vec()),
        }
    }

    fn access(&self, global: &GlobalOptions) -> Result<WebAccess> {
        Ok(WebAccess {
            plain_http: self.insecure_allow_http,
            ..web_access(global)?
        })
    }

    fn read(&self, global: &GlobalOptions, location: &str) -> Result<Vec<u8>> {
        match location.split_once("://") {
            None => read_file(location),
            Some(("http", _)) if !self.insecure_allow_http => {
                bail!("--insecure-allow-http required for http URLs")
            }
            Some(("http" | "https", _)) => {
                let mut web = Web::start(&self.access(global)?)?;
                Ok(web.read(location, MAX_KEY_BYTES)?)
            }
            Some(_) => bail!("only local files and http or https URLs supported"),
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
        // Not of whoever answers.
        let is_secure = !self.insecure_allow_http && location.starts_with("https://");
        let is_trusted = is_secure && trusts_servers(global);
        let review = match self.skip_fingerprint_review || is_trusted {
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

/// Whether whoever has a server says whose keys are on it: not when it may be anybody.
fn trusts_servers(global: &GlobalOptions) -> bool {
    global.trust_keys_from_https && !global.leaves_out_of_fetching(InsecureOption::Tls)
}

/// Trusts the keys of an image's name that pages say, where servers are trusted with that. What cannot be had is said, and no error: the key may be
/// trusted already.
pub(crate) fn trust_discovered(global: &GlobalOptions, name: &AciName, web: &mut Web) {
    // Such a server may be anybody, too.
    let in_the_clear = global.leaves_out_of_fetching(InsecureOption::Http);
    if !trusts_servers(global) || in_the_clear {
        return;
    }
    let keys = match name.discover_keys(web, false) {
        Ok(keys) => keys,
        Err(error) => {
            eprint!("{}", report::tree("trust", &error.into()));
            return;
        }
    };
    for location in keys.iter().filter(|url| url.starts_with("https://")) {
        if let Err(error) = trust_key(global, name.name(), location, web) {
            eprint!("{}", report::tree("trust", &error));
        }
    }
}

fn trust_key(global: &GlobalOptions, name: &Prefix, location: &str, web: &mut Web) -> Result<()> {
    let store = global.trust_store();
    let bytes = web.read(location, MAX_KEY_BYTES);
    let bytes = bytes.with_context(|| format!("error accessing the key {location}"))?;
    let keys = PublicKey::read(&bytes);
    let keys = keys.with_context(|| format!("error reading the key {location}"))?;
    // One that is masked stays so.
    for key in keys.iter().filter(|key| !store.has(Some(name), key)) {
        review::show(Some(name), location, std::slice::from_ref(key));
        let path = store.add(Some(name), key)?;
        let name = name.as_str();
        eprintln!("trust: Trusting {location:?} for prefix {name:?} without fingerprint review.");
        eprintln!("trust: Added key for prefix {name:?} at {path:?}");
    }
    Ok(())
}

fn read_file(location: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(Path::new(location))?;
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_KEY_BYTES {
        true => bail!("it is longer than {MAX_KEY_BYTES} bytes"),
        false => Ok(bytes),
    }
}
