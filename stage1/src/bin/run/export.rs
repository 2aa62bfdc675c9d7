//! An export: the tree of an app of a pod that has ended, as an archive on standard output.
//!
//! It runs in a pod of its own that has the app's image and a copy of its writable layer: what a guest has written is mounted by a
//! guest again, never by the host. Nothing in the ended pod's directory changes, nobody can enter, and what is made goes with this
//! process.

use anyhow::Result;
use bulkhead_protocol::relay::{MAX_TO_RELAY, ToRelay};
use bulkhead_stage1::arguments::Arguments;
use bulkhead_stage1::plan;
use nix::sys::signalfd::SignalFd;

use crate::files::PodFiles;
use crate::flavor::{Flavor, Sources};
use crate::helpers::{self, Helpers};
use crate::metadata::Secrets;
use crate::wait::{self, Over};
use crate::{announce, relay_spec};

/// The exit code is 0 when the archive is whole.
pub(crate) fn export(app: &str, arguments: &Arguments, signals: &SignalFd) -> Result<Over> {
    let flavor = Flavor::of_image(&arguments.uuid, true)?;
    let files = PodFiles::open()?;
    let images = files.images()?;
    let pod = plan::export(files.manifest(), &images, app, files.scratch_length()?)?;
    announce(&pod, arguments.debug);
    let scratch = files.copy_scratch(app)?;
    let sources = Sources {
        scratch: &scratch,
        disks: &[],
        sockets: Vec::new(),
    };
    let (vmm_socket, vmm_end) = helpers::vmm_sockets()?;
    let vmm = flavor.spawn(vmm_end, arguments.debug)?;
    let (relay, mut commands) = helpers::start_relay(&vmm_socket, None, None, false)?;
    let shares = flavor.describe(&vmm_socket, &files, &pod, &sources, arguments.debug)?;
    // Nobody in an export asks for metadata.
    let metadata = Secrets::draw(None)?.into_spec(&arguments.uuid, images)?;
    let spec = relay_spec(&files, pod, metadata, &flavor, arguments)?;
    helpers::send_to_relay(&mut commands, &ToRelay::Run(Box::new(spec)), MAX_TO_RELAY)?;
    drop(vmm_socket);
    let helpers = Helpers {
        vmm,
        vmm_keeps: flavor.keeps_from_others(&[]),
        relay,
        file_servers: shares.servers,
    };
    Ok(wait::wait(helpers, signals, &mut commands, None, None))
}
