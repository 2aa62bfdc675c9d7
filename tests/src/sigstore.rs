//! Certificates, logs and keyless signatures as sigstore has them, by openssl.
//!
//! Everything is of one day: certificates of signers are good from 11:55 to 12:05 on 2024-06-01, those of authorities that year, and the log
//! sees signatures at noon.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::cosign::{SigningKey, openssl};

/// When the log sees signatures, in seconds since 1970.
pub const NOON: u64 = 1_717_243_200;

/// What makes certificates of requests: `openssl ca`, which takes times to the second.
const CONFIGURATION: &str = "
[ca]
default_ca = it
[it]
database = index
new_certs_dir = .
serial = serial
default_md = default
policy = any
[any]
organizationName = optional
commonName = optional
[req]
distinguished_name = none
[none]
";

/// When authorities are good.
const YEAR: (&str, &str) = ("20240101000000Z", "20241231000000Z");

const OF_AUTHORITY: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct Request {
    /// What its key is on, as openssl calls it.
    pub curve: &'static str,
    /// As openssl reads them.
    pub extensions: String,
    /// Its first and its last second, as openssl reads them.
    pub good: (&'static str, &'static str),
}

impl Request {
    /// As Fulcio takes it of somebody (`URI:…` or `email:…`), by an issuer's word.
    #[must_use]
    pub fn of(subject: &str, issuer: &str) -> Self {
        let extensions = format!(
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n\
             subjectAltName=critical,{subject}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n\
             1.3.6.1.4.1.57264.1.1=DER:{}\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{issuer}\n",
            hex(issuer.as_bytes())
        );
        let good = ("20240601115500Z", "20240601120500Z");
        Self {
            curve: "prime256v1",
            extensions,
            good,
        }
    }
}

/// Who makes certificates: a root, and what signs for it, both on P-384 as Fulcio's are. Gone with its owner.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    root: SigningKey,
    intermediate: SigningKey,
    digest: &'static str,
}

/// Somebody with a certificate.
#[derive(Debug)]
pub struct Signer {
    /// The certificate's.
    pub key: SigningKey,
    /// In PEM.
    pub certificate: String,
}

impl Authority {
    /// A new one, good in 2024.
    ///
    /// # Errors
    /// When openssl fails, with its words.
    pub fn new() -> Result<Self> {
        Self::make("secp384r1", "sha384", YEAR)
    }

