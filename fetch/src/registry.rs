//! One registry, as the `oci-client` crate speaks to it.

use std::io;
use std::time::Duration;

use crate::identity::Identity;
use crate::pace::SILENCE_LIMIT;
use crate::retry::MayPass;
use bulkhead_protocol::fetch::{self as protocol, Credentials};
use oci_client::client::{
    BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol,
};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

/// What a connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// What a manifest, with the token for it, may take.
const MANIFEST_LIMIT: Duration = Duration::from_secs(60);

/// Longest manifest that registries take.
const MAX_MANIFEST: usize = 4 << 20;

const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Something that a registry did not give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The client cannot be made: a certificate is none.
    #[error("the registry's certificates")]
    Client(#[source] OciDistributionError),
    /// It wants to know who asks, or does not like who does.
    #[error("the registry does not let us in")]
    Denied(#[source] OciDistributionError),
    /// It says no, or nonsense.
    #[error("the registry's answer")]
    Refused(#[source] OciDistributionError),
    /// The connection, or the server.
    #[error("the connection to the registry")]
    Connection(#[source] OciDistributionError),
    /// The connection, in the middle of something.
    #[error("the connection to the registry")]
    Cut(#[source] io::Error),
    /// Nothing came, or too slowly.
    #[error("the registry is silent or too slow: {0}")]
    Silent(&'static str),
    /// More or less than was to come.
    #[error("the registry sent {0}")]
    Size(String),
    /// The file cannot be written.
    #[error("write what the registry sends")]
    Write(#[source] io::Error),
}

impl MayPass for RegistryError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Cut(_) | Self::Silent(_) => true,
            Self::Client(_)
            | Self::Denied(_)
            | Self::Refused(_)
            | Self::Size(_)
            | Self::Write(_) => false,
        }
    }
}

impl From<OciDistributionError> for RegistryError {
    fn from(error: OciDistributionError) -> Self {
        use OciDistributionError as E;
        match error {
            // Addresses of blobs in clouds have secrets in them.
            E::RequestError(error) if error.is_redirect() || error.is_builder() => {
                Self::Refused(E::RequestError(error.without_url()))
            }
            E::RequestError(error) => Self::Connection(E::RequestError(error.without_url())),
            E::IoError(_) => Self::Connection(error),
            E::ServerError { code, .. } if code == 429 || code >= 500 => Self::Connection(error),
            E::AuthenticationFailure(_) | E::UnauthorizedError { .. } => Self::Denied(error),
            error => Self::Refused(error),
        }
    }
}

/// A repository of a registry, and who asks it.
pub(crate) struct Registry {
    client: Client,
    host: String,
    repository: String,
    who: Who,
}

/// Who asks.
enum Who {
    Known(RegistryAuth),
    Identity(Identity),
}

impl Registry {
    pub(crate) fn new(registry: &protocol::Registry) -> Result<Self, RegistryError> {
        let authorities = registry.authorities.as_str();
        let authorities = (!authorities.is_empty()).then(|| Certificate {
            encoding: CertificateEncoding::Pem,
            data: authorities.as_bytes().to_vec(),
        });
        let config = ClientConfig {
            protocol: match registry.plain_http {
                true => ClientProtocol::Http,
                false => ClientProtocol::Https,
            },
            accept_invalid_certificates: registry.any_certificate,
            extra_root_certificates: authorities.into_iter().collect(),
            read_timeout: Some(SILENCE_LIMIT),
            connect_timeout: Some(CONNECT_LIMIT),
            user_agent: concat!("bulkhead/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Ok(Self {
            client: Client::try_from(config).map_err(RegistryError::Client)?,
            host: registry.host.to_string(),
            repository: registry.repository.to_string(),
            who: match &registry.credentials {
                Credentials::Anonymous => Who::Known(RegistryAuth::Anonymous),
                Credentials::Basic { user, password } => {
                    Who::Known(RegistryAuth::Basic(user.to_string(), password.to_string()))
                }
                Credentials::Bearer(token) => Who::Known(RegistryAuth::Bearer(token.to_string())),
                Credentials::Identity(token) => Who::Identity(Identity::new(registry, token)?),
            },
        })
    }

    /// A manifest by its tag or digest.
    pub(crate) async fn manifest(&self, reference: &str) -> Result<Vec<u8>, RegistryError> {
        let image = self.reference(reference);
        let asked = async {
            // By itself, for its errors are forgotten by what comes next.
            let who = self.let_in(&image).await?;
            let pulled = self.client.pull_manifest_raw(&image, &who, ACCEPTED).await;
            Ok::<_, RegistryError>(pulled?)
        };
        let answered = tokio::time::timeout(MANIFEST_LIMIT, asked).await;
        let (bytes, _) = answered.map_err(|_| RegistryError::Silent("a manifest"))??;
        if bytes.len() > MAX_MANIFEST {
            return Err(RegistryError::Size(format!(
                "a manifest of {} bytes, more than {MAX_MANIFEST}",
                bytes.len()
            )));
        }
        Ok(bytes.to_vec())
    }

    /// A blob from `offset` on; or from its start, where the registry knows no other way.
    pub(crate) async fn blob(
        &self,
        digest: &str,
        offset: u64,
    ) -> Result<BlobResponse, RegistryError> {
        let image = self.reference(digest);
        let asked = async {
            if let Who::Identity(_) = self.who {
                // The token that the client has may be old by now.
                self.let_in(&image).await?;
            }
            let client = &self.client;
            let pulled = client.pull_blob_stream_partial(&image, digest, offset, None);
            Ok::<_, RegistryError>(pulled.await?)
        };
        let answered = tokio::time::timeout(MANIFEST_LIMIT, asked).await;
        answered.map_err(|_| RegistryError::Silent("the begin of a blob"))?
    }

    /// Gives the client a token for the image, if the registry wants one.
    async fn let_in(&self, image: &Reference) -> Result<RegistryAuth, RegistryError> {
        let who = match &self.who {
            Who::Known(who) => who.clone(),
            Who::Identity(identity) => RegistryAuth::Bearer(identity.access().await?),
        };
        let client = &self.client;
        client.auth(image, &who, RegistryOperation::Pull).await?;
        Ok(who)
    }

    fn reference(&self, reference: &str) -> Reference {
        let (host, repository) = (self.host.clone(), self.repository.clone());
        let reference = reference.to_owned();
        match reference.contains(':') {
            true => Reference::with_digest(host, repository, reference),
            false => Reference::with_tag(host, repository, reference),
        }
    }
}
