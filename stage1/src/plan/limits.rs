//! The limits of the cgroups: one an app, and one of them all where the pod has limits of its own. Requests are not limits: the machine is sized by limits alone, and has no other tenant.

use bulkhead_pod::manifest::{App, CpuShares, Isolator, Resource};
use bulkhead_protocol::plan::Limits;
use bulkhead_protocol::vmm::MAX_MEMORY_MIB;

use super::PlanError;

/// Most memory of one app.
const MEMORY_MAX: u64 = (MAX_MEMORY_MIB as u64) << 20;

/// Least memory of one app, as in rkt: it catches `16m`, which is 16 thousandths of a byte.
const MEMORY_MIN: u64 = 4096;

/// Most thousandths of a CPU of one app: far above any machine, and far below overflow.
const CPU_MILLIS_MAX: u32 = 1_000_000;

/// Processes and threads of one app. Its fork bomb ends here, long before the machine's numbers are used up; podman's containers have
/// the same limit.
const PROCESSES: u32 = 2048;

/// Shares of an app that asks for none, and the weight that cgroup v2 gives it.
const DEFAULT_SHARES: u32 = 1024;
const DEFAULT_WEIGHT: u32 = 100;

/// The bounds of `cpu.weight` (`CGROUP_WEIGHT_MIN`, `CGROUP_WEIGHT_MAX`, `include/linux/cgroup.h`).
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=10_000;

/// Of one app.
pub(super) fn of_app(app: &App, whose: &str, pod: Limits) -> Result<Limits, PlanError> {
    let mut limits = of(app.isolators.iter(), whose)?;
    limits.processes = Some(PROCESSES);
    let over = |what, own: Option<u64>, all: Option<u64>| match (own, all) {
        (Some(own), Some(all)) if own > all => Err(PlanError::Limit {
            whose: whose.to_owned(),
            what,
            value: own.to_string(),
            bound: format!("the pod's {all}"),
        }),
        _ => Ok(()),
    };
    over("a memory limit", limits.memory_bytes, pod.memory_bytes)?;
    over(
        "a CPU limit in thousandths",
        limits.cpu_millis.map(u64::from),
        pod.cpu_millis.map(u64::from),
    )?;
    Ok(limits)
}

/// Of an app or the pod.
pub(super) fn of<'a>(
    isolators: impl Iterator<Item = &'a Isolator>,
    whose: &str,
) -> Result<Limits, PlanError> {
    let mut limits = Limits::default();
    for isolator in isolators {
        match isolator {
            Isolator::Memory(memory) => limits.memory_bytes = memory_bytes(memory, whose)?,
            Isolator::Cpu(cpu) => limits.cpu_millis = cpu_millis(cpu, whose)?,
            Isolator::CpuShares(shares) => limits.cpu_weight = Some(weight(*shares)),
            Isolator::BlockBandwidth(rate) => limits.disk_bytes = Some(rate.limit().units()),
            Isolator::BlockIops(rate) => limits.disk_requests = Some(rate.limit().units()),
            // Not a limit, refused before, or of a network, which is not there yet.
            _ => {}
        }
    }
    Ok(limits)
}

fn memory_bytes(memory: &Resource, whose: &str) -> Result<Option<u64>, PlanError> {
    const WHAT: &str = "a memory limit";
    let Some(limit) = memory.limit() else {
        return Ok(None);
    };
    match limit.units() {
        bytes if bytes < MEMORY_MIN => Err(PlanError::TooLittle {
            whose: whose.to_owned(),
            what: WHAT,
            value: limit.to_string(),
            bound: "4096 bytes",
        }),
        bytes if bytes > MEMORY_MAX => {
            let bound = format!("{MAX_MEMORY_MIB}Mi");
            Err(too_much(whose, WHAT, limit.as_str(), bound))
        }
        bytes => Ok(Some(bytes)),
    }
}

fn cpu_millis(cpu: &Resource, whose: &str) -> Result<Option<u32>, PlanError> {
    let Some(limit) = cpu.limit() else {
        return Ok(None);
    };
    let millis = u32::try_from(limit.milli_units()).ok();
    let millis = millis.filter(|millis| *millis <= CPU_MILLIS_MAX);
    let bound = format!("{CPU_MILLIS_MAX}m");
    let too_much = || too_much(whose, "a CPU limit", limit.as_str(), bound);
    millis.ok_or_else(too_much).map(Some)
}

/// In proportion, so that 1024 shares weigh as much as an app that asks for none. (The formula of Kubernetes makes 39 of 1024.)
fn weight(shares: CpuShares) -> u16 {
    let weight = shares.value() * DEFAULT_WEIGHT / DEFAULT_SHARES;
    let weight = weight.clamp(*WEIGHTS.start(), *WEIGHTS.end());
    u16::try_from(weight).expect("at most the upper bound of WEIGHTS")
}

fn too_much(whose: &str, what: &'static str, value: &str, bound: String) -> PlanError {
    PlanError::Limit {
        whose: whose.to_owned(),
        what,
        value: value.to_owned(),
        bound,
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_pod::manifest::CpuShares;

    use super::weight;

    #[test]
    fn shares_keep_their_proportions() {
        for (shares, expected) in [
            (2, 1),
            (512, 50),
            (1024, 100),
            (2048, 200),
            (262_144, 10_000),
        ] {
            assert_eq!(weight(CpuShares::try_from(shares).unwrap()), expected);
        }
    }
}
