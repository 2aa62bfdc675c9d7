//! Our end of the conversation with the relay.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use bulkhead_protocol::control::{
    MAX_DESCRIPTORS, MAX_REPLY, MAX_REQUEST, Reply, Request, SOCKET, Streams,
};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::frame::{self, Decoder};
use bulkhead_protocol::plan::AppName;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::pumps::{Left, OutputsEnd, Pumps};
use crate::say;
use crate::terminal::Terminal;

/// What is the program's to answer, not ours.
const PASSED_ON: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// A program that was asked for, or an app that we are attached to.
pub(crate) struct Client {
    signals: SignalFd,
    /// Gone when the relay has said all: then all output is in our pipes.
    relay: Option<UnixStream>,
    decoder: Decoder,
    /// Of a program that does not run yet.
    pumps: Option<Pumps>,
    /// Of one that runs, until all of its output is written.
    outputs: Option<OutputsEnd>,
    /// Heard when the user leaves.
    left: Option<Left>,
    terminal: Option<Terminal>,
    /// What was asked for is a program of ours, and no app that has its own life.
    of_program: bool,
    ended: Option<(Exit, Option<String>)>,
}

/// Who may have something to say.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Relay,
    Outputs,
    Left,
}

impl Client {
    /// Asks for a program, or for streams of an app.
    pub(crate) fn ask(
        mut relay: UnixStream,
        request: &Request,
        streams: Streams,
        terminal: Option<Terminal>,
        signals: SignalFd,
    ) -> Result<Self> {
        let (pumps, theirs) = Pumps::make(streams)?;
        let mut bytes = Vec::new();
        frame::encode(request, MAX_REQUEST, &mut bytes).context("the program's arguments")?;
        // A relay that has hung up already has said why.
        let _ = send(&mut relay, &bytes, &theirs);
        Ok(Self {
            signals,
            relay: Some(relay),
            decoder: Decoder::new(MAX_REPLY),
            pumps: Some(pumps),
            outputs: None,
            left: None,
            terminal,
            of_program: matches!(request, Request::Exec(_)),
            ended: None,
        })
    }

    /// From the relay's answer to the program's end and the last byte of its output. Gives the exit code.
    pub(crate) fn run(mut self) -> Result<u8> {
        while self.relay.is_some() || self.outputs.is_some() {
            for source in self.wait()? {
                match source {
                    Source::Signals => {
                        if let Some(code) = self.take_signal()? {
                            return Ok(code);
                        }
                    }
                    Source::Relay => self.hear()?,
                    Source::Outputs => self.outputs = None,
                    Source::Left => return Ok(self.leave()),
                }
            }
        }
        // Before anything is said on it.
        drop(self.terminal);
        if !self.of_program {
            return Ok(0);
        }
        let (exit, reason) = self.ended.context("the pod ended before the program did")?;
        if let Some(reason) = reason {
            say("enter", &reason);
        }
        Ok(exit.code())
    }

    /// The user has typed the escape sequence. An app goes on; a program of ours hangs up with us.
    fn leave(self) -> u8 {
        drop(self.terminal);
        eprintln!();
        match self.of_program {
            true => Exit::Signal(Signal::SIGHUP as u8).code(),
            false => 0,
        }
    }

