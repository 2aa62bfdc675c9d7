//! The limits of an app's cgroup. Requests are not limits: the machine is sized by limits alone, and has no other tenant.

use bulkhead_pod::manifest::{App, Isolator};
use bulkhead_protocol::plan::{AppName, Limits};
use bulkhead_protocol::vmm::MAX_MEMORY_MIB;

use super::PlanError;

/// Most memory of one app.
const MEMORY_MAX: u64 = (MAX_MEMORY_MIB as u64) << 20;

/// Most thousandths of a CPU of one app: far above any machine, and far below overflow.
const CPU_MILLIS_MAX: u32 = 1_000_000;

pub(super) fn of(app: &App, name: &AppName) -> Result<Limits, PlanError> {
    let mut limits = Limits::default();
    for isolator in &app.isolators {
        match isolator {
            Isolator::Memory(memory) => {
                if let Some(limit) = memory.limit() {
                    let bytes = Some(limit.units()).filter(|bytes| *bytes <= MEMORY_MAX);
                    let bound = format!("{MAX_MEMORY_MIB}Mi");
                    let too_much = || too_much(name, "a memory limit", limit.as_str(), bound);
                    limits.memory_bytes = Some(bytes.ok_or_else(too_much)?);
                }
            }
            Isolator::Cpu(cpu) => {
                if let Some(limit) = cpu.limit() {
                    let millis = u32::try_from(limit.milli_units()).ok();
                    let millis = millis.filter(|millis| *millis <= CPU_MILLIS_MAX);
                    let bound = format!("{CPU_MILLIS_MAX}m");
                    let too_much = || too_much(name, "a CPU limit", limit.as_str(), bound);
                    limits.cpu_millis = Some(millis.ok_or_else(too_much)?);
                }
            }
            // Refused before, or without effect.
            _ => {}
        }
    }
    Ok(limits)
}

fn too_much(app: &AppName, what: &'static str, value: &str, bound: String) -> PlanError {
    PlanError::Limit {
        app: app.clone(),
        what,
        value: value.to_owned(),
        bound,
    }
}
