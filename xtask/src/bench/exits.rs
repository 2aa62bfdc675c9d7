//! VM exits as the host's KVM counts them.

use std::fs;

use anyhow::{Context, Result};

const TOTAL: &str = "/sys/kernel/debug/kvm/exits";
const TRIGGER: &str = "/sys/kernel/tracing/events/kvm/kvm_exit/trigger";
const HISTOGRAM: &str = "/sys/kernel/tracing/events/kvm/kvm_exit/hist";
const BY_REASON: &str = "hist:keys=exit_reason";

/// AMD's exit codes (AMD64 manual 2, appendix C) that a boot meets. Anything else keeps its number.
const NAMES: &[(u64, &str)] = &[
    (0x60, "interrupt"),
    (0x64, "interrupt-window"),
    (0x65, "write-cr0"),
    (0x72, "cpuid"),
    (0x78, "hlt"),
    (0x7b, "port"),
    (0x7c, "msr"),
    (0x400, "nested-page-fault"),
];

/// All exits of all VMs that run now or ran.
pub(super) fn total() -> Result<f64> {
    let text =
        fs::read_to_string(TOTAL).with_context(|| format!("read {TOTAL}: is debugfs mounted?"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{TOTAL}: {text:?} is no number"))
}

/// Starts counting by reason. Slows exits down: not for runs that are timed.
pub(super) fn start_histogram() -> Result<()> {
    fs::write(TRIGGER, BY_REASON).with_context(|| format!("write {TRIGGER}: is tracefs mounted?"))
}

/// Exits by reason since the start.
pub(super) fn histogram() -> Result<Vec<(String, f64)>> {
    let text = fs::read_to_string(HISTOGRAM).with_context(|| format!("read {HISTOGRAM}"))?;
    Ok(text.lines().filter_map(row).collect())
}

pub(super) fn stop_histogram() -> Result<()> {
    fs::write(TRIGGER, format!("!{BY_REASON}")).with_context(|| format!("write {TRIGGER}"))
}

/// `{ exit_reason:        114 } hitcount:        470`
fn row(line: &str) -> Option<(String, f64)> {
    let rest = line.trim().strip_prefix("{ exit_reason:")?;
    let (reason, rest) = rest.split_once('}')?;
    let count = rest.trim().strip_prefix("hitcount:")?.trim().parse().ok()?;
    let reason = reason.trim();
    let number = match reason.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => reason.parse().ok()?,
    };
    let name = NAMES.iter().find(|(code, _)| *code == number);
    Some((
        name.map_or_else(|| format!("{number:#x}"), |(_, name)| (*name).to_owned()),
        count,
    ))
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn rows_of_the_histogram_are_read() {
        let cpuid = row("{ exit_reason:        114 } hitcount:        470");
        assert_eq!(cpuid, Some(("cpuid".to_owned(), 470.0)));
        let unknown = row("{ exit_reason:          2 } hitcount:          1");
        assert_eq!(unknown, Some(("0x2".to_owned(), 1.0)));
        assert_eq!(row("# trigger info: hist:keys=exit_reason"), None);
    }
}
