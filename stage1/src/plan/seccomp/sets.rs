//! The named groups of calls. Their members stand in `sets/`, one a line. Calls of their makers that only other architectures
//! have, or that Linux had before it had x86-64, are left out: no program here can make them.

use std::collections::BTreeSet;

const WHITELIST: &str = include_str!("sets/default-whitelist.txt");
const BLACKLIST: &str = include_str!("sets/default-blacklist.txt");

/// Group and members; a member may be a group.
const GROUPS: [(&str, &str); 24] = [
    ("@appc.io/empty", ""),
    ("@docker/default-whitelist", WHITELIST),
    ("@docker/default-blacklist", BLACKLIST),
    ("@rkt/default-whitelist", WHITELIST),
    ("@rkt/default-blacklist", BLACKLIST),
    ("@systemd/aio", include_str!("sets/systemd-aio.txt")),
    ("@systemd/chown", include_str!("sets/systemd-chown.txt")),
    ("@systemd/clock", include_str!("sets/systemd-clock.txt")),
    (
        "@systemd/cpu-emulation",
        include_str!("sets/systemd-cpu-emulation.txt"),
    ),
    ("@systemd/debug", include_str!("sets/systemd-debug.txt")),
    ("@systemd/default", include_str!("sets/systemd-default.txt")),
    (
        "@systemd/io-event",
        include_str!("sets/systemd-io-event.txt"),
    ),
    ("@systemd/ipc", include_str!("sets/systemd-ipc.txt")),
    ("@systemd/keyring", include_str!("sets/systemd-keyring.txt")),
    ("@systemd/module", include_str!("sets/systemd-module.txt")),
    ("@systemd/mount", include_str!("sets/systemd-mount.txt")),
    (
        "@systemd/network-io",
        include_str!("sets/systemd-network-io.txt"),
    ),
    (
        "@systemd/obsolete",
        include_str!("sets/systemd-obsolete.txt"),
    ),
    (
        "@systemd/privileged",
        include_str!("sets/systemd-privileged.txt"),
    ),
    ("@systemd/process", include_str!("sets/systemd-process.txt")),
    ("@systemd/raw-io", include_str!("sets/systemd-raw-io.txt")),
    ("@systemd/reboot", include_str!("sets/systemd-reboot.txt")),
    (
        "@systemd/resources",
        include_str!("sets/systemd-resources.txt"),
    ),
    ("@systemd/swap", include_str!("sets/systemd-swap.txt")),
];

/// The group of every call.
pub(super) const ALL: &str = "@appc.io/all";

/// What the default filter allows whatever an app's capabilities are.
pub(super) fn whitelist() -> impl Iterator<Item = &'static str> {
    members(WHITELIST)
}

/// Adds the members of a group to a set; false when there is no such group.
pub(super) fn expand(group: &str, set: &mut BTreeSet<&str>) -> bool {
    if group == ALL {
        for name in super::calls::names() {
            set.insert(name);
        }
        return true;
    }
    let Some((_, text)) = GROUPS.iter().find(|(name, _)| *name == group) else {
        return false;
    };
    members(text).all(|member| {
        if member.starts_with('@') {
            return expand(member, set);
        }
        set.insert(member);
        true
    })
}

fn members(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
#[path = "sets_test.rs"]
mod tests;
