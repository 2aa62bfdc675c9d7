//! One app of a pod that runs: started, stopped, taken away. And what adding one has in common with that.

use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::manifest::{AcName, PodContents, PodManifest};
use bulkhead_pod::mutable::{Change, records};
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::state::State;
use clap::Args;

use crate::arguments::GlobalOptions;
use crate::pods::{self, PodName, crossing};

/// What the stop entrypoint ends with when the app does not run (rkt).
const NOT_RUNNING: i32 = 5;

/// An app of a pod.
#[derive(Debug, Args)]
pub(crate) struct AppName {
    #[command(flatten)]
    pod: PodName,

    /// The app
    #[arg(long, value_name = "NAME")]
    app: AcName,
}

impl AppName {
    pub(super) fn start(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = MutablePod::of(self.pod.find(&global.dir)?, global)?;
        pod.has(&self.app)?;
        if pod.keeps_records() {
            records::started(pod.directory(), &self.app)?;
        }
        pod.succeeds(Entrypoint::AppStart, &self.app, &[])?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn stop(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = MutablePod::of(self.pod.find(&global.dir)?, global)?;
        pod.has(&self.app)?;
        match pod.call(Entrypoint::AppStop, &self.app, &[])? {
            status if status.success() => Ok(ExitCode::SUCCESS),
            status if status.code() == Some(NOT_RUNNING) => {
                bail!("app \"{}\" is not running", self.app)
            }
            status => Err(pod.ended(Entrypoint::AppStop, status)),
        }
    }

    pub(super) fn rm(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = MutablePod::of(self.pod.find(&global.dir)?, global)?;
        let change = pod.begin_change()?;
        let manifest = pod.has(&self.app)?;
        // One that the pod does not have, because somebody was killed on the way, needs no stopping.
        if pod.was_added(&self.app) {
            let stopped = pod.call(Entrypoint::AppStop, &self.app, &[])?;
            if !stopped.success() && stopped.code() != Some(NOT_RUNNING) {
                return Err(pod.ended(Entrypoint::AppStop, stopped));
            }
        }
        pod.succeeds(Entrypoint::AppRm, &self.app, &[])?;
        let mut contents = PodContents::clone(&manifest);
        contents.apps.retain(|app| app.name != self.app);
        let manifest = PodManifest::new(contents)?;
        change.remove(&manifest, &self.app)?;
        if pod.keeps_records() {
            records::removed(pod.directory(), &self.app)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A pod that runs, is ready, and whose apps come and go.
pub(super) struct MutablePod {
    pod: FoundPod,
    pid: i32,
    debug: bool,
    pub(super) stage1: Stage1Image,
}

impl MutablePod {
    pub(super) fn of(pod: FoundPod, global: &GlobalOptions) -> Result<Self> {
        let uuid = pod.uuid();
        let whose = || format!("pod {uuid}");
        if pod.state() != State::Running {
            bail!("pod \"{uuid}\" is not running: it is {}", pod.state());
        }
        let manifest = pod.manifest().with_context(whose)?;
        let manifest = manifest.with_context(|| format!("pod {uuid} has no manifest"))?;
        if !pods::is_mutable(&manifest) {
            bail!("pod \"{uuid}\" is not mutable: its apps are those that it was started with");
        }
        if !pod.is_ready() {
            bail!(
                "pod \"{uuid}\" is not ready yet, or ending (`status --wait-ready` waits for it)"
            );
        }
        let pid = crossing::process(&global.dir, &pod)?;
        let stage1 = Stage1Image::open(&pod.path().join("stage1"))?;
        Ok(Self {
            pod,
            pid,
            debug: global.debug,
            stage1,
        })
    }

    /// Waits for others who change the pod.
    pub(super) fn begin_change(&self) -> Result<Change> {
        let change = Change::begin(&self.pod);
        change.with_context(|| format!("change pod {}", self.pod.uuid()))
    }

    /// The manifest as it is now.
    pub(super) fn manifest(&self) -> Result<PodManifest> {
        let uuid = self.pod.uuid();
        let manifest = self.pod.manifest();
        let manifest = manifest.with_context(|| format!("pod {uuid}"))?;
        manifest.with_context(|| format!("pod {uuid} has no manifest"))
    }

    /// The manifest, which has this app.
    fn has(&self, app: &AcName) -> Result<PodManifest> {
        let manifest = self.manifest()?;
        if manifest.app(app.as_str()).is_none() {
            bail!("pod \"{}\" has no app \"{app}\"", self.pod.uuid());
        }
        Ok(manifest)
    }

    fn was_added(&self, app: &AcName) -> bool {
        self.pod.app_times(app).created.is_some()
    }

    /// Whether it is for this side to write down what becomes of an app, as in rkt: our own stage1 does it better, which knows.
    pub(super) fn keeps_records(&self) -> bool {
        !self.stage1.takes_block_images()
    }

    pub(super) fn directory(&self) -> &Path {
        self.pod.path()
    }

    /// The UUID, as an argument.
    pub(super) fn uuid(&self) -> String {
        format!("--uuid={}", self.pod.uuid())
    }

    /// Calls an entrypoint, which must say that all is well.
    pub(super) fn succeeds(
        &self,
        entrypoint: Entrypoint,
        app: &AcName,
        more: &[&str],
    ) -> Result<()> {
        match self.call(entrypoint, app, more)? {
            status if status.success() => Ok(()),
            status => Err(self.ended(entrypoint, status)),
        }
    }

    /// Calls an entrypoint (rkt: with these variables alone).
    pub(super) fn call(
        &self,
        entrypoint: Entrypoint,
        app: &AcName,
        more: &[&str],
    ) -> Result<ExitStatus> {
        let mut command = crossing::command(&self.pod, &self.stage1, entrypoint, self.pid)?;
        command
            .arg(format!("--debug={}", self.debug))
            .args(more)
            .arg(format!("--app={app}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let status = command.status();
        status.with_context(|| format!("execute {}", command.get_program().display()))
    }

    /// It has said why on stderr.
    fn ended(&self, entrypoint: Entrypoint, status: ExitStatus) -> anyhow::Error {
        let path = self.stage1.entrypoint(entrypoint);
        let name = path.and_then(|path| Path::new(path.as_str()).file_name());
        anyhow::anyhow!(
            "stage1's {} ended with {status}",
            name.unwrap_or_default().display()
        )
    }
}
