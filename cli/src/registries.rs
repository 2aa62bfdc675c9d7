//! How registries and web servers are spoken to: who asks, whom to trust, and in the clear or not.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bulkhead_image::{Access, Credentials, Policy, Registries, RegistryReference, WebAccess};
use bulkhead_trust::{Authorities, CosignKey, CosignSigners, Keyless};
use docker_credential::{CredentialRetrievalError, DockerCredential};

use crate::arguments::{GlobalOptions, InsecureOption};
use crate::configuration::{KeylessRule, Login, Proof, Rule, Verdict};
use crate::programs;
use crate::progress;

/// Where Docker and podman look for the authorities of a registry: a directory a host.
const CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// All certificates of a registry together.
const MAX_CERTIFICATES: u64 = 24 << 10;

/// What `docker login` calls Docker's own registry.
const DOCKER: &str = "docker.io";
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Longest file of a key that signs images, or of those who make certificates.
const MAX_KEY: u64 = 64 << 10;

/// Longest file of logins.
const MAX_LOGINS: u64 = 1 << 20;

const NOT_FOUND: &str = "credentials not found";

/// For an image of a registry.
pub(crate) fn registries(
    global: &GlobalOptions,
    reference: &RegistryReference,
) -> Result<Registries> {
    let host = reference.host();
    let access = access(global, host).with_context(|| format!("registry {host}"))?;
    Ok(Registries {
        fetcher: programs::fetcher(),
        access,
        policy: policy(global, reference)?,
        observer: Arc::new(progress::bars()),
    })
}

/// Whether an image may be taken, where it has to be brought.
fn policy(global: &GlobalOptions, reference: &RegistryReference) -> Result<Policy> {
    let Some(rule) = rule(global, reference) else {
        return Ok(Policy::Accept);
    };
    match rule.policy {
        Verdict::Accept => Ok(Policy::Accept),
        Verdict::Reject => Ok(Policy::Reject),
        Verdict::Signed => Ok(Policy::Signed(signers(rule)?)),
    }
}

fn signers(rule: &Rule) -> Result<CosignSigners> {
    match &rule.keyless {
        Some(rule) => Ok(CosignSigners::Keyless(Box::new(keyless(rule)?))),
        None => {
            let keys = rule.keys.iter().map(|path| key(path));
            Ok(CosignSigners::Keys(keys.collect::<Result<_>>()?))
        }
    }
}

fn keyless(rule: &KeylessRule) -> Result<Keyless> {
    let roots = rule.roots.display();
    let context = || format!("the certificates {roots} of the image policy");
    let text = of_policy(&rule.roots).with_context(context)?;
    Ok(Keyless {
        authorities: Authorities::parse(&text).with_context(context)?,
        log: key(&rule.log_key)?,
        timestamps: rule.ct_key.as_deref().map(key).transpose()?,
        identities: rule.identities(),
    })
}

/// Whether an image may not even be taken from the store. Its signature was looked at when it came: no key is read.
pub(crate) fn is_rejected(global: &GlobalOptions, reference: &RegistryReference) -> bool {
    rule(global, reference).is_some_and(|rule| rule.policy == Verdict::Reject)
}

/// What is said of it, unless that is left out.
fn rule<'a>(global: &'a GlobalOptions, reference: &RegistryReference) -> Option<&'a Rule> {
    let name = format!("{}/{}", reference.host(), reference.repository());
    let rule = global.configuration.policies.of(&name)?;
    if rule.policy != Verdict::Accept && global.leaves_out_of_fetching(InsecureOption::Image) {
        eprintln!("bulkhead: warning: image {reference}: the policy for it is left out");
        return None;
    }
    Some(rule)
}

fn key(path: &Path) -> Result<CosignKey> {
    let context = || format!("the key {} of the image policy", path.display());
    let text = of_policy(path).with_context(context)?;
    CosignKey::parse(&text).with_context(context)
}

/// A file that a policy names.
fn of_policy(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    file.take(MAX_KEY).read_to_string(&mut text)?;
    Ok(text)
}

/// For files of web servers.
pub(crate) fn web_access(global: &GlobalOptions) -> Result<WebAccess> {
    let logins = global.configuration.auth.all().map(|(host, proof)| {
        let credentials = match proof {
            Proof::Basic(login) => of_login(login)?,
            Proof::Oauth { token } => {
                let token = token.0.as_str().try_into();
                Credentials::Bearer(token.context("the token of the configuration")?)
            }
        };
        Ok((host.clone(), credentials))
    });
    Ok(WebAccess {
        fetcher: programs::fetcher(),
        plain_http: global.leaves_out_of_fetching(InsecureOption::Http),
        any_certificate: global.leaves_out_of_fetching(InsecureOption::Tls),
        logins: logins.collect::<Result<_>>()?,
        observer: Arc::new(progress::bars()),
    })
}

