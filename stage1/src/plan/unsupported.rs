//! What a manifest may ask for and this stage1 cannot do yet.
//!
//! Each is refused by its name in the manifest, unless leaving it out takes nothing away:
//!
//! | asked for | done |
//! |---|---|
//! | `resource/memory`, `resource/cpu`, `resource/block-bandwidth`, `resource/block-iops`, `os/linux/cpu-shares` | applied |
//! | `resource/network-bandwidth` | accepted: a pod has loopback alone, so there is nothing to limit |
//! | capabilities, seccomp, `os/linux/no-new-privileges`, `os/linux/oom-score-adj` | applied |
//! | `resource/*` and `os/unix/sysctl` of the pod, `os/unix/sysctl` of an app | applied |
//! | every other isolator, of an app or the pod | refused: it promises isolation or a limit |
//! | an isolator of the pod that appc does not know | passed over, as the specification has it |
//! | event handlers | run, but on a terminal: refused, for the terminal is one program's |
//! | exposed ports | refused: the app would miss something it relies on |
//! | ports of the image | accepted: they only document, but for `socketActivated` ones, which get sockets (`sockets`) |

use bulkhead_pod::manifest::{App, Isolator, PodIsolator, PodManifest};
use bulkhead_protocol::plan::{AppName, Stdio};

use super::PlanError;

pub(super) fn refuse_pod(manifest: &PodManifest) -> Result<(), PlanError> {
    let refuse = |what| {
        let whose = String::new();
        Err(PlanError::Unsupported { whose, what })
    };
    let refused = |isolator: &&PodIsolator| match isolator {
        PodIsolator::Known(isolator) => !is_honoured_of_pod(isolator),
        PodIsolator::Unknown(_) => false,
    };
    if let Some(isolator) = manifest.isolators.iter().find(refused) {
        return refuse(format!("isolator {} of the pod", isolator.name()));
    }
    if let Some(port) = manifest.ports.first() {
        return refuse(format!("exposing port {}", port.name));
    }
    Ok(())
}

pub(super) fn refuse_app(app: &App, name: &AppName, stdio: Stdio) -> Result<(), PlanError> {
    let refuse = |what| {
        let whose = format!("app {name}: ");
        Err(PlanError::Unsupported { whose, what })
    };
    if let Some(isolator) = app.isolators.iter().find(|i| !is_honoured(i)) {
        return refuse(format!("isolator {}", isolator.name()));
    }
    if matches!(stdio, Stdio::Terminal { .. }) && !app.event_handlers.is_empty() {
        return refuse("an event handler of an app on a terminal".to_owned());
    }
    Ok(())
}

fn is_honoured(isolator: &Isolator) -> bool {
    matches!(
        isolator,
        Isolator::Memory(_)
            | Isolator::Cpu(_)
            | Isolator::CpuShares(_)
            | Isolator::BlockBandwidth(_)
            | Isolator::BlockIops(_)
            | Isolator::NetworkBandwidth(_)
            | Isolator::CapabilitiesRetain(_)
            | Isolator::CapabilitiesRemove(_)
            | Isolator::SeccompRetain(_)
            | Isolator::SeccompRemove(_)
            | Isolator::NoNewPrivileges(_)
            | Isolator::OomScoreAdjust(_)
            | Isolator::Sysctl(_)
    )
}

/// The others are of single processes or apps, or weigh one against another.
fn is_honoured_of_pod(isolator: &Isolator) -> bool {
    matches!(
        isolator,
        Isolator::Memory(_)
            | Isolator::Cpu(_)
            | Isolator::BlockBandwidth(_)
            | Isolator::BlockIops(_)
            | Isolator::NetworkBandwidth(_)
            | Isolator::Sysctl(_)
    )
}
