//! Tokens of identity, as `docker login` has them of some clouds: the server that a registry names gives tokens of access for one,
//! each good for a while (<https://distribution.github.io/distribution/spec/auth/oauth/>).

use std::time::Duration;

use bulkhead_protocol::fetch as protocol;
use http_auth::{ChallengeRef, parser::ChallengeParser};
use oci_client::errors::OciDistributionError;
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::pace::SILENCE_LIMIT;
use crate::registry::{CONNECT_LIMIT, RegistryError};
use crate::web::may_be_asked;

/// Longest answer of a server of tokens.
const MAX_ANSWER: usize = 64 << 10;

/// How long a token is good whose server does not say it, and the least that counts.
const LEAST_LIFE: Duration = Duration::from_secs(60);

/// Who we are to a server of tokens.
const CLIENT: &str = "bulkhead";

/// A token of identity for one repository.
pub(crate) struct Identity {
    client: Client,
    token: String,
    plain_http: bool,
    /// The registry's address.
    base: String,
    repository: String,
    access: Mutex<Option<Access>>,
}

struct Access {
    token: String,
    /// From then on another one is asked for.
    old: Instant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// Who gives tokens.
struct Challenge {
    realm: Url,
    service: Option<String>,
}

impl Identity {
    pub(crate) fn new(registry: &protocol::Registry, token: &str) -> Result<Self, RegistryError> {
        let authorities = reqwest::Certificate::from_pem_bundle(registry.authorities.as_bytes());
        // What has a token is sent nowhere but where it is meant to go.
        let client = Client::builder()
            .redirect(Policy::none())
            .tls_certs_merge(authorities.map_err(client_error)?)
            .tls_danger_accept_invalid_certs(registry.any_certificate)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .build();
        let scheme = match registry.plain_http {
            true => "http",
            false => "https",
        };
        Ok(Self {
            client: client.map_err(client_error)?,
            token: token.to_owned(),
            plain_http: registry.plain_http,
            base: format!("{scheme}://{}/v2/", registry.host.as_str()),
            repository: registry.repository.to_string(),
            access: Mutex::default(),
        })
    }

    /// A token of access that is good for a while yet.
    pub(crate) async fn access(&self) -> Result<String, RegistryError> {
        let mut access = self.access.lock().await;
        if let Some(access) = access.as_ref().filter(|access| Instant::now() < access.old) {
            return Ok(access.token.clone());
        }
        let answer = self.ask().await?;
        let life = answer.expires_in.map_or(LEAST_LIFE, Duration::from_secs);
        let token = answer.access_token.clone();
        *access = Some(Access {
            token: answer.access_token,
            old: Instant::now() + life.max(LEAST_LIFE) * 3 / 4,
        });
        Ok(token)
    }

    async fn ask(&self) -> Result<Answer, RegistryError> {
        let challenge = self.challenge().await?;
        let scope = format!("repository:{}:pull", self.repository);
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT),
            ("scope", &scope),
            ("refresh_token", &self.token),
        ];
        if let Some(service) = &challenge.service {
            form.push(("service", service));
        }
        let answered = self.client.post(challenge.realm).form(&form).send().await;
        let answer = answered.map_err(OciDistributionError::from)?;
        match answer.status() {
            StatusCode::OK => {
                let bytes = whole(answer).await?;
                serde_json::from_slice(&bytes)
                    .map_err(|_| denied("the server of tokens answers with something else"))
            }
            status if status.is_server_error() => Err(OciDistributionError::ServerError {
                code: status.as_u16(),
                url: String::new(),
                message: "the server of tokens".to_owned(),
            }
            .into()),
            status => Err(denied(&format!("the server of tokens answers {status}"))),
        }
    }

    async fn challenge(&self) -> Result<Challenge, RegistryError> {
        let answered = self.client.get(&self.base).send().await;
        let answer = answered.map_err(OciDistributionError::from)?;
        let header = answer.headers().get(WWW_AUTHENTICATE);
        let header = header.and_then(|header| header.to_str().ok());
        let challenge = header.and_then(bearer);
        let challenge = challenge.ok_or_else(|| denied("it names no server of tokens"))?;
        match may_be_asked(&challenge.realm, self.plain_http) {
            true => Ok(challenge),
            false => Err(denied("its server of tokens is not https")),
        }
    }
}

/// The first challenge for a bearer of tokens.
fn bearer(header: &str) -> Option<Challenge> {
    let of = |challenge: &ChallengeRef<'_>, name: &str| {
        let mut params = challenge.params.iter();
        let found = params.find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    ChallengeParser::new(header)
        .filter_map(Result::ok)
        .filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
        .find_map(|challenge| {
            Some(Challenge {
                realm: of(&challenge, "realm")?.parse().ok()?,
                service: of(&challenge, "service"),
            })
        })
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(OciDistributionError::from)? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_ANSWER {
            return Err(denied("the server of tokens says too much"));
        }
    }
    Ok(bytes)
}

fn denied(why: &str) -> RegistryError {
    OciDistributionError::AuthenticationFailure(why.to_owned()).into()
}

fn client_error(error: reqwest::Error) -> RegistryError {
    RegistryError::Client(error.into())
}
