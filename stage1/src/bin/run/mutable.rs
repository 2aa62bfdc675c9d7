//! Apps that a mutable pod gets while it runs, on the supervisor's side: its own socket, and what it does when it is asked for an app.
//!
//! Whoever reaches the socket is the pod's owner and could do all of this without us. What comes is a name; what it means is read in
//! the pod's directory. Nothing here waits for the guest, and nothing that the guest says comes here.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_protocol::bounded::{Blob, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::mutable::{AddApp, MAX_CALL, MAX_CALLERS, Reply, Request, SOCKET};
use bulkhead_protocol::plan::ImageFiles;
use bulkhead_protocol::relay::{MAX_TO_RELAY, ToRelay};
use bulkhead_stage1::plan::{Added, Grown, VmSize};
use bulkhead_stage1::relay::metadata;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, listen, recv, send, socket_with,
};

use crate::files::open_image;
use crate::flavor::Flavor;
use crate::planning::Planning;
use crate::shares::{self, FileServer, WaitingShare};

/// What the relay may take to take a message. One that a guest has taken over must not stop the supervisor.
const RELAY_PATIENCE: Duration = Duration::from_secs(5);

/// The listening socket. Its name goes with it; a name that a killed supervisor leaves leads nowhere.
pub(crate) struct Calls(OwnedFd);

impl Calls {
    /// To be there before the pod says that it is ready.
    pub(crate) fn open() -> Result<Self> {
        let listener = listener();
        let listener = listener.with_context(|| format!("make the pod's socket {SOCKET}"))?;
        Ok(Self(listener))
    }
}

/// See the module docs.
pub(crate) struct Mutable<'a> {
    planning: Planning<'a>,
    /// Of the machine, where there is one.
    size: Option<VmSize>,
    vmm: OwnedFd,
    grown: Grown,
    /// Shares of the machine; those that an app has taken are gone.
    waiting: Vec<Option<WaitingShare>>,
    /// Of apps whose roots are directories.
    servers: Vec<(String, FileServer)>,
    /// Why nothing can be added any more: what the machine has and what we know of it differ.
    broken: Option<String>,
    calls: Calls,
    callers: Vec<OwnedFd>,
}

impl<'a> Mutable<'a> {
    pub(crate) fn new(
        calls: Calls,
        planning: Planning<'a>,
        size: VmSize,
        vmm: OwnedFd,
        waiting: Vec<WaitingShare>,
        commands: &UnixStream,
    ) -> Result<Self> {
        commands
            .set_write_timeout(Some(RELAY_PATIENCE))
            .context("set the relay's patience")?;
        let has_machine = matches!(planning.flavor, Flavor::Kvm(_));
        Ok(Self {
            planning,
            size: has_machine.then_some(size),
            vmm,
            grown: Grown::new(u8::try_from(waiting.len()).unwrap_or(u8::MAX)),
            waiting: waiting.into_iter().map(Some).collect(),
            servers: Vec::new(),
            broken: None,
            calls,
            callers: Vec::new(),
        })
    }

