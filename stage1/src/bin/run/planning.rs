//! The surroundings of a plan: all that [`bulkhead_stage1::plan`] depends on, but for manifests and images.

use anyhow::{Context, Result};
use bulkhead_pod::manifest::PodManifest;
use bulkhead_protocol::plan::{Stdio, WindowSize};
use bulkhead_stage1::arguments::Arguments;
use bulkhead_stage1::plan::{HostSocket, Image, Input, PlanError};
use rustix::termios::{isatty, tcgetwinsize};

use crate::files::PodFiles;
use crate::flavor::Flavor;
use crate::{names, sources};

/// Whose plan it is.
pub(crate) struct Planning<'a> {
    pub(crate) files: &'a PodFiles,
    pub(crate) arguments: &'a Arguments,
    pub(crate) flavor: &'a Flavor,
    /// That the pod was started with.
    pub(crate) sockets: &'a [HostSocket],
    /// Of the metadata service.
    pub(crate) token: String,
}

impl Planning<'_> {
    /// Plans with this manifest and these images.
    pub(crate) fn with<T>(
        &self,
        manifest: &PodManifest,
        images: &[Image],
        plan: impl FnOnce(&Input<'_>) -> Result<T, PlanError>,
    ) -> Result<T> {
        let terminal = std::env::var("TERM").ok();
        let cpus = rustix::thread::sched_getaffinity(None).context("count the host's CPUs")?;
        let sources = sources::examine(manifest);
        let name_files = names::read(self.arguments)?;
        let planned = plan(&Input {
            hostname: &self.arguments.pod_name(),
            name_files: &name_files,
            manifest,
            images,
            scratch_length: self.files.scratch_length()?,
            stdio: stdio(self.arguments.interactive),
            terminal: terminal.as_deref(),
            sources: &sources,
            metadata_token: &self.token,
            host_cpus: cpus.count(),
            insecure: self.arguments.insecure,
            shares_kernel: matches!(self.flavor, Flavor::Container(_)),
            mutable: self.arguments.mutable,
            block_images: self.arguments.block_images,
            sockets: self.sockets,
        })?;
        Ok(planned)
    }
}

/// A terminal gets a terminal; anything else is a stream.
fn stdio(interactive: bool) -> Stdio {
    let stdin = rustix::stdio::stdin();
    if !interactive {
        return Stdio::Pipes { stdin: false };
    }
    if !isatty(stdin) {
        return Stdio::Pipes { stdin: true };
    }
    // A terminal without a size is as large as the first ones were.
    let size = tcgetwinsize(stdin).ok().filter(|size| size.ws_row > 0);
    let size = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
    Stdio::Terminal {
        size: WindowSize {
            rows: size.0,
            columns: size.1,
        },
    }
}
