//! What a manifest may ask for and this stage1 cannot do yet.
//!
//! Each is refused by its name in the manifest, unless leaving it out takes nothing away:
//!
//! | asked for | done |
//! |---|---|
//! | `resource/memory`, `resource/cpu` | applied |
//! | capabilities, seccomp, `os/linux/no-new-privileges`, `os/linux/oom-score-adj` | applied |
//! | every other isolator, of an app or the pod | refused: it promises isolation or a limit |
//! | an isolator of the pod that appc does not know | passed over, as the specification has it |
//! | event handlers, exposed ports, volumes | refused: the app would miss something it relies on |
//! | mount points of the image without a mount (`VOLUME`) | accepted: the app's root is writable, and lives as long as an empty volume |
//! | such a mount point under a read-only root | refused: it would be read-only |
//! | ports of the image | accepted: they only document |

use bulkhead_pod::manifest::{App, Isolator, PodIsolator, PodManifest, RuntimeApp};
use bulkhead_protocol::plan::AppName;

use super::PlanError;

pub(super) fn refuse_pod(manifest: &PodManifest) -> Result<(), PlanError> {
    let refuse = |what| {
        let whose = String::new();
        Err(PlanError::Unsupported { whose, what })
    };
    let known = |isolator: &&PodIsolator| matches!(isolator, PodIsolator::Known(_));
    if let Some(isolator) = manifest.isolators.iter().find(known) {
        return refuse(format!("isolator {} of the pod", isolator.name()));
    }
    if let Some(port) = manifest.ports.first() {
        return refuse(format!("exposing port {}", port.name));
    }
    Ok(())
}

pub(super) fn refuse_app(runtime: &RuntimeApp, app: &App, name: &AppName) -> Result<(), PlanError> {
    let refuse = |what| {
        let whose = format!("app {name}: ");
        Err(PlanError::Unsupported { whose, what })
    };
    if let Some(isolator) = app.isolators.iter().find(|i| !is_honoured(i)) {
        return refuse(format!("isolator {}", isolator.name()));
    }
    if !app.event_handlers.is_empty() {
        return refuse("an event handler".to_owned());
    }
    if let Some(mount) = runtime.mounts.first() {
        return refuse(format!("volume {} at {}", mount.volume, mount.path));
    }
    if runtime.read_only_root_fs
        && let Some(point) = app.mount_points.iter().find(|point| !point.read_only)
    {
        let what = format!("an empty volume at {} under a read-only root", point.path);
        return refuse(what);
    }
    Ok(())
}

fn is_honoured(isolator: &Isolator) -> bool {
    matches!(
        isolator,
        Isolator::Memory(_)
            | Isolator::Cpu(_)
            | Isolator::CapabilitiesRetain(_)
            | Isolator::CapabilitiesRemove(_)
            | Isolator::SeccompRetain(_)
            | Isolator::SeccompRemove(_)
            | Isolator::NoNewPrivileges(_)
            | Isolator::OomScoreAdjust(_)
    )
}
