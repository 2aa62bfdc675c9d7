//! Last words: the kernel's log, which reaches the early console whatever else works.

use std::fs::OpenOptions;
use std::io::Write;

use rustix::mount::{MountFlags, mount};

/// Longest text of one entry. The kernel cuts at about 1000 bytes (`PRINTKRB_RECORD_MAX`, `kernel/printk/printk.c`).
const MAX_ENTRY: usize = 900;

/// Severity "critical": shown even when the kernel was told to be quiet.
const SEVERITY: &str = "<2>";

/// Says it on the console. There is nobody to report a failure to.
pub fn say(text: &str) {
    let mut entry = format!("{SEVERITY}bulkhead agent: {}", text.escape_debug());
    entry.truncate(entry.floor_char_boundary(MAX_ENTRY));
    let open = || OpenOptions::new().write(true).open("/dev/kmsg");
    // Before the agent has mounted anything there is no such node.
    let log = open().or_else(|_| {
        mount("dev", "/dev", "devtmpfs", MountFlags::empty(), None)?;
        open()
    });
    if let Ok(mut log) = log {
        let _ = log.write_all(entry.as_bytes());
    }
}
