//! The connection to the host: dialed, greeted on, lost, dialed again.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bulkhead_protocol::VERSION;
use bulkhead_protocol::agent::{Ack, FromAgent, Session, Stream, ToAgent};
use bulkhead_protocol::plan::Plan;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Agent, Fatal};
use crate::clock::{monotonic_ns, set_realtime};
use crate::connection::{Connection, Lost, connected};
use crate::pod::Pod;
use crate::poller::Token;
use crate::process::{InputEnd, State};
use crate::provided;
use crate::setup::Kernel;
use crate::sys;

/// Difference to the host's clock that is put right. Smaller ones are the way of the message, and the clock source's to correct.
const CLOCK_TOLERANCE_NS: u64 = 500_000_000;

/// Longest wait for the host to take the last words of an agent that cannot go on.
const LAST_WORDS_WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Where the connection stands.
#[derive(Debug)]
pub(super) enum Link {
    /// There is none. Dialed again at this guest time.
    Down {
        /// `CLOCK_MONOTONIC`.
        again_ns: u64,
    },
    /// It is being made.
    Dialing(OwnedFd),
    /// It stands.
    Up {
        /// Itself.
        connection: Connection,
        /// Whether the host has answered our hello.
        is_welcome: bool,
        /// Whether it is watched for room.
        is_full: bool,
    },
}

impl Link {
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        match self {
            Self::Down { again_ns } => Some(*again_ns),
            _ => None,
        }
    }

    /// The connection, as long as messages may be sent on it.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Up {
                connection,
                is_welcome: true,
                ..
            } => Some(connection),
            _ => None,
        }
    }
}

impl Agent {
    pub(super) fn dial_host(&mut self) {
        let watched = (self.dial)().and_then(|socket| {
            self.poller
                .add(&socket, Token::Connection, EventFlags::OUT)?;
            Ok(socket)
        });
        self.link = match watched {
            Ok(socket) => Link::Dialing(socket),
            Err(_) => self.down(),
        };
    }

    fn down(&mut self) -> Link {
        Link::Down {
            again_ns: monotonic_ns() + self.backoff.next_ns(),
        }
    }

