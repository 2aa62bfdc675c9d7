//! The agent itself: one thread, one loop, and what the host and the processes make it do.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the loop, its deadlines |
//! | `host.rs` | the connection: dial, greet, lose, take messages |
//! | `connections.rs` | clients of the host's that are connected to apps |
//! | `metadata.rs` | what apps ask of the metadata service |
//! | `damage.rs` | images that the host's disk has damaged |
//! | `ready.rs` | apps that say themselves when they are ready |
//! | `start.rs` | from `Start` to a running program |
//! | `streams.rs` | bytes between pipes and the connection |
//! | `end.rs` | reaping, stop, shutdown |
//! | `apps.rs` | apps that come and go |
//!
//! Nothing here waits but [`Poller::wait`], except for the kernel's own work on the agent's few mounts.

mod apps;
mod connections;
mod damage;
mod end;
mod host;
mod metadata;
mod ready;
mod start;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use bulkhead_protocol::VERSION;
use bulkhead_protocol::agent::{FromAgent, Session, Stream};
use bulkhead_protocol::frame::FrameError;
use bulkhead_protocol::plan::ProcessId;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::epoll::EventFlags;

use self::end::Ending;
use self::host::Link;
use self::streams::READ_SIZE;
use crate::clock::monotonic_ns;
use crate::damage::Damage;
use crate::dial::Backoff;
use crate::disk::Arrived;
use crate::incoming::StreamError;
use crate::late_devices::LateDevices;
use crate::listeners::ListenerError;
use crate::pod::{PlanError, Pod};
use crate::poller::{Poller, Token};
use crate::process::Entry;
use crate::reason::reason;
use crate::setup::{Machine, SetupError, Step};

/// Begins to connect to the host.
pub type Dial = Box<dyn FnMut() -> io::Result<OwnedFd>>;

/// Gives the devices of the next app that is added, if they have come.
pub type Arrive = Box<dyn FnMut() -> io::Result<Option<Arrived>>>;

/// See the module docs.
pub struct Agent {
    // Fixed configuration.
    machine: Machine,
    dial: Dial,
    /// Where devices do not simply grow.
    arrive: Option<Arrive>,
    first_instruction_ns: u64,
    // Runtime glue.
    poller: Poller,
    children: SignalFd,
    link: Link,
    backoff: Backoff,
    /// For what processes write. Never initialized: only the pages that are read into are ever touched.
    buffer: Box<[MaybeUninit<u8>]>,
    // State.
    setup: VecDeque<Step>,
    session: Option<Session>,
    pod: Option<Pod>,
    processes: BTreeMap<ProcessId, Entry>,
    /// Ended processes, in the order of their ends.
    ended: VecDeque<ProcessId>,
    /// Streams that have something to send, in turn.
    line: VecDeque<(ProcessId, Stream)>,
    /// Sockets that apps listen on, by their places in the plan; none where the app has ended.
    listeners: Vec<Option<OwnedFd>>,
    metadata: metadata::Service,
    /// Once an image was made ready to be read.
    damage: Option<Damage>,
    late_devices: LateDevices,
    ending: Ending,
    /// Of apps that come or go.
    changes: Vec<apps::Change>,
}

