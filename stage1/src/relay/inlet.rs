//! Standard input, read by a thread of its own for the reasons of [`super::outlet`], and only as much as was asked for.

use std::os::fd::AsFd;
use std::sync::mpsc::{Sender, channel};

use bulkhead_protocol::agent::MAX_CHUNK;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};

use super::outlet::{Report, Reports};

/// Our standard input.
#[derive(Debug)]
pub struct Inlet {
    wanted: Sender<()>,
    asked: bool,
}

impl Inlet {
    /// Starts the thread that reads from `file`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(file: impl AsFd + Send + 'static, reports: Reports) -> std::io::Result<Self> {
        let (wanted, asks) = channel::<()>();
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut buffer = vec![0; MAX_CHUNK];
                while asks.recv().is_ok() {
                    let bytes = next(&file, &mut buffer).to_vec();
                    let ended = bytes.is_empty();
                    reports.say(Report::Input(bytes));
                    if ended {
                        return;
                    }
                }
            })?;
        Ok(Self {
            wanted,
            asked: false,
        })
    }

    /// Asks for one piece of at most [`MAX_CHUNK`] bytes, unless one is asked for already.
    pub fn ask(&mut self) {
        if !self.asked {
            self.asked = true;
            // A thread that is gone has reported the end.
            let _ = self.wanted.send(());
        }
    }

    /// The piece has come.
    pub fn came(&mut self) {
        self.asked = false;
    }
}

/// What there is; nothing at the end. An input that cannot be read has ended.
fn next<'a>(file: &impl AsFd, buffer: &'a mut [u8]) -> &'a [u8] {
    loop {
        match read(file, &mut *buffer) {
            Ok(count) => return &buffer[..count],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut wanted = [PollFd::new(file, PollFlags::IN)];
                let _ = poll(&mut wanted, None);
            }
            Err(_) => return &[],
        }
    }
}