fn access(global: &GlobalOptions, host: &str) -> Result<Access> {
    let insecure = |check| global.leaves_out_of_fetching(check);
    let rules = global.configuration.registries.of(host);
    Ok(Access {
        plain_http: insecure(InsecureOption::Http)
            || rules.plain_http.unwrap_or_else(|| is_loopback(host)),
        any_certificate: insecure(InsecureOption::Tls),
        authorities: authorities(host, rules.authorities)?,
        credentials: match global.configuration.logins.of(host) {
            Some(login) => of_login(login)?,
            None => credentials(host)?,
        },
    })
}

/// A registry of this host itself speaks HTTP, as Docker takes it: nobody is between.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The certificates that Docker and podman would trust for this host too, and those of the configuration.
fn authorities(host: &str, configured: Option<PathBuf>) -> Result<String> {
    let mut files: Vec<PathBuf> = configured.into_iter().collect();
    for directory in CERTIFICATES {
        files.extend(certificates(&Path::new(directory).join(host))?);
    }
    let mut all = String::new();
    for file in files {
        let context = || format!("read {}", file.display());
        let text = fs::File::open(&file).and_then(|file| {
            let mut text = String::new();
            file.take(MAX_CERTIFICATES + 1).read_to_string(&mut text)?;
            Ok(text)
        });
        all.push_str(&text.with_context(context)?);
        all.push('\n');
        if all.len() as u64 > MAX_CERTIFICATES {
            bail!("its certificates are more than {MAX_CERTIFICATES} bytes");
        }
    }
    Ok(all)
}

fn certificates(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", directory.display())),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.with_context(|| format!("read {}", directory.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "crt"));
    paths.sort();
    Ok(paths)
}

fn of_login(login: &Login) -> Result<Credentials> {
    let text = |text: &str| text.try_into();
    Ok(Credentials::Basic {
        user: text(&login.user).context("the user name of the configuration")?,
        password: text(&login.password.0).context("the password of the configuration")?,
    })
}

/// What `docker login` or `podman login` has left, in a file or with a credential helper.
fn credentials(host: &str) -> Result<Credentials> {
    let key = match host {
        DOCKER => DOCKER_KEY,
        host => host,
    };
    for file in login_files() {
        let text = match fs::File::open(&file) {
            Ok(text) => text.take(MAX_LOGINS),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", file.display()));
            }
        };
        let found = docker_credential::get_credential_from_reader(text, key);
        let found = found_in(found).with_context(|| format!("{}", file.display()))?;
        if let Some(credentials) = found {
            return Ok(credentials);
        }
    }
    Ok(Credentials::Anonymous)
}

fn found_in(
    found: Result<DockerCredential, CredentialRetrievalError>,
) -> Result<Option<Credentials>> {
    use CredentialRetrievalError as E;
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(Credentials::Basic {
            user: user.try_into().context("the user name")?,
            password: password.try_into().context("the password")?,
        })),
        Ok(DockerCredential::IdentityToken(token)) => {
            let token = token.try_into().context("the identity token")?;
            Ok(Some(Credentials::Identity(token)))
        }
        Err(E::NoCredentialConfigured) => Ok(None),
        // What all credential helpers say of hosts that they do not know.
        Err(E::HelperFailure { stdout, .. }) if stdout.contains(NOT_FOUND) => Ok(None),
        Err(error) => bail!("{error}"),
    }
}

/// Where logins are, the first that knows a registry counts: Docker's file, then podman's.
fn login_files() -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    let home = variable("HOME");
    let in_home = |path| home.as_ref().map(|home| home.join(path));
    let docker = variable("DOCKER_CONFIG").or_else(|| in_home(".docker"));
    let runtime = variable("XDG_RUNTIME_DIR");
    let podman = [
        variable("REGISTRY_AUTH_FILE"),
        runtime.map(|directory| directory.join("containers/auth.json")),
        in_home(".config/containers/auth.json"),
    ];
    let docker = docker.map(|directory| directory.join("config.json"));
    docker
        .into_iter()
        .chain(podman.into_iter().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_spoken_to_in_the_clear() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.8.8.8",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "docker.io",
            "localhost.example",
            "10.0.0.1:5000",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
