//! `bulkhead app sandbox`: a pod without apps, and this process becomes its stage1. Apps come and go while it runs.

use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bulkhead_pod::manifest::{
    APPC_VERSION, AcIdentifier, Annotation, Isolator, PodContents, PodIsolator, PodKind,
    PodManifest, Quantity, Resource, Text, TextMap, set_annotation,
};
use bulkhead_pod::mutable::MUTABLE;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use clap::Args;

use super::images::Narration;
use super::names::Names;
use super::options::StartOptions;
use super::stage1_arguments::MUTABLE_SINCE;
use super::values::{MemoryLimit, Pair};
use super::{Call, become_stage1, make_pod_of, record, to_run};
use crate::arguments::GlobalOptions;
use crate::stage1::{self, Stage1Options};

/// Options of `app sandbox`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pod options")]
pub(crate) struct SandboxOptions {
    #[command(flatten)]
    stage1: Stage1Options,

    /// Write the pod's UUID to this file
    #[arg(long, value_name = "FILE")]
    uuid_file_save: Option<PathBuf>,

    /// Limit of memory of all apps together; the VM is sized by it [default: a VM of 512 MiB]
    #[arg(long, value_name = "QUANTITY")]
    memory: Option<MemoryLimit>,

    /// Limit of CPU time of all apps together, in cores; the VM is sized by it [default: 1]
    #[arg(long, value_name = "QUANTITY")]
    cpu: Option<Quantity>,

    /// Add an annotation for executors
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<Pair<AcIdentifier>>,

    /// Add a note of your own
    #[arg(long, value_name = "NAME=VALUE")]
    user_annotation: Vec<Pair<Text>>,

    /// Add a label of your own
    #[arg(long, value_name = "NAME=VALUE")]
    user_label: Vec<Pair<Text>>,

    #[command(flatten)]
    start: StartOptions,
}

/// Returns only when something failed: otherwise this process has become stage1.
pub(crate) fn sandbox(
    global: &GlobalOptions,
    options: &SandboxOptions,
    start: i128,
) -> Result<Infallible> {
    record(global, "cli-start", start)?;
    if options.start.interactive {
        bail!("--interactive is for a pod of one app, and the apps of this one come and go");
    }
    let names = Names::of(&options.start)?;
    let narration = Narration {
        command: "app sandbox",
        debug: global.debug,
        quiet: false,
    };
    let stage1 = stage1::choose(global, &options.stage1, narration)?;
    check_mutable(&stage1.image)?;
    let manifest = manifest(options)?;
    let uuid_file = options.uuid_file_save.as_deref();
    let mut pod = make_pod_of(global, &stage1, uuid_file, &manifest, &[])?;
    to_run(&mut pod, &names).context("prepare the pod")?;
    if global.debug {
        eprintln!(
            "app sandbox: pod {} in {}",
            pod.uuid(),
            pod.path().display()
        );
    }
    let mut more = vec!["--mutable"];
    if stage1.image.takes_block_images() {
        more.push("--block-images");
    }
    let call = Call {
        command: "app sandbox",
        options: &options.start,
        names: &names,
        more: &more,
    };
    become_stage1(global, &call, &stage1.image, &pod)
}

/// Nothing but `--mutable` makes a pod without apps live.
fn check_mutable(stage1: &Stage1Image) -> Result<()> {
    let name = &stage1.manifest().name;
    let version = stage1.interface_version();
    if version < MUTABLE_SINCE {
        bail!(
            "stage1 image {name} speaks version {version} of the interface, and pods whose apps come and go \
             (--mutable) came with version {MUTABLE_SINCE}"
        );
    }
    let needed = Entrypoint::OF_APPS.into_iter();
    let missing = needed.filter(|entrypoint| stage1.entrypoint(*entrypoint).is_none());
    let missing: Vec<&str> = missing.map(Entrypoint::annotation).collect();
    if !missing.is_empty() {
        bail!(
            "stage1 image {name} cannot run pods whose apps come and go: it has no {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn manifest(options: &SandboxOptions) -> Result<PodManifest> {
    let mut isolators = Vec::new();
    if let Some(memory) = &options.memory {
        let limit = Resource::limited(memory.0.clone()).context("--memory")?;
        isolators.push(PodIsolator::Known(Isolator::Memory(limit)));
    }
    if let Some(cpu) = &options.cpu {
        let limit = Resource::limited(cpu.clone()).context("--cpu")?;
        isolators.push(PodIsolator::Known(Isolator::Cpu(limit)));
    }
    let mut annotations: Vec<Annotation> = Vec::new();
    for Pair { name, value } in &options.annotation {
        set_annotation(&mut annotations, name.clone(), value.clone());
    }
    let (name, value) = MUTABLE;
    let name = name.parse().context("an annotation of ours")?;
    let value = value.parse().context("an annotation of ours")?;
    set_annotation(&mut annotations, name, value);
    let contents = PodContents {
        ac_version: APPC_VERSION.parse().expect("a version of three numbers"),
        ac_kind: PodKind::PodManifest,
        apps: Vec::new(),
        volumes: Vec::new(),
        isolators,
        annotations,
        ports: Vec::new(),
        user_annotations: map(&options.user_annotation),
        user_labels: map(&options.user_label),
    };
    PodManifest::new(contents).context("the pod is not valid")
}

fn map(pairs: &[Pair<Text>]) -> TextMap {
    let pairs = pairs.iter();
    pairs
        .map(|pair| (pair.name.clone(), pair.value.clone()))
        .collect()
}
