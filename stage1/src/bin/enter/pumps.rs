//! Bytes between our streams and the pipes of the program, each stream by a thread of its own: our streams may block for as
//! long as their other ends like, and cannot be made not to, for they belong to others too.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use bulkhead_protocol::control::Streams;

use crate::escape::Escape;

/// Bytes moved at a time: what a pipe holds.
const BUFFER: usize = 64 << 10;

/// Our ends of the pipes of some streams.
pub(crate) struct Pumps {
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

/// What a user who wants to leave types is heard here, if anybody listens.
pub(crate) struct Left(PipeReader);

/// Ends when all output is written. Not before all of the program's outputs have ended, unless nobody reads ours.
pub(crate) struct OutputsEnd(PipeReader);

impl Pumps {
    /// Pipes for these streams, and the other side's ends of them in the order of the streams.
    pub(crate) fn make(streams: Streams) -> Result<(Self, Vec<OwnedFd>)> {
        let make = || pipe().context("make pipes for the program's streams");
        let mut theirs: Vec<OwnedFd> = Vec::new();
        let mut pumps = Self {
            stdin: None,
            stdout: None,
            stderr: None,
        };
        if streams.stdin {
            let (their_stdin, stdin) = make()?;
            theirs.push(their_stdin.into());
            pumps.stdin = Some(stdin);
        }
        for (wanted, ours) in [
            (streams.stdout, &mut pumps.stdout),
            (streams.stderr, &mut pumps.stderr),
        ] {
            if wanted {
                let (output, their_output) = make()?;
                theirs.push(their_output.into());
                *ours = Some(output);
            }
        }
        Ok((pumps, theirs))
    }

    /// Moves bytes from now on. From a terminal, an escape sequence in the input is heard.
    pub(crate) fn start(self, from_terminal: bool) -> Result<(OutputsEnd, Left)> {
        let (end, alive) = pipe().context("make a pipe")?;
        let (left, leave) = pipe().context("make a pipe")?;
        if let Some(stdin) = self.stdin {
            let watch = from_terminal.then(Escape::default);
            spawn("stdin", move || {
                pump_input(io::stdin(), stdin, watch, leave)
            })?;
        } else {
            // Nothing is typed here, and nobody is to be told that it ended.
            std::mem::forget(leave);
        }
        if let Some(stderr) = self.stderr {
            let alive = alive.try_clone().context("make a pipe")?;
            spawn("stderr", move || pump(stderr, io::stderr(), alive))?;
        }
        if let Some(stdout) = self.stdout {
            let alive = alive.try_clone().context("make a pipe")?;
            spawn("stdout", move || pump(stdout, io::stdout(), alive))?;
        }
        Ok((OutputsEnd(end), Left(left)))
    }
}

impl Left {
    /// To wait for; readable when the user has left.
    pub(crate) fn pipe(&self) -> &PipeReader {
        &self.0
    }
}

impl OutputsEnd {
    /// To wait for.
    pub(crate) fn pipe(&self) -> &PipeReader {
        &self.0
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread
        .spawn(work)
        .with_context(|| format!("start a thread for {name}"))?;
    Ok(())
}

/// Until either side is no more; then both are closed, so that the other one knows. `alive` is held for as long.
fn pump(mut from: impl Read, mut to: impl Write, alive: PipeWriter) {
    while let Some(bytes) = next(&mut from) {
        if write(&mut to, &bytes).is_err() {
            break;
        }
    }
    drop(alive);
}

/// The same, and says in `leave` that an escape sequence has come. Of one that has not, nothing must be heard.
fn pump_input(
    mut from: impl Read,
    mut to: impl Write,
    mut watch: Option<Escape>,
    mut leave: PipeWriter,
) {
    while let Some(bytes) = next(&mut from) {
        if let Some(escape) = &mut watch
            && escape.is_in(&bytes, Instant::now())
        {
            // Whoever is not there to hear it has left already.
            let _ = leave.write_all(b"x");
            break;
        }
        if write(&mut to, &bytes).is_err() {
            break;
        }
    }
    // An end of this pipe would be heard too.
    std::mem::forget(leave);
}

/// What there is; none at the end.
fn next(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => {
                buffer.truncate(count);
                return Some(buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