    fn wait(&self) -> Result<Vec<Source>> {
        let mut sources = vec![Source::Signals];
        let mut wanted = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(relay) = &self.relay {
            sources.push(Source::Relay);
            wanted.push(PollFd::new(relay, PollFlags::IN));
        }
        if let Some(outputs) = &self.outputs {
            sources.push(Source::Outputs);
            wanted.push(PollFd::new(outputs.pipe(), PollFlags::IN));
        }
        if let Some(left) = &self.left {
            sources.push(Source::Left);
            wanted.push(PollFd::new(left.pipe(), PollFlags::IN));
        }
        match poll(&mut wanted, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error)).context("wait for events"),
        }
        let ready = sources.into_iter().zip(&wanted);
        let ready = ready.filter(|(_, wanted)| !wanted.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    /// A signal is the program's. Where there is none, not yet or any more, it ends our wait with an exit code.
    fn take_signal(&mut self) -> Result<Option<u8>> {
        let taken = self.signals.read_signal().context("read a signal")?;
        let number = taken.and_then(|signal| u8::try_from(signal.ssi_signo).ok());
        let Some(number) = number else {
            return Ok(None);
        };
        let resize = match &self.terminal {
            Some(terminal) if number == Signal::SIGWINCH as u8 => Some(terminal.size()),
            _ => None,
        };
        let request = match resize {
            Some(size) => Request::Resize(size),
            None if number == Signal::SIGWINCH as u8 => return Ok(None),
            None if self.outputs.is_none() || self.ended.is_some() || !self.of_program => {
                return Ok(Some(Exit::Signal(number).code()));
            }
            None => Request::Signal(number),
        };
        let mut bytes = Vec::new();
        frame::encode(&request, MAX_REQUEST, &mut bytes).context("a message to the relay")?;
        if let Some(relay) = &mut self.relay {
            // A relay that is gone is heard of.
            let _ = relay.write_all(&bytes);
        }
        Ok(None)
    }

    fn hear(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let count = match &mut self.relay {
            Some(relay) => relay.read(&mut buffer),
            None => return Ok(()),
        };
        match count {
            Ok(0) => self.relay = None,
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.relay = None,
        }
        while let Some(reply) = self.decoder.take().context("what the relay says")? {
            match reply {
                Reply::Started => {
                    if let Some(terminal) = &self.terminal {
                        terminal.make_raw();
                    }
                    if let Some(pumps) = self.pumps.take() {
                        let (outputs, left) = pumps.start(self.terminal.is_some())?;
                        self.outputs = Some(outputs);
                        self.left = self.terminal.is_some().then_some(left);
                    }
                }
                Reply::Refused { reason } => bail!("{reason}"),
                Reply::Offer { .. } | Reply::Done | Reply::NotRunning => {
                    bail!("the relay answers what was not asked")
                }
                Reply::Ended { exit, reason } => {
                    // The relay hangs up when the output is in our pipes: until then it takes our end for that of the wait.
                    self.ended = Some((exit, reason.map(|reason| reason.as_str().to_owned())));
                }
            }
        }
        Ok(())
    }
}

/// What the relay offers of an app.
pub(crate) fn offer(relay: &mut UnixStream, app: &AppName) -> Result<(Streams, bool)> {
    let mut bytes = Vec::new();
    frame::encode(&Request::Offer(app.clone()), MAX_REQUEST, &mut bytes).context("the app")?;
    // A relay that has hung up already has said why.
    let _ = relay.write_all(&bytes);
    let mut decoder = Decoder::new(MAX_REPLY);
    loop {
        match decoder.take().context("what the relay says")? {
            Some(Reply::Offer { streams, terminal }) => return Ok((streams, terminal)),
            Some(Reply::Refused { reason }) => bail!("{reason}"),
            Some(_) => bail!("the relay answered something else"),
            None => {}
        }
        let mut buffer = [0; 4096];
        match relay.read(&mut buffer).context("hear from the pod")? {
            0 => bail!("the pod has ended"),
            count => decoder.push(&buffer[..count]),
        }
    }
}

pub(crate) fn connect() -> Result<UnixStream> {
    UnixStream::connect(SOCKET).or_else(|error| match error.kind() {
        // Not made yet, removed at the pod's end, or left behind by a supervisor that was killed.
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => bail!("the pod is not running"),
        _ => Err(error).context("connect to the pod"),
    })
}

/// Before the first thread, which inherits the mask. SIGTTOU too, so that the terminal can be restored whoever is in its
/// foreground then.
pub(crate) fn block_signals() -> Result<SignalFd> {
    let mut taken = SigSet::empty();
    taken.add(Signal::SIGWINCH);
    PASSED_ON.into_iter().for_each(|signal| taken.add(signal));
    let mut blocked = taken;
    blocked.add(Signal::SIGTTOU);
    blocked.thread_block().context("block signals")?;
    SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a signal descriptor")
}

fn send(relay: &mut UnixStream, bytes: &[u8], files: &[OwnedFd]) -> io::Result<()> {
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg(&*relay, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
    relay.write_all(&bytes[sent..])
}
