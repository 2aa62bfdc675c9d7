//! The environment of an app: what its manifest says, then the defaults that the appc specification and rkt promise, for
//! names that the manifest leaves open.

use bulkhead_pod::manifest::{App, PrincipalForm};
use bulkhead_protocol::metadata::PORT;
use bulkhead_protocol::plan::{AppName, Stdio};

use super::Input;

/// The appc specification's default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an app on a terminal sees when the caller's terminal has no name.
const TERM: &str = "vt100";

/// Longest `TERM` that is passed on, from the caller's own environment.
const TERM_MAX: usize = 64;

/// `NAME=value` strings, complete.
pub(super) fn environment(
    app: &App,
    name: &AppName,
    input: &Input<'_>,
    stdio: Stdio,
) -> Vec<String> {
    let metadata = format!("http://127.0.0.1:{PORT}/{}", input.metadata_token);
    let mut defaults = vec![
        ("PATH", PATH),
        ("AC_APP_NAME", name.as_str()),
        ("AC_METADATA_URL", &metadata),
        ("container", "bulkhead"),
        ("SHELL", "/bin/sh"),
    ];
    match app.user.form() {
        PrincipalForm::Id(0) | PrincipalForm::Name("root") => {
            defaults.extend([("USER", "root"), ("LOGNAME", "root"), ("HOME", "/root")]);
        }
        // The home of anybody else stands in the image's passwd, where libraries find it when HOME is unset; /root
        // would be a lie that they believe.
        PrincipalForm::Name(user) => defaults.extend([("USER", user), ("LOGNAME", user)]),
        PrincipalForm::Id(_) | PrincipalForm::OwnerOf(_) => {}
    }
    if matches!(stdio, Stdio::Terminal { .. }) {
        let plain = |t: &&str| t.len() <= TERM_MAX && t.bytes().all(|b| b.is_ascii_graphic());
        defaults.push(("TERM", input.terminal.filter(plain).unwrap_or(TERM)));
    }
    let given = app.environment.iter();
    let open = |default: &&(&str, &str)| !given.clone().any(|v| v.name.as_str() == default.0);
    let defaults: Vec<String> = defaults
        .iter()
        .filter(open)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let given = app.environment.iter();
    let mut all: Vec<String> = given.map(|v| format!("{}={}", v.name, v.value)).collect();
    all.extend(defaults);
    all
}
