//! The supervisor's commands.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use bulkhead_protocol::frame::Decoder;
use bulkhead_protocol::relay::{MAX_TO_RELAY, RelaySpec, ToRelay};

use super::RelayError;

/// Bytes read at a time: most specifications fit.
const READ_LENGTH: usize = 64 << 10;

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
                Some(ToRelay::Stop) => return Err(nonsense("stopped before the start".to_owned())),
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

    /// Whether the supervisor wants the pod stopped. Its end, or nonsense from it, means the same; after that there is
    /// nothing more to hear.
    pub(super) fn stop_has_come(&mut self) -> bool {
        let stop = self.next_is_there();
        if stop {
            self.socket = None;
        }
        stop
    }

    fn next_is_there(&mut self) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        // It may have come together with the first one.
        if !matches!(self.decoder.take::<ToRelay>(), Ok(None)) {
            return true;
        }
        let mut buffer = [0; 256];
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.decoder.push(&buffer[..count]);
                !matches!(self.decoder.take::<ToRelay>(), Ok(None))
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            Ok(_) => true,
        }
    }
}
