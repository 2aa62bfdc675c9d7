//! Files of web servers.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::fetch::{self as protocol, FromFetcher, Get, Login};
use futures_util::StreamExt;
use reqwest::header::{CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::logins::Logins;
use crate::pace::{Pace, SILENCE_LIMIT};
use crate::registry::CONNECT_LIMIT;
use crate::retry::{MayPass, until_done};

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

    /// Brings a file, unless it is the one that who asks has.
    pub(crate) async fn bring(&self, get: &Get, file: &File) -> Result<FromFetcher, WebError> {
        until_done(|| self.attempt(get, file)).await
    }

    /// A page, in memory. Tried once: there are others.
    pub(crate) async fn page(&self, url: &str) -> Result<Vec<u8>, WebError> {
        let answer = self.get(url, None).await?;
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
    async fn get(&self, url: &str, unless: Option<&str>) -> Result<Response, WebError> {
        let mut url = self.url(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client.get(url.clone());
            if let Some(tag) = unless {
                request = request.header(IF_NONE_MATCH, tag);
            }
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

    async fn attempt(&self, get: &Get, file: &File) -> Result<FromFetcher, WebError> {
        let answer = self.get(&get.url, get.unless.as_deref()).await?;
        let fresh_for = fresh_for(answer.headers());
        match answer.status() {
            StatusCode::NOT_MODIFIED if get.unless.is_some() => {
                Ok(FromFetcher::Unchanged { fresh_for })
            }
            StatusCode::OK => {
                let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
                let tag = tag.and_then(|tag| Text::try_from(tag).ok());
                receive(answer, get.limit, file).await?;
                Ok(FromFetcher::Got { tag, fresh_for })
            }
            status => Err(WebError::Status(status)),
        }
    }
}

/// The whole of an answer, and nothing else, into the file.
async fn receive(answer: Response, limit: u64, file: &File) -> Result<(), WebError> {
    if answer.content_length().is_some_and(|length| length > limit) {
        return Err(WebError::Size(limit));
    }
    file.set_len(0).map_err(WebError::Write)?;
    let mut have = 0;
    let mut stream = answer.bytes_stream();
    let mut pace = Pace::begin();
    loop {
        let next = pace.next(&mut stream).await;
        let Some(bytes) = next.map_err(|_| WebError::Silent)? else {
            return Ok(());
        };
        let bytes = bytes?;
        if bytes.len() as u64 > limit - have {
            return Err(WebError::Size(limit));
        }
        file.write_all_at(&bytes, have).map_err(WebError::Write)?;
        have += bytes.len() as u64;
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
