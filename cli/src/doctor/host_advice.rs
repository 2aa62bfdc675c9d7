//! What makes a host of untrusted guests safer or faster; none of it keeps a pod from running.
//!
//! The list is what operators of other VMMs learned to set (Firecracker's production host setup
//! and Cloud Hypervisor's threat model).

use super::Check;
use super::facts::AdviceFacts;

/// A guest's timers may interrupt the host as often as this allows: KVM's default.
const TIMER_PERIOD_DEFAULT_US: u64 = 200;

/// All of it.
pub(super) fn all(facts: &AdviceFacts) -> Vec<Check> {
    vec![
        mitigations(&facts.vulnerabilities),
        smt(facts.smt_active.as_deref()),
        ksm(facts.ksm_run.as_deref()),
        swap(facts.swaps.as_deref()),
        memory_pressure(facts.memory_pressure.as_deref()),
        nx_huge_pages(facts.nx_huge_pages.as_deref(), &facts.vulnerabilities),
        nested(facts.nested.as_deref()),
        transparent_huge_pages(facts.transparent_huge_pages.as_deref()),
        favordynmods(facts.mounts.as_deref()),
        timer_period(facts.min_timer_period_us.as_deref()),
    ]
}

fn mitigations(vulnerabilities: &[(String, String)]) -> Check {
    const NAME: &str = "mitigations";
    if vulnerabilities.is_empty() {
        return Check::unknown(NAME, "the kernel lists no processor vulnerabilities");
    }
    let open: Vec<&str> = vulnerabilities
        .iter()
        .filter(|(_, text)| text.starts_with("Vulnerable"))
        .map(|(name, _)| name.as_str())
        .collect();
    if open.is_empty() {
        return Check::ok(NAME, "the processor's known vulnerabilities are mitigated");
    }
    let finding = format!("a guest may read other memory by {}", open.join(", "));
    Check::warning(
        NAME,
        finding,
        "update microcode and kernel, and boot without mitigations=off",
    )
}

fn smt(active: Option<&str>) -> Check {
    const NAME: &str = "smt";
    match active {
        Some("0") => Check::ok(NAME, "no two threads share a core"),
        Some("1") => {
            let finding = "pods on two threads of one core can observe each other";
            Check::warning(
                NAME,
                finding,
                "boot with nosmt, or give each tenant whole cores",
            )
        }
        _ => Check::unknown(NAME, "the kernel does not say whether threads share cores"),
    }
}

fn ksm(run: Option<&str>) -> Check {
    const NAME: &str = "ksm";
    match run {
        Some("1") => {
            let finding = "same-page merging lets pods observe each other's memory by timing";
            Check::warning(NAME, finding, "echo 2 > /sys/kernel/mm/ksm/run")
        }
        Some(_) => Check::ok(NAME, "same-page merging is off"),
        None => Check::ok(NAME, "the kernel has no same-page merging"),
    }
}

fn swap(swaps: Option<&str>) -> Check {
    const NAME: &str = "swap";
    let Some(swaps) = swaps else {
        return Check::ok(NAME, "the kernel has no swap");
    };
    let areas: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if areas.is_empty() {
        return Check::ok(NAME, "swap is off");
    }
    let finding = format!("guest memory can be written to {}", areas.join(", "));
    Check::warning(NAME, finding, "swapoff --all, or encrypt the swap")
}

/// What makes pods give up what they can spare when the host is short of memory.
fn memory_pressure(value: Option<&str>) -> Check {
    const NAME: &str = "memory-pressure";
    match value {
        Some(_) => Check::ok(NAME, "pods hear of it when the host is short of memory"),
        None => {
            let finding = "pods do not hear of it when the host is short of memory";
            Check::warning(NAME, finding, "boot a kernel that has PSI with psi=1")
        }
    }
}

