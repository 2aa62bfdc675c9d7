//! Files of web servers.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::fetch::{self as protocol, FromFetcher, Get, Login};
use futures_util::StreamExt;
use reqwest::header::{
    CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderMap, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use crate::blob::REPORT_BYTES;
use crate::logins::Logins;
use crate::pace::{Pace, SILENCE_LIMIT};
use crate::registry::CONNECT_LIMIT;
use crate::retry::{Attempts, MayPass};
use crate::socket::Socket;

/// Addresses that one may lead through.
const MAX_REDIRECTS: usize = 10;

/// Longest page that is read.
const MAX_PAGE: usize = 1 << 20;

/// A file that a server does not give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// The client cannot be made.
    #[error("start")]
    Client(#[source] reqwest::Error),
    /// An address that makes no sense.
    #[error("the address is none")]
    Address,
    /// An address that must not be asked for.
    #[error("{0} is not asked for: it is not https (--insecure-options=http)")]
    Clear(String),
    /// The server says no.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// Its answer makes no sense.
    #[error("the server's answer")]
    Answer(#[source] reqwest::Error),
    /// It leads nowhere.
    #[error("the server leads to {0}")]
    Leads(&'static str),
    /// The connection, or the server.
    #[error("the connection to the server")]
    Connection(#[source] reqwest::Error),
    /// Nothing came, or too slowly.
    #[error("the server is silent or too slow")]
    Silent,
    /// More than was to come.
    #[error("the server sends more than {0} bytes")]
    Size(u64),
    /// The file cannot be written.
    #[error("write what the server sends")]
    Write(#[source] io::Error),
}

impl MayPass for WebError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Silent => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Client(_)
            | Self::Address
            | Self::Clear(_)
            | Self::Answer(_)
            | Self::Leads(_)
            | Self::Size(_)
            | Self::Write(_) => false,
        }
    }
}

impl From<reqwest::Error> for WebError {
    fn from(error: reqwest::Error) -> Self {
        // An address may have a password in it.
        let error = error.without_url();
        match error.is_builder() {
            true => Self::Answer(error),
            false => Self::Connection(error),
        }
    }
}

/// Who asks web servers.
pub(crate) struct Web {
    client: Client,
    plain_http: bool,
    logins: Logins,
}

impl Web {
    pub(crate) fn new(web: &protocol::Web) -> Result<Self, WebError> {
        let client = Client::builder()
            // Who is told what where, is decided for each address anew.
            .redirect(Policy::none())
            .tls_danger_accept_invalid_certs(web.any_certificate)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            client: client.map_err(WebError::Client)?,
            plain_http: web.plain_http,
            logins: Logins::default(),
        })
    }

    /// Who asks a server from now on.
    pub(crate) fn log_in(&mut self, login: Login) {
        self.logins.add(login);
    }

    /// Brings a file, unless it is the one that who asks has. What breaks off is gone on with where the server has the same version.
    pub(crate) async fn bring(
        &self,
        get: &Get,
        file: &File,
        socket: &Socket,
    ) -> Result<FromFetcher, WebError> {
        let mut part = Part::of(file, socket);
        let mut attempts = Attempts::default();
        loop {
            let before = part.have;
            let error = match self.attempt(get, &mut part).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            attempts.came(part.have.saturating_sub(before));
            attempts.after(error).await?;
        }
    }

    /// A page, in memory. Tried once: there are others.
    pub(crate) async fn page(&self, url: &str) -> Result<Vec<u8>, WebError> {
        let answer = self.get(url, |request| request).await?;
        if answer.status() != StatusCode::OK {
            return Err(WebError::Status(answer.status()));
        }
        let whole = async {
            let mut page = Vec::new();
            let mut stream = answer.bytes_stream();
            while let Some(bytes) = stream.next().await {
                page.extend_from_slice(&bytes?);
                if page.len() > MAX_PAGE {
                    return Err(WebError::Size(MAX_PAGE as u64));
                }
            }
            Ok(page)
        };
        let whole = tokio::time::timeout(SILENCE_LIMIT, whole).await;
        whole.map_err(|_| WebError::Silent)?
    }

    /// The answer at the end of where the address leads.
    async fn get(
        &self,
        url: &str,
        ask: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, WebError> {
        let mut url = self.url(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let request = ask(self.client.get(url.clone()));
            let answer = self.logins.of(&url, request).send().await?;
            if !leads_on(answer.status()) {
                return Ok(answer);
            }
            url = next(&url, &answer)?;
            // What is fetched in the clear is so because the user has said it, not because a server did.
            if !may_be_asked(&url, self.plain_http) {
                return Err(WebError::Leads("an address that is not https"));
            }
        }
        Err(WebError::Leads("too many addresses"))
    }

    fn url(&self, url: &str) -> Result<Url, WebError> {
        let url: Url = url.parse().map_err(|_| WebError::Address)?;
        match may_be_asked(&url, self.plain_http) {
            true => Ok(url),
            false => Err(WebError::Clear(url.to_string())),
        }
    }

    async fn attempt(&self, get: &Get, part: &mut Part<'_>) -> Result<FromFetcher, WebError> {
        let ask = |request: RequestBuilder| match (part.range(), &get.unless) {
            (Some((range, tag)), _) => request.header(RANGE, range).header(IF_RANGE, tag),
            (None, Some(unless)) => request.header(IF_NONE_MATCH, unless.as_str()),
            (None, None) => request,
        };
        let answer = self.get(&get.url, ask).await?;
        let fresh_for = fresh_for(answer.headers());
        match answer.status() {
            StatusCode::NOT_MODIFIED if get.unless.is_some() => {
                return Ok(FromFetcher::Unchanged { fresh_for });
            }
            StatusCode::PARTIAL_CONTENT if part.goes_on_with(&answer) => {}
            StatusCode::OK => part.begin(&answer)?,
            status => return Err(WebError::Status(status)),
        }
        part.receive(answer, get.limit).await?;
        let tag = part.tag.as_deref().and_then(|tag| Text::try_from(tag).ok());
        Ok(FromFetcher::Got { tag, fresh_for })
    }
}

/// What has come of a file.
struct Part<'a> {
    file: &'a File,
    socket: &'a Socket,
    /// Bytes from its start that are in the file.
    have: u64,
    /// Those of which who asked knows.
    reported: u64,
    /// What the server calls this version.
    tag: Option<String>,
}

