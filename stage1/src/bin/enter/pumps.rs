//! Bytes between our streams and the pipes of the program, each stream by a thread of its own: our streams may block for as
//! long as their other ends like, and cannot be made not to, for they belong to others too.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::thread;

use anyhow::{Context, Result};

/// Bytes moved at a time: what a pipe holds.
const BUFFER: usize = 64 << 10;

/// Our ends of the program's pipes.
pub(crate) struct Pumps {
    stdin: PipeWriter,
    stdout: PipeReader,
    /// A terminal has none.
    stderr: Option<PipeReader>,
}

/// Ends when all output is written. Not before all of the program's outputs have ended, unless nobody reads ours.
pub(crate) struct OutputsEnd(PipeReader);

impl Pumps {
    /// Pipes for the program, and its ends of them in the order of the streams.
    pub(crate) fn make(terminal: bool) -> Result<(Self, Vec<OwnedFd>)> {
        let make = || pipe().context("make pipes for the program's streams");
        let (their_stdin, stdin) = make()?;
        let (stdout, their_stdout) = make()?;
        let mut theirs = vec![their_stdin.into(), their_stdout.into()];
        let stderr = match terminal {
            true => None,
            false => {
                let (stderr, their_stderr) = make()?;
                theirs.push(their_stderr.into());
                Some(stderr)
            }
        };
        let pumps = Self {
            stdin,
            stdout,
            stderr,
        };
        Ok((pumps, theirs))
    }

    /// Moves bytes from now on.
    pub(crate) fn start(self) -> Result<OutputsEnd> {
        let (end, alive) = pipe().context("make a pipe")?;
        spawn("stdin", io::stdin(), self.stdin, None)?;
        if let Some(stderr) = self.stderr {
            let alive = alive.try_clone().context("make a pipe")?;
            spawn("stderr", stderr, io::stderr(), Some(alive))?;
        }
        spawn("stdout", self.stdout, io::stdout(), Some(alive))?;
        Ok(OutputsEnd(end))
    }
}

impl OutputsEnd {
    /// To wait for.
    pub(crate) fn pipe(&self) -> &PipeReader {
        &self.0
    }
}

/// `alive` is held for as long as bytes are moved.
fn spawn(
    name: &str,
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
    alive: Option<PipeWriter>,
) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread
        .spawn(move || {
            pump(from, to);
            drop(alive);
        })
        .with_context(|| format!("start a thread for {name}"))?;
    Ok(())
}

/// Until either side is no more; then both are closed, so that the other one knows.
fn pump(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if to
                    .write_all(&buffer[..count])
                    .and_then(|()| to.flush())
                    .is_err()
                {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