    /// What it waits for.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = vec![self.calls.0.as_fd()];
        all.extend(self.callers.iter().map(AsFd::as_fd));
        all
    }

    /// Something came, as `ready` says of each of the descriptors.
    pub(crate) fn hear(&mut self, ready: &[bool], commands: &mut UnixStream) {
        let (accepts, of_callers) = match ready.split_first() {
            Some((accepts, rest)) => (*accepts, rest),
            None => return,
        };
        // From the last on, so that those before stay where they are.
        for index in (0..of_callers.len()).rev() {
            if of_callers[index] {
                let caller = self.callers.swap_remove(index);
                self.serve(&caller, commands);
            }
        }
        if accepts {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // One that has gone again, or is one too many, is no caller.
            if let Ok(caller) = accept_with(&self.calls.0, flags)
                && self.callers.len() < MAX_CALLERS
            {
                self.callers.push(caller);
            }
        }
    }

    /// One request, one reply.
    fn serve(&mut self, caller: &OwnedFd, commands: &mut UnixStream) {
        let mut packet = [0; MAX_CALL];
        let Ok((length, _)) = recv(caller, &mut packet[..], RecvFlags::DONTWAIT) else {
            return;
        };
        let Ok(request) = frame::decode::<Request>(&packet[..length]) else {
            return;
        };
        let served = match request {
            Request::Add { app } => self.add(app.as_str(), commands),
            Request::Remove { app } => {
                self.remove(app.as_str());
                Ok(())
            }
        };
        let reply = match served {
            Ok(()) => Reply::HandedOn,
            Err(error) => Reply::Refused {
                reason: Text::truncated(&format!("{error:#}")),
            },
        };
        if let Ok(packet) = frame::encode_packet(&reply, MAX_CALL) {
            // A caller who has gone does not need to know.
            let _ = send(caller, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }

    fn add(&mut self, name: &str, commands: &mut UnixStream) -> Result<()> {
        if let Some(why) = &self.broken {
            bail!("nothing can be added to this pod any more: {why}");
        }
        let files = self.planning.files;
        let (manifest, json) = files.read_again()?;
        let app = manifest.app(name);
        let app = app.with_context(|| format!("the pod's manifest has no app {name}"))?;
        let images = [files.image(&app.name)?];
        let (grown, size) = (&self.grown, self.size);
        let added = self
            .planning
            .with(&manifest, &images, |input| grown.plan(input, name, size))?;
        for warning in &added.warnings {
            eprintln!("stage1: warning: {warning}");
        }
        let [image] = images;
        let image_manifest = Blob::try_from(image.json).context("the image's manifest")?;
        // The relay cannot refuse any more what the machine has.
        metadata::check(app, &image_manifest)?;
        let message = ToRelay::AddApp(Box::new(AddApp {
            added: added.app.clone(),
            process: added.process.clone(),
            outputs: added.outputs,
            manifest: Blob::try_from(json).context("the pod's manifest")?,
            image_manifest,
        }));
        let mut frame = Vec::new();
        frame::encode(&message, MAX_TO_RELAY, &mut frame).context("a message to the relay")?;
        let new_image = match added.new_image {
            Some(_) => Some(open_image(&app.name)?),
            None => None,
        };
        let scratch = files.create_scratch_of(name)?;
        self.serve_root(&added)?;
        let grown = self
            .planning
            .flavor
            .grow(&self.vmm, &added, new_image.as_ref(), &scratch);
        let grown = grown.and_then(|()| crate::write_all(commands, &frame));
        self.note(added, grown)
    }

    /// The machine sees the app's directory through one of the shares that wait.
    fn serve_root(&mut self, added: &Added) -> Result<()> {
        let (Some(root), ImageFiles::Share(index)) = (&added.root, &added.app.app.image) else {
            return Ok(());
        };
        let index = usize::from(*index);
        let waiting = self.waiting.get_mut(index).and_then(Option::take);
        // A container has the directory itself.
        let Some(waiting) = waiting else {
            return Ok(());
        };
        let debug = self.planning.arguments.debug;
        let server = shares::serve(index, root, waiting, debug)?;
        self.servers.push((added.app.app.name.to_string(), server));
        Ok(())
    }

    /// Nobody has the directory open any more, whatever the guest does: whoever gave it can take it away.
    fn remove(&mut self, name: &str) {
        self.servers.retain(|(app, _)| app != name);
    }

    /// After the first step a failure leaves it open what the machine has.
    fn note(&mut self, added: Added, grown: Result<()>) -> Result<()> {
        if let Err(error) = &grown {
            self.broken = Some(format!("adding app {}: {error:#}", added.app.app.name));
        }
        self.grown.take(&added);
        grown
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // One that is gone already needs no removing.
        let _ = fs::remove_file(SOCKET);
    }
}

/// In the pod's directory itself, where nobody but the pod's owner can write.
fn listener() -> std::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // Before it has a name: the name gets the same mode.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(SOCKET)?)?;
    listen(&socket, i32::try_from(MAX_CALLERS).unwrap_or(i32::MAX))?;
    Ok(socket)
}
