//! How a user names pods.

use std::fs::File;
use std::io::Read;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::manifest::{AcName, PodManifest};
use clap::Args;

use crate::report;

/// Pods that one command waits for at a time: for each it has a thread and a process.
const AT_ONCE: usize = 64;

/// A UUID, and blank space around it.
const UUID_FILE_BYTES_MAX: u64 = 128;

/// One pod.
#[derive(Debug, Clone, Args)]
pub(crate) struct PodName {
    /// The pod's UUID, or a beginning of it that no other pod has
    #[arg(
        value_name = "UUID",
        required_unless_present = "uuid_file",
        conflicts_with = "uuid_file"
    )]
    uuid: Option<String>,

    /// Read the UUID from this file
    #[arg(long, value_name = "FILE")]
    uuid_file: Option<PathBuf>,
}

impl PodName {
    /// The pod of this name.
    pub(crate) fn find(&self, data: &Path) -> Result<FoundPod> {
        let text = match (&self.uuid, &self.uuid_file) {
            (Some(uuid), _) => uuid.clone(),
            (None, Some(file)) => read_uuid(file)?,
            (None, None) => unreachable!("clap requires one of them"),
        };
        Ok(FoundPod::find(data, &text)?)
    }
}

/// Some pods.
#[derive(Debug, Clone, Args)]
pub(crate) struct PodNames {
    /// The pods' UUIDs, or beginnings of them that no other pods have
    #[arg(
        value_name = "UUID",
        required_unless_present = "uuid_file",
        conflicts_with = "uuid_file"
    )]
    uuids: Vec<String>,

    /// Read the UUID of one pod from this file
    #[arg(long, value_name = "FILE")]
    uuid_file: Option<PathBuf>,
}

impl PodNames {
    /// Does something with each pod, tells what fails with one, and goes on with the next.
    pub(crate) fn each(
        &self,
        command: &str,
        data: &Path,
        act: impl Fn(FoundPod) -> Result<()>,
    ) -> Result<Failures> {
        let mut failures = Failures(0);
        for name in self.names()? {
            let found = FoundPod::find(data, &name).map_err(anyhow::Error::from);
            failures.tell(command, found.and_then(&act));
        }
        Ok(failures)
    }

    /// Does something with all pods at a time, [`AT_ONCE`] at most, and prints in the order of their names what there is to say of
    /// each, or what failed with it.
    pub(crate) fn all_at_once(
        &self,
        command: &str,
        data: &Path,
        act: impl Fn(FoundPod) -> Result<String> + Sync,
    ) -> Result<Failures> {
        let act = |name: &String| act(FoundPod::find(data, name)?);
        let mut failures = Failures(0);
        for names in self.names()?.chunks(AT_ONCE) {
            std::thread::scope(|scope| {
                let acts = names.iter().map(|name| scope.spawn(|| act(name)));
                for act in acts.collect::<Vec<_>>() {
                    let said = act.join().unwrap_or_else(|panic| resume_unwind(panic));
                    failures.tell(command, said.and_then(|text| report::print(&text)));
                }
            });
        }
        Ok(failures)
    }

    fn names(&self) -> Result<Vec<String>> {
        match &self.uuid_file {
            Some(file) => Ok(vec![read_uuid(file)?]),
            None => Ok(self.uuids.clone()),
        }
    }
}

/// With how many pods something failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures(usize);

impl Failures {
    fn tell(&mut self, command: &str, result: Result<()>) {
        if let Err(error) = result {
            eprint!("{}", report::tree(command, &error));
            self.0 += 1;
        }
    }

    /// An error when there are any, of which the reasons have been told.
    pub(crate) fn check(self, what: &str) -> Result<ExitCode> {
        match self.0 {
            0 => Ok(ExitCode::SUCCESS),
            1 => bail!("failed to {what} 1 pod"),
            count => bail!("failed to {what} {count} pods"),
        }
    }
}

/// The app that is meant: of a pod of several it has to be told.
pub(crate) fn app<'a>(manifest: &'a PodManifest, name: Option<&str>) -> Result<&'a AcName> {
    let mut apps = manifest.apps.iter().map(|app| &app.name);
    let found = match name {
        Some(name) => apps.clone().find(|app| app.as_str() == name),
        None if apps.len() == 1 => apps.next(),
        None => None,
    };
    if let Some(app) = found {
        return Ok(app);
    }
    let names: Vec<&str> = apps.map(AcName::as_str).collect();
    let names = names.join(", ");
    match name {
        Some(name) => bail!("it has no app {name:?}: it has {names}"),
        None if names.is_empty() => bail!("it has no apps"),
        None => bail!("it has several apps, and --app=NAME must say which: {names}"),
    }
}

fn read_uuid(file: &Path) -> Result<String> {
    let context = || format!("read a UUID from {}", file.display());
    let mut text = String::new();
    File::open(file)
        .with_context(context)?
        .take(UUID_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(context)?;
    Ok(text.trim().to_owned())
}
