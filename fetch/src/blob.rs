//! Blobs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bulkhead_protocol::fetch::{Blob, FromFetcher};
use oci_client::client::{BlobResponse, SizedStream};

use crate::pace::Pace;
use crate::registry::{Registry, RegistryError};
use crate::retry::Attempts;
use crate::socket::Socket;

/// Bytes after which who asked hears of it.
pub(crate) const REPORT_BYTES: u64 = 512 << 10;

/// Brings the rest of a blob into its file.
pub(crate) async fn bring(
    registry: &Registry,
    blob: &Blob,
    file: &File,
    socket: &Socket,
) -> Result<(), RegistryError> {
    let mut download = Download {
        blob,
        file,
        socket,
        have: blob.have.min(blob.size),
        reported: 0,
    };
    let mut attempts = Attempts::default();
    while download.have < blob.size {
        let before = download.have;
        let attempt = download.attempt(registry).await;
        attempts.came(download.have.saturating_sub(before));
        if let Err(error) = attempt {
            attempts.after(error).await?;
        }
    }
    download.report()
}

struct Download<'a> {
    blob: &'a Blob,
    file: &'a File,
    socket: &'a Socket,
    /// Bytes from the start of the blob that are in the file.
    have: u64,
    reported: u64,
}

impl Download<'_> {
    async fn attempt(&mut self, registry: &Registry) -> Result<(), RegistryError> {
        let mut stream = match registry.blob(&self.blob.digest, self.have).await? {
            BlobResponse::Partial(stream) => stream,
            BlobResponse::Full(stream) => {
                self.have = 0;
                self.report()?;
                stream
            }
        };
        self.check_length(&stream)?;
        let mut pace = Pace::begin();
        loop {
            let next = pace.next(&mut stream).await;
            match next.map_err(|_| RegistryError::Silent("a blob"))? {
                Some(bytes) => self.take(&bytes.map_err(RegistryError::Cut)?)?,
                None => break,
            }
        }
        if self.have < self.blob.size {
            let (have, size) = (self.have, self.blob.size);
            let text = format!("the connection ended after {have} bytes of {size}");
            return Err(RegistryError::Cut(io::Error::other(text)));
        }
        Ok(())
    }

    /// Before anything is written: what is announced must be what is missing.
    fn check_length(&self, stream: &SizedStream) -> Result<(), RegistryError> {
        let missing = self.blob.size - self.have;
        match stream.content_length {
            Some(length) if length != missing => Err(RegistryError::Size(format!(
                "{length} bytes of a blob where {missing} were to come"
            ))),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let end = self.have.saturating_add(bytes.len() as u64);
        if end > self.blob.size {
            let size = self.blob.size;
            return Err(RegistryError::Size(format!(
                "more than the {size} bytes of a blob"
            )));
        }
        self.file
            .write_all_at(bytes, self.have)
            .map_err(RegistryError::Write)?;
        self.have = end;
        match self.have - self.reported.min(self.have) >= REPORT_BYTES {
            true => self.report(),
            false => Ok(()),
        }
    }

    fn report(&mut self) -> Result<(), RegistryError> {
        self.reported = self.have;
        let progress = FromFetcher::Progress {
            digest: self.blob.digest.clone(),
            bytes: self.have,
        };
        self.socket.tell(&progress).map_err(RegistryError::Write)
    }
}