/// No way on: the machine is reset.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Host and agent are not of one build.
    #[error("the host speaks version {host} of the protocol, this agent version {VERSION}")]
    Version {
        /// The host's.
        host: u32,
    },
    /// A message that is none.
    #[error("the host sent what cannot be understood")]
    Frame(#[source] FrameError),
    /// A message that has no place here.
    #[error("the host sent {what}")]
    OutOfOrder {
        /// What was sent, and when.
        what: &'static str,
    },
    /// A stream that goes wrong.
    #[error("the host broke the rules of {stream:?} of process {}", process.0)]
    Stream {
        /// Whose.
        process: ProcessId,
        /// Which.
        stream: Stream,
        /// How.
        source: StreamError,
    },
    /// A plan that makes no sense.
    #[error("the pod's plan cannot be followed")]
    Plan(#[from] PlanError),
    /// A guest that lacks something.
    #[error("cannot set up the guest")]
    Setup(#[from] SetupError),
    /// A socket for an app that cannot be.
    #[error("make the socket of port {name}")]
    Listener {
        /// The port's name.
        name: String,
        /// Why.
        source: ListenerError,
    },
    /// A kernel parameter that there is not, or that cannot be so.
    #[error("set the kernel parameter {path} to {value:?}")]
    Setting {
        /// Below `/proc/sys`.
        path: String,
        /// As planned.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses what it never should.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Agent {
    /// With `setup` still to be done on the way, and `dial` to reach the host.
    ///
    /// # Errors
    /// When the kernel lacks the basics.
    pub fn new(
        machine: Machine,
        setup: &[Step],
        dial: Dial,
        first_instruction_ns: u64,
    ) -> Result<Self, Fatal> {
        let system = |what| move |source: io::Error| Fatal::System { what, source };
        // Blocked, not ignored: an ignored signal stays ignored in the programs that are started, a mask is theirs to be cleared.
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        let mut blocked = mask;
        blocked.add(Signal::SIGPIPE);
        let failed = system("watch for children that end");
        blocked
            .thread_block()
            .map_err(|errno| failed(errno.into()))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&mask, flags).map_err(|errno| failed(errno.into()))?;
        let poller = Poller::new().map_err(|errno| system("make a poller")(errno.into()))?;
        poller
            .add(&children, Token::Children, EventFlags::IN)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            late_devices: LateDevices::of(machine.late_devices.clone()),
            machine,
            dial,
            arrive: None,
            first_instruction_ns,
            poller,
            children,
            link: Link::Down { again_ns: 0 },
            backoff: Backoff::default(),
            buffer: Box::new_uninit_slice(READ_SIZE),
            setup: setup.iter().copied().collect(),
            session: None,
            pod: None,
            processes: BTreeMap::new(),
            ended: VecDeque::new(),
            line: VecDeque::new(),
            listeners: Vec::new(),
            metadata: metadata::Service::default(),
            damage: None,
            ending: Ending::No,
            changes: Vec::new(),
        })
    }

    /// Devices of apps that are added come by this.
    pub fn expect_arrivals(&mut self, arrive: Arrive) {
        self.arrive = Some(arrive);
    }

    /// Sockets that apps get as they are, in the plan's order.
    pub fn give_listeners(&mut self, sockets: Vec<OwnedFd>) {
        self.listeners = sockets.into_iter().map(Some).collect();
    }

    /// Runs until the pod is shut down; the caller then resets the machine.
    ///
    /// # Errors
    /// When there is no way on. The host was told, as far as it listens.
    pub fn run(&mut self) -> Result<(), Fatal> {
        let end = self.turn_until_over();
        if let Err(fatal) = &end {
            self.last_words(&FromAgent::Failed {
                reason: reason(fatal),
            });
        }
        end
    }

    fn turn_until_over(&mut self) -> Result<(), Fatal> {
        while !self.is_over() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Fatal> {
        self.meet_deadlines();
        let events = self.wait()?;
        if events.is_empty() {
            // Nobody wants anything: the time for what will be wanted.
            self.set_up_one_step()?;
        }
        for (token, flags) in events {
            match token {
                Token::Connection => self.host_event(flags)?,
                Token::Children => {
                    self.reap();
                }
                Token::Reports(process) => self.take_reports(process),
                Token::Stdin(process) => self.input_event(process, flags),
                Token::Stdout(process) => self.read_output(process, Stream::Stdout),
                Token::Stderr(process) => self.read_output(process, Stream::Stderr),
                Token::Metadata => self.accept_metadata_client(),
                Token::MetadataClient(id) => self.metadata_event(id),
                Token::Notify(process) => self.hear_process(process),
                Token::Damage => self.hear_of_damage(),
            }
        }
        self.advance_ending();
        self.send_output();
        self.flush();
        Ok(())
    }

    fn wait(&self) -> Result<Vec<(Token, EventFlags)>, Fatal> {
        let timeout_ns = if self.setup.is_empty() {
            let deadlines = [
                self.link.deadline_ns(),
                self.ending.deadline_ns(),
                self.metadata.deadline_ns(),
                self.late_devices.deadline_ns(),
                self.changes.iter().map(apps::Change::deadline_ns).min(),
            ];
            let next = deadlines.into_iter().flatten().min();
            next.map(|deadline| deadline.saturating_sub(monotonic_ns()))
        } else {
            Some(0)
        };
        self.poller.wait(timeout_ns).map_err(|errno| Fatal::System {
            what: "wait for events",
            source: errno.into(),
        })
    }

    fn meet_deadlines(&mut self) {
        let now_ns = monotonic_ns();
        let is_due = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now_ns);
        if is_due(self.link.deadline_ns()) {
            self.dial_host();
        }
        if is_due(self.metadata.deadline_ns()) {
            self.metadata_clients_are_due();
        }
        if is_due(self.late_devices.deadline_ns()) {
            self.late_devices.bind();
        }
        if is_due(self.changes.iter().map(apps::Change::deadline_ns).min()) {
            self.changes_are_due();
            // What they sent is not to wait for whatever comes next.
            self.flush();
        }
        if is_due(self.ending.deadline_ns()) {
            self.ending_is_due();
        }
    }

    fn set_up_one_step(&mut self) -> Result<(), Fatal> {
        match self.setup.pop_front() {
            Some(step) => Ok(step()?),
            None => Ok(()),
        }
    }

    /// Before anything that needs the whole guest.
    fn finish_setup(&mut self) -> Result<(), Fatal> {
        while !self.setup.is_empty() {
            self.set_up_one_step()?;
        }
        Ok(())
    }
}
