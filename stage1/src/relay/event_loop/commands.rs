//! The supervisor's commands.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use bulkhead_protocol::frame::Decoder;
use bulkhead_protocol::mutable::AddApp;
use bulkhead_protocol::relay::{MAX_TO_RELAY, RelaySpec, ToRelay};

use super::RelayError;

/// Bytes read at a time: most specifications fit.
const READ_LENGTH: usize = 64 << 10;

/// What the supervisor wants once the pod runs.
pub(super) enum Command {
    Stop,
    AddApp(Box<AddApp>),
}

pub(super) struct Commands {
    /// Gone when the supervisor has said all.
    socket: Option<UnixStream>,
    decoder: Decoder,
}

impl Commands {
    /// Waits for the first message.
    pub(super) fn receive_spec(mut socket: UnixStream) -> Result<(Self, RelaySpec), RelayError> {
        let mut decoder = Decoder::new(MAX_TO_RELAY);
        let mut buffer = vec![0; READ_LENGTH];
        let spec = loop {
            let nonsense =
                |what: String| RelayError::Spec(io::Error::new(ErrorKind::InvalidData, what));
            match decoder
                .take()
                .map_err(|error| nonsense(error.to_string()))?
            {
                Some(ToRelay::Run(spec)) => break spec,
                Some(ToRelay::Stop | ToRelay::AddApp(_)) => {
                    return Err(nonsense("another command before the start".to_owned()));
                }
                None => {}
            }
            match socket.read(&mut buffer).map_err(RelayError::Spec)? {
                0 => return Err(RelayError::Spec(ErrorKind::UnexpectedEof.into())),
                count => decoder.push(&buffer[..count]),
            }
        };
        socket.set_nonblocking(true).map_err(RelayError::Spec)?;
        let socket = Some(socket);
        Ok((Self { socket, decoder }, *spec))
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// The next command, without waiting for it. The supervisor's end, or nonsense from it, means to stop; after that there is
    /// nothing more to hear.
    pub(super) fn next(&mut self) -> Option<Command> {
        let command = self.read();
        if matches!(command, Some(Command::Stop)) {
            self.socket = None;
        }
        command
    }

    fn read(&mut self) -> Option<Command> {
        let socket = self.socket.as_mut()?;
        let mut buffer = vec![0; READ_LENGTH];
        loop {
            // It may have come together with the one before.
            match self.decoder.take::<ToRelay>() {
                Ok(Some(ToRelay::AddApp(add))) => return Some(Command::AddApp(add)),
                Ok(Some(ToRelay::Stop | ToRelay::Run(_))) | Err(_) => return Some(Command::Stop),
                Ok(None) => {}
            }
            match socket.read(&mut buffer) {
                Ok(0) => return Some(Command::Stop),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return None,
                    _ => return Some(Command::Stop),
                },
            }
        }
    }
}