    /// A new one on P-256, good in 2024.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn small() -> Result<Self> {
        Self::make("prime256v1", "sha256", YEAR)
    }

    /// A new one whose root is good from the first second to the last one.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn good(good: (&'static str, &'static str)) -> Result<Self> {
        Self::make("secp384r1", "sha384", good)
    }

    fn make(
        curve: &'static str,
        digest: &'static str,
        good: (&'static str, &'static str),
    ) -> Result<Self> {
        let made = Self {
            directory: TempDir::new().context("make a directory for an authority")?,
            root: SigningKey::on(curve)?,
            intermediate: SigningKey::on(curve)?,
            digest,
        };
        made.write("configuration", CONFIGURATION)?;
        let mut request = Request {
            curve,
            extensions: OF_AUTHORITY.to_owned(),
            good,
        };
        let (root, key) = (&made.root, &made.intermediate);
        let itself = ["-selfsign", "-out", "root"];
        made.certify(root, root, "/CN=root", &request, &itself)?;
        request.good = YEAR;
        let by_root = ["-cert", "root", "-out", "chain"];
        made.certify(root, key, "/CN=intermediate", &request, &by_root)?;
        Ok(made)
    }

    /// The file of the root's certificate.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// The file of the certificate of what signs for the root: the chain of whom it certifies.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.directory.path().join("chain")
    }

    /// A key, and a certificate of it.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn certifies(&self, request: &Request) -> Result<Signer> {
        let key = SigningKey::on(request.curve)?;
        let certificate = self.leaf(&key, request)?;
        Ok(Signer { key, certificate })
    }

    /// A key, and a certificate of it with a log's word that it has seen it before; what the log has really seen is asked for by `seen`.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn certifies_seen(
        &self,
        seen: &Request,
        request: &Request,
        log: &SigningKey,
    ) -> Result<Signer> {
        let key = SigningKey::on(request.curve)?;
        self.leaf(&key, seen)?;
        let timestamp = timestamp(log, &self.intermediate.id()?, &self.signed_part()?)?;
        let mut request = request.clone();
        let name = "1.3.6.1.4.1.11129.2.4.2=ASN1:FORMAT:HEX,OCTETSTRING";
        let extension = format!("{name}:{}\n", hex(&timestamp));
        request.extensions.push_str(&extension);
        let certificate = self.leaf(&key, &request)?;
        Ok(Signer { key, certificate })
    }

    /// What the authority has signed of the last certificate. It begins behind a tag and a length of two bytes.
    fn signed_part(&self) -> Result<Vec<u8>> {
        let directory = self.directory.path();
        let der = ["x509", "-in", "leaf", "-outform", "DER", "-out", "der"];
        openssl(directory, &der)?;
        let read = ["asn1parse", "-inform", "DER", "-in", "der", "-noout"];
        let cut = [&read[..], &["-strparse", "4", "-out", "signed"]].concat();
        openssl(directory, &cut)?;
        fs::read(directory.join("signed")).context("read a certificate")
    }

    fn leaf(&self, key: &SigningKey, request: &Request) -> Result<String> {
        let by = ["-cert", "chain", "-out", "leaf"];
        self.certify(&self.intermediate, key, "/", request, &by)?;
        fs::read_to_string(self.directory.path().join("leaf")).context("read a certificate")
    }

    fn certify(
        &self,
        by: &SigningKey,
        key: &SigningKey,
        subject: &str,
        request: &Request,
        how: &[&str],
    ) -> Result<()> {
        // The same number for all, so that a certificate can be made twice.
        self.write("serial", "1000\n")?;
        self.write("index", "")?;
        self.write("extensions", &request.extensions)?;
        let (key, by) = (key.private(), by.private());
        let (key, by) = (&*key.to_string_lossy(), &*by.to_string_lossy());
        let ask = ["req", "-new", "-config", "configuration", "-out", "request"];
        let ask = [&ask[..], &["-key", key, "-subj", subject]].concat();
        openssl(self.directory.path(), &ask)?;
        let make = ["ca", "-batch", "-notext", "-preserveDN", "-in", "request"];
        let config = ["-config", "configuration", "-extfile", "extensions"];
        let (from, until) = request.good;
        let good = ["-startdate", from, "-enddate", until];
        let rest = ["-keyfile", by, "-md", self.digest];
        let words = [&make[..], &config, &good, &rest, how].concat();
        openssl(self.directory.path(), &words)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        fs::write(self.directory.path().join(name), content).context("write for openssl")
    }
}

/// What a log of certificates says of one before it is made: RFC 6962, 3.2 and 3.3, a list of one.
fn timestamp(log: &SigningKey, issuer: &[u8; 32], before: &[u8]) -> Result<Vec<u8>> {
    let time = (NOON * 1000).to_be_bytes();
    let length = u32::try_from(before.len())?.to_be_bytes();
    let signed = [
        &[0, 0][..],
        &time,
        &[0, 1],
        issuer,
        &length[1..],
        before,
        &[0, 0],
    ];
    let signature = log.sign_bytes(&signed.concat())?;
    let one = [&[0][..], &log.id()?, &time, &[0, 0, 4, 3]].concat();
    let one = [one, prefixed(&signature)?].concat();
    prefixed(&prefixed(&one)?)
}

fn prefixed(bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(bytes.len())?.to_be_bytes();
    Ok([&length[..], bytes].concat())
}

/// What the log has of a signature, by a certificate.
#[must_use]
pub fn entry(payload: &str, signature: &str, certificate: &str) -> Value {
    let hash = hex(&Sha256::digest(payload));
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": hash}},
        "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(certificate)}}}})
}

/// What cosign keeps of an entry that the log has seen at a time: the log's promise to have it.
///
/// # Errors
/// When openssl fails, with its words.
pub fn bundle(log: &SigningKey, entry: &Value, seconds: u64) -> Result<Value> {
    let body = STANDARD.encode(entry.to_string());
    let id = hex(&log.id()?);
    let promise = format!(
        r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{id}","logIndex":25579}}"#
    );
    let signature = log.sign(&promise)?;
    let payload: Value = serde_json::from_str(&promise)?;
    Ok(json!({"SignedEntryTimestamp": signature, "Payload": payload}))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
