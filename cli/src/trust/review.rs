//! What a user compares before a key is trusted.

use std::io::{self, BufRead};

use anyhow::{Context, Result, bail};
use bulkhead_trust::{Prefix, PublicKey};

/// Longest answer that is read.
const MAX_ANSWER: u64 = 64;

/// Shows fingerprints and names.
pub(super) fn show(prefix: Option<&Prefix>, location: &str, keys: &[PublicKey]) {
    let prefix = prefix.map_or("", Prefix::as_str);
    eprintln!("prefix: {prefix:?}\nkey: {location:?}");
    for key in keys {
        eprintln!("gpg key fingerprint is: {}", grouped(&key.fingerprint()));
        for subkey in key.subkey_fingerprints() {
            eprintln!("    subkey fingerprint: {}", grouped(&subkey));
        }
        for identity in key.identities() {
            eprintln!("\t{identity}");
        }
    }
}

/// Asks until there is an answer.
pub(super) fn is_accepted() -> Result<bool> {
    let mut input = io::stdin().lock();
    loop {
        eprintln!("Are you sure you want to trust this key (yes/no)?");
        let mut answer = String::new();
        let mut bounded = io::Read::take(&mut input, MAX_ANSWER);
        let length = bounded
            .read_line(&mut answer)
            .context("error reading input")?;
        match answer.trim_end_matches('\n') {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ if length == 0 => bail!("error reading input: it ended without an answer"),
            _ => eprintln!("Please enter 'yes' or 'no'"),
        }
    }
}

/// As GnuPG shows it: `8B86 DE38 890D DB72 9186  7B02 5210 BD88 8818 2190`.
fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.to_ascii_uppercase().chars().collect();
    let groups: Vec<String> = digits
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    format!("{}  {}", first.join(" "), second.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_shown_as_gnupg_does() {
        let shown = grouped("8b86de38890ddb7291867b025210bd8888182190");
        assert_eq!(shown, "8B86 DE38 890D DB72 9186  7B02 5210 BD88 8818 2190");
    }
}
