//! The plan of an export: one app of a pod that has ended, to be read.

use bulkhead_pod::manifest::PodManifest;
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::plan::{
    App, AppName, DiskImage, ImageFiles, Limits, NameFiles, Plan, Process, ProcessId, Stdio,
};
use bulkhead_protocol::relay::{Destination, Outputs};

use super::{Image, PlanError, Pod, VmSize, bound, bounded, disks, roots};

/// Computes the plan: the app's image and writable layer, without limits, mounts, and whatever else its manifest says of how it runs.
///
/// # Errors
/// When the pod has no such app, or its disks cannot be.
pub fn export(
    manifest: &PodManifest,
    images: &[Image],
    app: &str,
    scratch_length: u64,
) -> Result<Pod, PlanError> {
    let mut apps = manifest.apps.iter();
    let index = apps.position(|each| each.name.as_str() == app);
    let index = index.ok_or_else(|| PlanError::NoApp(app.to_owned()))?;
    let name = AppName::try_from(app.to_owned())?;
    let verity = roots::image_of(&name, &images[index])?;
    let scratch = disks::alone("the app's writable layer", scratch_length)?;
    let process = Process {
        id: ProcessId(0),
        app: name.clone(),
        // For messages: the agent runs no program in an app that is exported.
        arguments: bounded("an export", vec![text("export")?])?,
        pre_start: List::default(),
        post_stop: List::default(),
        environment: List::default(),
        working_directory: text("/")?,
        user: text("0")?,
        group: text("0")?,
        groups: List::default(),
        stdio: Stdio::Pipes { stdin: false },
        capabilities: u64::MAX,
        no_new_privileges: false,
        seccomp: None,
        oom_score_adj: 0,
        rlimits: List::default(),
        says_ready: false,
        listeners: List::default(),
    };
    let app = App {
        name,
        image: ImageFiles::Layers(bounded("layers", vec![0])?),
        scratch,
        read_only_root: false,
        mounts: List::default(),
        masked_paths: List::default(),
        read_only_paths: List::default(),
        limits: Limits::default(),
        exported: true,
    };
    let plan = Plan {
        waiting_shares: 0,
        hostname: text("export")?,
        name_files: NameFiles::default(),
        images: bounded("the pod's images", vec![DiskImage { start: 0, verity }])?,
        settings: List::default(),
        limits: Limits::default(),
        apps: bounded("the pod's apps", vec![app])?,
        empty_volumes: List::default(),
        volume_scratch: None,
        listeners: List::default(),
        disk_volumes: List::default(),
    };
    Ok(Pod {
        plan,
        processes: vec![process],
        outputs: vec![Outputs::both(Destination::Stream)],
        image_apps: vec![index],
        size: VmSize::of([Limits::default()].into_iter(), Limits::default(), 1)?,
        shares: Vec::new(),
        disks: Vec::new(),
        warnings: Vec::new(),
    })
}

fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, PlanError> {
    Text::try_from(text).map_err(bound("the plan of an export"))
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
