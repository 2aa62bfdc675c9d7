//! Our terminal, if we have one to give.

use bulkhead_protocol::plan::WindowSize;
use rustix::process::getpgrp;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

/// Of a terminal that does not say how large it is.
const DEFAULT_SIZE: WindowSize = WindowSize {
    rows: 24,
    columns: 80,
};

/// Standard input and output, as they were found. They are so again when this is dropped.
pub(crate) struct Terminal(Termios);

impl Terminal {
    /// The terminal that standard input and output are, while we are in its foreground: to whom it belongs otherwise, it must
    /// not change.
    pub(crate) fn ours() -> Option<Self> {
        let is_ours = isatty(stdout()) && tcgetpgrp(stdin()).ok()? == getpgrp();
        let modes = tcgetattr(stdin()).ok()?;
        is_ours.then_some(Self(modes))
    }

    pub(crate) fn size(&self) -> WindowSize {
        let size = tcgetwinsize(stdin()).ok().filter(|size| size.ws_row > 0);
        size.map_or(DEFAULT_SIZE, |size| WindowSize {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }

    /// Keys and output pass as they are: the terminal in the guest does what is to be done with them.
    pub(crate) fn make_raw(&self) {
        let mut modes = self.0.clone();
        modes.make_raw();
        // A terminal that went away ends the input.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &modes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that went away needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
