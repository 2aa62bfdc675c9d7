//! Files of web servers, by the fetcher.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_jail::Child;
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::fetch::{
    self as protocol, Credentials, FromFetcher, Get, Login, Meta, ToFetcher,
};

use crate::channel::{Channel, ChannelError};
use crate::helper::how;
use crate::registry::{
    FetchError, OUT_OF_MEMORY, Observer, Transfer, memory_file, read_whole, start,
};
use crate::told::Told;

/// How web servers are spoken to.
pub struct WebAccess {
    /// The fetcher's executable.
    pub fetcher: PathBuf,
    /// HTTP too, also of other hosts.
    pub plain_http: bool,
    /// Whoever answers is taken for the server.
    pub any_certificate: bool,
    /// Who asks which server: `HOST`, or `HOST:PORT` where the port is not the usual one.
    pub logins: Vec<(String, Credentials)>,
    /// Hears of what comes.
    pub observer: Observer,
}

/// A fetcher that speaks to web servers.
pub struct Web {
    channel: Channel,
    child: Option<Child>,
    observer: Observer,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is there.
    Got {
        /// What the server calls this version of it.
        tag: Option<String>,
        /// How long nobody needs to ask again.
        fresh_for: Duration,
    },
    /// It is the version that was named.
    Unchanged {
        /// As above.
        fresh_for: Duration,
    },
}

impl Web {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(access: &WebAccess) -> Result<Self, FetchError> {
        let (channel, child) = start(&access.fetcher)?;
        let open = ToFetcher::Web(protocol::Web {
            plain_http: access.plain_http,
            any_certificate: access.any_certificate,
        });
        channel.send(&open, &[])?;
        for (host, credentials) in &access.logins {
            let login = Login {
                host: Text::try_from(host.as_str())?,
                credentials: credentials.clone(),
            };
            channel.send(&ToFetcher::Login(login), &[])?;
        }
        Ok(Self {
            channel,
            child: Some(child),
            observer: Arc::clone(&access.observer),
        })
    }

    /// A small file, of at most `limit` bytes.
    ///
    /// # Errors
    /// When the server does not give it.
    pub fn read(&mut self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let file = memory_file(&[])?;
        self.bring(url, limit, None, &file)?;
        read_whole(&file, limit).map_err(FetchError::io("read what came"))
    }

    /// A file of at most `limit` bytes into an empty one, unless it is the version that `unless` names.
    pub(crate) fn bring(
        &mut self,
        url: &str,
        limit: u64,
        unless: Option<&str>,
        file: &File,
    ) -> Result<Answer, FetchError> {
        let get = Get {
            url: Text::try_from(url)?,
            limit,
            unless: unless.map(Text::try_from).transpose()?,
        };
        let sent = self.channel.send(&ToFetcher::Get(get), &[file.as_fd()]);
        let heard = sent.and_then(|()| self.hear(url));
        let message = heard.map_err(|error| self.explain(error))?;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        match message {
            FromFetcher::Got { tag, fresh_for } => Ok(Answer::Got {
                tag: tag.map(|tag| tag.to_string()),
                fresh_for: seconds(fresh_for),
            }),
            FromFetcher::Unchanged { fresh_for } if unless.is_some() => Ok(Answer::Unchanged {
                fresh_for: seconds(fresh_for),
            }),
            FromFetcher::Failed { why, .. } => Err(Told::from(why).into()),
            other => Err(ChannelError::OutOfTurn(format!("{other:?}")).into()),
        }
    }

    /// The end of an answer, of whose parts the observer hears.
    fn hear(&self, url: &str) -> Result<FromFetcher, ChannelError> {
        loop {
            match self.channel.receive()? {
                (FromFetcher::Came { bytes, size }, _) => (self.observer)(Transfer {
                    what: url,
                    bytes,
                    size,
                }),
                (message, _) => return Ok(message),
            }
        }
    }

    /// What a page says for discovery.
    pub(crate) fn metas(&mut self, url: &str) -> Result<Vec<Meta>, FetchError> {
        let sent = self
            .channel
            .send(&ToFetcher::Metas(Text::try_from(url)?), &[]);
        let heard = sent.and_then(|()| self.channel.receive());
        match heard.map_err(|error| self.explain(error))? {
            (FromFetcher::Metas(metas), _) => Ok(metas.into_vec()),
            (FromFetcher::Failed { why, .. }, _) => Err(Told::from(why).into()),
            (other, _) => Err(ChannelError::OutOfTurn(format!("{other:?}")).into()),
        }
    }

    fn explain(&mut self, error: ChannelError) -> FetchError {
        match (error, self.child.take()) {
            (ChannelError::End, Some(child)) => FetchError::Died(how(child.wait(), OUT_OF_MEMORY)),
            (error, child) => {
                self.child = child;
                error.into()
            }
        }
    }
}
