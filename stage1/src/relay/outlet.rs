//! Standard output or error, written by a thread of its own.
//!
//! The other end may stand still for as long as it likes, and the description is shared with others, so that making it
//! non-blocking would change it for them. A thread that blocks disturbs nobody; what waits for it is bounded by the
//! windows of the streams.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::plan::ProcessId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};

/// What threads tell the loop.
#[derive(Debug)]
pub enum Report {
    /// Bytes of a process's stream were passed on.
    Written {
        /// Whose.
        process: ProcessId,
        /// Which stream.
        stream: Stream,
        /// How many bytes of the stream.
        count: u64,
    },
    /// Nobody reads our standard output (or error) any more.
    Closed(Stream),
    /// Standard input brought bytes; none: it ended.
    Input(Vec<u8>),
    /// To be told to the user.
    Say(String),
}

/// Reports of threads, with the descriptor that wakes the loop.
#[derive(Debug, Clone)]
pub struct Reports {
    /// The loop's channel.
    pub channel: Sender<Report>,
    /// An eventfd.
    pub wake: Arc<OwnedFd>,
}

impl Reports {
    /// Says something to the loop. A loop that is gone hears nothing.
    pub fn say(&self, report: Report) {
        let _ = self.channel.send(report);
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// Bytes to write, and whose they are.
#[derive(Debug)]
pub struct Piece {
    /// What to write; may be empty.
    pub bytes: Vec<u8>,
    /// For [`Report::Written`]; bulkhead's own messages are nobody's.
    pub source: Option<(ProcessId, Stream, u64)>,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Piece>,
    /// The thread holds a piece.
    busy: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of our standard outputs.
#[derive(Debug)]
pub struct Outlet {
    queue: Arc<Queue>,
}

impl Outlet {
    /// Starts the thread that writes to `file`, which is our standard output or error.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        file: impl AsFd + Send + 'static,
        stream: Stream,
        reports: Reports,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let shared = Arc::clone(&queue);
        std::thread::Builder::new()
            .name(format!("{stream:?}").to_lowercase())
            .spawn(move || run(&file, stream, &shared, &reports))?;
        Ok(Self { queue })
    }

    /// Queues a piece. Who calls this bounds what is queued.
    pub fn push(&self, piece: Piece) {
        self.queue.lock().pending.push_back(piece);
        self.queue.changed.notify_all();
    }

    /// Waits until all is written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let busy = |state: &mut State| state.busy || !state.pending.is_empty();
        let state = self.queue.lock();
        let _ = self.queue.changed.wait_timeout_while(state, limit, busy);
    }
}

/// Never returns: the thread ends with the process.
fn run(file: &impl AsFd, stream: Stream, queue: &Queue, reports: &Reports) {
    let mut closed = false;
    loop {
        let piece = {
            let idle = |state: &mut State| state.pending.is_empty();
            let state = queue.lock();
            let waited = queue.changed.wait_while(state, idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            state.busy = true;
            state.pending.pop_front()
        };
        if let Some(piece) = piece
            && !closed
        {
            match write_all(file, &piece.bytes) {
                Ok(()) => {
                    if let Some((process, stream, count)) = piece.source {
                        reports.say(Report::Written {
                            process,
                            stream,
                            count,
                        });
                    }
                }
                Err(_) => {
                    closed = true;
                    reports.say(Report::Closed(stream));
                }
            }
        }
        queue.lock().busy = false;
        queue.changed.notify_all();
    }
}

fn write_all(file: &impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Somebody else made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut wanted = [PollFd::new(file, PollFlags::OUT)];
                let _ = poll(&mut wanted, None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