    pub(super) fn host_event(&mut self, flags: EventFlags) -> Result<(), Fatal> {
        match &mut self.link {
            Link::Down { .. } => Ok(()),
            Link::Dialing(_) => {
                self.greet();
                Ok(())
            }
            Link::Up { connection, .. } => {
                // Room alone is used by the flush at the end of every turn.
                if !flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
                    return Ok(());
                }
                let read = connection.read();
                self.survives(read)?;
                self.take_messages()
            }
        }
    }

    /// The connection is decided: say hello.
    fn greet(&mut self) {
        let Link::Dialing(socket) = std::mem::replace(&mut self.link, Link::Down { again_ns: 0 })
        else {
            return;
        };
        let watched = connected(&socket).and_then(|()| {
            Ok(self
                .poller
                .change(&socket, Token::Connection, EventFlags::IN)?)
        });
        if watched.is_err() {
            self.poller.remove(&socket);
            self.link = self.down();
            return;
        }
        self.backoff.reset();
        let mut connection = Connection::new(socket);
        connection.send(&FromAgent::Hello {
            version: VERSION,
            resume: self.session,
            first_instruction_ns: self.first_instruction_ns,
            sent_ns: monotonic_ns(),
        });
        self.link = Link::Up {
            connection,
            is_welcome: false,
            is_full: false,
        };
    }

    fn take_messages(&mut self) -> Result<(), Fatal> {
        while let Link::Up { connection, .. } = &mut self.link {
            let message = connection.message();
            match self.survives(message)? {
                Some(Some(message)) => self.take_message(message)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// A lost connection is not the end of anything; nonsense is.
    fn survives<T>(&mut self, result: Result<T, Lost>) -> Result<Option<T>, Fatal> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Lost::Broken) => {
                self.lose();
                Ok(None)
            }
            Err(Lost::Nonsense(error)) => Err(Fatal::Frame(error)),
        }
    }

    fn lose(&mut self) {
        let down = self.down();
        if let Link::Up { connection, .. } = std::mem::replace(&mut self.link, down) {
            self.poller.remove(&connection);
        }
        self.metadata_host_is_gone();
        self.host_is_gone();
    }

    /// Sends a message if the host is there. If not, what matters of it is sent when it is there again.
    pub(super) fn send(&mut self, message: &FromAgent) {
        if let Some(connection) = self.link.connection() {
            connection.send(message);
        }
    }

    /// Writes what the connection takes, and watches for room when that is not all.
    pub(super) fn flush(&mut self) {
        let Link::Up {
            connection,
            is_full,
            ..
        } = &mut self.link
        else {
            return;
        };
        if connection.flush().is_err() {
            self.lose();
            return;
        }
        let was_full = std::mem::replace(is_full, !connection.is_flushed());
        if was_full != *is_full {
            let room = if *is_full {
                EventFlags::OUT
            } else {
                EventFlags::empty()
            };
            if self
                .poller
                .change(&*connection, Token::Connection, EventFlags::IN | room)
                .is_err()
            {
                self.lose();
            }
        }
    }

    fn take_message(&mut self, message: ToAgent) -> Result<(), Fatal> {
        let is_welcome = matches!(
            self.link,
            Link::Up {
                is_welcome: true,
                ..
            }
        );
        match message {
            ToAgent::Welcome {
                version,
                session,
                entropy,
                realtime_ns,
            } if !is_welcome => {
                if version != VERSION {
                    return Err(Fatal::Version { host: version });
                }
                self.be_welcome(session, &entropy, realtime_ns)?;
            }
            _ if !is_welcome => {
                return Err(Fatal::OutOfOrder {
                    what: "a message before its welcome",
                });
            }
            ToAgent::Welcome { .. } => {
                return Err(Fatal::OutOfOrder {
                    what: "a second welcome",
                });
            }
            ToAgent::Pod { plan } => self.build_pod(*plan)?,
            ToAgent::Start(process) => self.start(*process),
            ToAgent::Connect { process, listener } => self.connect(process, listener),
            ToAgent::Data(chunk) => self.take_input(&chunk)?,
            ToAgent::Ack(ack) => self.take_ack(&ack)?,
            ToAgent::Signal { process, signal } => self.signal(process, signal),
            ToAgent::Resize { process, size } => self.resize(process, size),
            ToAgent::Stop { grace_ms } => self.stop(grace_ms),
            ToAgent::Metadata { request, answer } => self.take_metadata_answer(request, &answer),
            ToAgent::Shutdown => self.shut_down(),
            ToAgent::AddApp(added) => self.add_app(*added)?,
            ToAgent::KillApp { app } => self.kill_app(app),
            ToAgent::RemoveApp { app } => self.remove_app(app),
        }
        Ok(())
    }

    fn be_welcome(
        &mut self,
        session: Session,
        entropy: &[u8],
        realtime_ns: u64,
    ) -> Result<(), Fatal> {
        self.finish_setup()?;
        if self.machine.kernel == Kernel::Own {
            take_over(entropy, realtime_ns)?;
        }
        if self.session.is_some_and(|ours| ours != session) {
            return Err(Fatal::OutOfOrder {
                what: "a session that is not the one it was resumed with",
            });
        }
        let resumed = self.session.replace(session).is_some();
        if let Link::Up { is_welcome, .. } = &mut self.link {
            *is_welcome = true;
        }
        if resumed {
            self.say_again();
        }
        Ok(())
    }

    /// On a new connection of a session: what the host may have missed, and where every stream goes on.
    fn say_again(&mut self) {
        self.line.clear();
        let mut messages = Vec::new();
        for (&process, entry) in &mut self.processes {
            if let (Some(exec_ns), true) = (entry.exec_ns, entry.is_started) {
                messages.push(FromAgent::Started {
                    process,
                    exec_ns,
                    sent_ns: monotonic_ns(),
                });
                if entry.is_ready {
                    messages.push(FromAgent::Ready { process });
                }
            }
            if let State::Ended { exit, reason } = &entry.state {
                messages.push(FromAgent::Exited {
                    process,
                    exit: *exit,
                    reason: reason.clone(),
                });
            }
            if entry.input.is_planned {
                messages.push(FromAgent::Ack(Ack {
                    process,
                    stream: Stream::Stdin,
                    offset: entry.input.stream.passed(),
                    closed: matches!(entry.input.end, InputEnd::Closed),
                }));
            }
            for stream in [Stream::Stdout, Stream::Stderr] {
                if let Some(output) = entry.output(stream) {
                    output.stream.rewind();
                    output.is_queued = output.stream.has_part();
                    if output.is_queued {
                        self.line.push_back((process, stream));
                    }
                }
            }
        }
        messages.iter().for_each(|message| self.send(message));
        self.tell_of_damage();
    }

    /// Once a session: after a lost connection the host may send it again.
    fn build_pod(&mut self, plan: Plan) -> Result<(), Fatal> {
        if self.pod.is_some() {
            return Ok(());
        }
        rustix::system::sethostname(plan.hostname.as_bytes()).map_err(|errno| Fatal::System {
            what: "set the host name",
            source: errno.into(),
        })?;
        provided::write(&self.machine.base, &plan.hostname, &plan.name_files).map_err(
            |source| Fatal::System {
                what: "write the files of every app",
                source,
            },
        )?;
        self.late_devices.wait_for_apps(plan.waiting_shares);
        for setting in &plan.settings {
            let file = Path::new("/proc/sys").join(setting.path.as_str());
            fs::write(file, setting.value.as_bytes()).map_err(|source| Fatal::Setting {
                path: setting.path.as_str().to_owned(),
                value: setting.value.as_str().to_owned(),
                source,
            })?;
        }
        self.open_metadata_service()
            .map_err(|errno| Fatal::System {
                what: "open the metadata service",
                source: errno.into(),
            })?;
        self.make_listeners(&plan.listeners)?;
        self.pod = Some(Pod::new(plan, &self.machine)?);
        Ok(())
    }

    /// Tells the host something with no loop to come: waits, within a bound, until it has it.
    pub(super) fn last_words(&mut self, message: &FromAgent) {
        let Link::Up { connection, .. } = &mut self.link else {
            return;
        };
        connection.send(message);
        let until = |connection: &Connection, flags| {
            let fd = connection.as_fd();
            poll(
                &mut [PollFd::from_borrowed_fd(fd, flags)],
                Some(&LAST_WORDS_WAIT),
            )
            .unwrap_or(0)
                > 0
        };
        while connection.flush().is_ok() && !connection.is_flushed() {
            if !until(connection, PollFlags::OUT) {
                return;
            }
        }
        connection.finish();
        // The host hangs up when it has read all.
        while until(connection, PollFlags::IN) && connection.read().is_ok() {}
    }
}

/// Gives the kernel what the host knows better: randomness, and the time.
fn take_over(entropy: &[u8], realtime_ns: u64) -> Result<(), Fatal> {
    let random = File::options().write(true).open("/dev/urandom");
    random
        .and_then(|device| sys::add_entropy(&device, entropy))
        .map_err(|source| Fatal::System {
            what: "take in the host's randomness",
            source,
        })?;
    set_realtime(realtime_ns, CLOCK_TOLERANCE_NS).map_err(|errno| Fatal::System {
        what: "set the clock",
        source: errno.into(),
    })
}