/// Splitting huge pages against the iTLB multihit flaw costs speed; it is for processors that have
/// the flaw.
fn nx_huge_pages(value: Option<&str>, vulnerabilities: &[(String, String)]) -> Check {
    const NAME: &str = "nx-huge-pages";
    let flaw = vulnerabilities
        .iter()
        .find(|(name, _)| name == "itlb_multihit");
    let affected = flaw.is_none_or(|(_, text)| text != "Not affected");
    match value {
        None => Check::unknown(NAME, "kvm is not loaded, or too old to say"),
        Some("Y" | "auto" | "force") if !affected => {
            let finding = "kvm splits huge pages for a flaw that this processor does not have";
            Check::warning(
                NAME,
                finding,
                "echo never > /sys/module/kvm/parameters/nx_huge_pages",
            )
        }
        Some("Y" | "auto" | "force") => Check::ok(NAME, "kvm splits huge pages, as it must here"),
        Some(_) if affected => {
            let finding = "a guest can hang this processor (iTLB multihit)";
            Check::warning(
                NAME,
                finding,
                "echo auto > /sys/module/kvm/parameters/nx_huge_pages",
            )
        }
        Some(_) => Check::ok(NAME, "kvm leaves huge pages whole"),
    }
}

fn nested(value: Option<&str>) -> Check {
    const NAME: &str = "nested";
    match value {
        Some("Y" | "1") => {
            let finding = "other VMs of this host can run VMs: much more of KVM is open to them";
            let remedy = "load kvm_intel or kvm_amd with nested=0 (pods never see VMX or SVM)";
            Check::warning(NAME, finding, remedy)
        }
        Some(_) => Check::ok(NAME, "guests cannot run VMs"),
        None => Check::unknown(NAME, "neither kvm_intel nor kvm_amd is loaded"),
    }
}

fn transparent_huge_pages(value: Option<&str>) -> Check {
    const NAME: &str = "huge-pages";
    let remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    match value {
        None => Check::unknown(NAME, "the kernel has no transparent huge pages"),
        Some(text) if text.contains("[never]") => {
            let finding = "transparent huge pages are off: guests run slower";
            Check::warning(NAME, finding, remedy)
        }
        Some(text) if text.contains("[always]") => {
            let finding = "transparent huge pages everywhere: an idle pod may hold more memory";
            Check::warning(NAME, finding, remedy)
        }
        Some(_) => Check::ok(NAME, "transparent huge pages where they are asked for"),
    }
}

/// Without it, moving a process into a cgroup waits for all processors, and `KVM_CREATE_VM`, which
/// starts a kernel thread that is moved, takes 20 to 40 ms now and then.
fn favordynmods(mounts: Option<&str>) -> Check {
    const NAME: &str = "favordynmods";
    let options = mounts.into_iter().flat_map(str::lines).find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        match (fields.next(), fields.next()) {
            (Some("/sys/fs/cgroup"), Some("cgroup2")) => fields.next(),
            _ => None,
        }
    });
    match options {
        None => Check::unknown(NAME, "cgroup v2 is not mounted on /sys/fs/cgroup"),
        Some(options) if options.split(',').any(|option| option == "favordynmods") => {
            Check::ok(NAME, "moves between cgroups are quick")
        }
        Some(_) => {
            let finding = "the start of a pod now and then waits 20 to 40 ms for a cgroup move";
            Check::warning(
                NAME,
                finding,
                "mount -o remount,favordynmods /sys/fs/cgroup",
            )
        }
    }
}

fn timer_period(value: Option<&str>) -> Check {
    const NAME: &str = "timer-period";
    match value.and_then(|text| text.parse::<u64>().ok()) {
        None => Check::unknown(NAME, "kvm is not loaded"),
        Some(period) if period <= TIMER_PERIOD_DEFAULT_US => {
            let finding = format!("a guest's timer can interrupt the host every {period} µs");
            let remedy = "echo 1000 > /sys/module/kvm/parameters/min_timer_period_us";
            Check::warning(NAME, finding, remedy)
        }
        Some(period) => Check::ok(NAME, format!("guests' timers wait at least {period} µs")),
    }
}

#[cfg(test)]
#[path = "host_advice_test.rs"]
mod tests;
