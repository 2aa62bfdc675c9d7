//! A terminal for a call, as a user has one.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::bulkhead::{Call, Running};

/// Longest wait for what a program writes, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The user's side of it.
pub(crate) struct Terminal {
    user: File,
    /// Kept, so that it lives on when no program has it.
    program: File,
    shown: Receiver<Vec<u8>>,
    /// Not looked at yet.
    text: String,
}

impl Terminal {
    /// A new one of this size.
    pub(crate) fn open(rows: u16, columns: u16) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&user).expect("a terminal");
        unlockpt(&user).expect("a terminal");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let program = File::from(ioctl_tiocgptpeer(&user, flags).expect("a terminal"));
        let user = File::from(user);
        let mut screen = user.try_clone().expect("another descriptor");
        let (pieces, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                // The test may have ended.
                let _ = pieces.send(buffer[..count].to_vec());
            }
        });
        let terminal = Self {
            user,
            program,
            shown,
            text: String::new(),
        };
        terminal.resize(rows, columns);
        terminal
    }

    /// Runs a call on it: in a session of its own, whose terminal it is.
    pub(crate) fn run(&self, call: Call) -> Running {
        let stream = || Stdio::from(self.program.try_clone().expect("another descriptor"));
        call.under(["setsid", "--ctty", "--wait"])
            .start_on([stream(), stream(), stream()])
    }

    /// As a user types.
    pub(crate) fn write(&mut self, keys: &str) {
        self.user.write_all(keys.as_bytes()).expect("typing");
    }

    /// As a user drags the window's corner.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.user, size).expect("a size");
    }

    /// How it treats what is typed and written.
    pub(crate) fn modes(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let modes: Termios = tcgetattr(&self.program).expect("modes");
        (
            modes.input_modes,
            modes.output_modes,
            modes.control_modes,
            modes.local_modes,
        )
    }

    /// Waits until this stands on it, behind what was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.text.find(text) {
                self.text.drain(..at + text.len());
                return;
            }
            let left = limit.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(piece) => self.text.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("the terminal never shows {text:?} but {:?}", self.text),
            }
        }
    }
}
