//! The argument vector of stage1's `run`, in the words of the version of the interface that it speaks.

use std::ffi::OsString;

use bulkhead_pod::stage1_image::Stage1Image;

use super::names::Names;
use super::options::StartOptions;
use crate::arguments::{GlobalOptions, InsecureOption};

/// The version that brought mutable pods.
pub(super) const MUTABLE_SINCE: u32 = 5;

/// A flag, and the version of the interface that brought it.
struct Flag {
    since: u32,
    text: String,
}

/// What `run` is called with, and a warning for each flag that this stage1 does not know.
pub(super) fn of(
    global: &GlobalOptions,
    options: &StartOptions,
    names: &Names,
    stage1: &Stage1Image,
) -> (Vec<OsString>, Vec<String>) {
    let version = stage1.interface_version();
    let name = &stage1.manifest().name;
    let (mut arguments, mut warnings) = (Vec::new(), Vec::new());
    for Flag { since, text } in wanted(global, options, names) {
        if since <= version {
            arguments.push(OsString::from(text));
            continue;
        }
        let flag = text.split('=').next().unwrap_or(&text);
        warnings.push(format!(
            "stage1 image {name} speaks version {version} of the interface, and {flag} came with version {since}: it is left out"
        ));
    }
    (arguments, warnings)
}

fn wanted(global: &GlobalOptions, options: &StartOptions, names: &Names) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut add = |wanted: bool, since, text: &str| {
        if wanted {
            let text = text.to_owned();
            flags.push(Flag { since, text });
        }
    };
    add(global.debug, 1, "--debug");
    add(true, 1, &format!("--net={}", options.net));
    add(options.interactive, 1, "--interactive");
    if let Some(directory) = &global.local_config {
        // It is read from the pod's directory.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
        add(true, 1, &format!("--local-config={}", directory.display()));
    }
    let host_name = options.hostname.as_deref().unwrap_or_default();
    add(!host_name.is_empty(), 2, &format!("--hostname={host_name}"));
    let modes = [names.resolv_conf.mode(), names.hosts.mode()];
    add(
        modes != ["default"; 2],
        4,
        &format!("--dns-conf-mode=resolv={},hosts={}", modes[0], modes[1]),
    );
    let leaves_out = |check| global.leaves_out(check);
    add(
        leaves_out(InsecureOption::Capabilities),
        3,
        "--disable-capabilities-restriction",
    );
    add(leaves_out(InsecureOption::Paths), 3, "--disable-paths");
    add(leaves_out(InsecureOption::Seccomp), 3, "--disable-seccomp");
    flags
}