impl<'a> Part<'a> {
    fn of(file: &'a File, socket: &'a Socket) -> Self {
        Self {
            file,
            socket,
            have: 0,
            reported: 0,
            tag: None,
        }
    }

    /// The rest, and the version that it must be of: only a strong tag says that the bytes are the same (RFC 9110, 13.1.5).
    fn range(&self) -> Option<(String, &str)> {
        let tag = self.tag.as_deref().filter(|tag| tag.starts_with('"'))?;
        (self.have > 0).then(|| (format!("bytes={}-", self.have), tag))
    }

    /// Whether an answer is the rest that was asked for.
    fn goes_on_with(&self, answer: &Response) -> bool {
        let range = answer.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let from = format!("bytes {}-", self.have);
        self.range().is_some() && range.is_some_and(|range| range.starts_with(&from))
    }

    /// Forgets what has come of another answer.
    fn begin(&mut self, answer: &Response) -> Result<(), WebError> {
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        self.tag = tag.map(str::to_owned);
        self.file.set_len(0).map_err(WebError::Write)?;
        self.have = 0;
        Ok(())
    }

    /// The whole of an answer behind what is there.
    async fn receive(&mut self, answer: Response, limit: u64) -> Result<(), WebError> {
        let rest = answer.content_length();
        let size = rest.map(|rest| rest.saturating_add(self.have));
        if size.is_some_and(|size| size > limit) {
            return Err(WebError::Size(limit));
        }
        let mut stream = answer.bytes_stream();
        let mut pace = Pace::begin();
        loop {
            let next = pace.next(&mut stream).await;
            let Some(bytes) = next.map_err(|_| WebError::Silent)? else {
                return Ok(());
            };
            let bytes = bytes?;
            if bytes.len() as u64 > limit - self.have {
                return Err(WebError::Size(limit));
            }
            let written = self.file.write_all_at(&bytes, self.have);
            written.map_err(WebError::Write)?;
            self.have += bytes.len() as u64;
            self.report(size)?;
        }
    }

    fn report(&mut self, size: Option<u64>) -> Result<(), WebError> {
        // Of a small file nobody hears, and of a large one also its end.
        let ends = self.reported > 0 && size == Some(self.have);
        if self.have - self.reported.min(self.have) < REPORT_BYTES && !ends {
            return Ok(());
        }
        self.reported = self.have;
        let bytes = self.have;
        let came = FromFetcher::Came { bytes, size };
        self.socket.tell(&came).map_err(WebError::Write)
    }
}

fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where an answer leads.
fn next(url: &Url, answer: &Response) -> Result<Url, WebError> {
    let location = answer.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let next = location.and_then(|location| url.join(location).ok());
    next.ok_or(WebError::Leads("nowhere"))
}

/// HTTPS, or HTTP where the user wants it, or where nobody is between.
pub(crate) fn may_be_asked(url: &Url, plain_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => plain_http || is_of_this_host(url),
        _ => false,
    }
}

/// A server of this host.
pub(crate) fn is_of_this_host(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Result<IpAddr, _> = address.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Seconds for which the answer is good without asking again.
fn fresh_for(headers: &HeaderMap) -> u32 {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut directives = texts.flat_map(|text| text.split(',')).map(str::trim);
    let mut seconds = 0;
    for directive in &mut directives {
        match directive.split_once('=') {
            None if matches!(directive, "no-cache" | "no-store") => return 0,
            Some(("max-age", value)) => seconds = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_asked_in_the_clear() {
        let may = |url: &str| may_be_asked(&url.parse().unwrap(), false);
        for url in [
            "https://a",
            "http://localhost:1/a",
            "http://127.0.0.1/",
            "http://[::1]:1/",
        ] {
            assert!(may(url), "{url}");
        }
        for url in [
            "http://a",
            "http://localhost.a",
            "http://127.0.0.1.a",
            "ftp://localhost/",
            "file:///etc",
        ] {
            assert!(!may(url), "{url}");
        }
        assert!(may_be_asked(&"http://a".parse().unwrap(), true));
    }

    #[test]
    fn an_answer_is_good_for_as_long_as_it_says() {
        let seconds = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, text.parse().unwrap());
            fresh_for(&headers)
        };
        assert_eq!(fresh_for(&HeaderMap::new()), 0);
        assert_eq!(seconds("public, max-age=60"), 60);
        assert_eq!(seconds("max-age=60, no-cache"), 0);
        assert_eq!(seconds("max-age=-1"), 0);
        assert_eq!(seconds("max-age=99999999999"), 0);
    }
}
