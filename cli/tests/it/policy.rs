//! Which images of registries are taken: by their names, and by signatures as cosign makes them.

use std::fs;
use std::path::Path;
use std::process::Output;

use bulkhead_tests::cosign::SigningKey;
use bulkhead_tests::registry::Registry;
use bulkhead_tests::sigstore::{Authority, NOON, Request, bundle, entry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fetch::{refuses, succeeds, write_layout};
use crate::fixture::Fixture;

const ISSUER: &str = "https://token.example.com";
const SUBJECT: &str = "https://host.example.com/team/app/build.yml@refs/heads/main";

/// A registry with an image, and keys to sign it with.
struct Bench {
    registry: Registry,
    fixture: Fixture,
    image: String,
    digest: String,
    ours: SigningKey,
    theirs: SigningKey,
}

impl Bench {
    fn new() -> Self {
        let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
        let layout = registry.directory().join("layout");
        write_layout(&layout, &[("bin/app", b"program")]);
        let image = registry.push(&layout, "team/app:v1").unwrap();
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let key = || SigningKey::new().unwrap();
        Self {
            registry,
            fixture,
            image,
            digest,
            ours: key(),
            theirs: key(),
        }
    }

    /// As `cosign sign --key` leaves it.
    fn sign(&self, key: &SigningKey, digest: &str) {
        let payload = payload(digest);
        let signature = key.sign(&payload).unwrap();
        let annotations = json!({"dev.cosignproject.cosign/signature": signature});
        self.push(&payload, &annotations);
    }

    /// As `cosign sign` leaves it, of somebody whom the authority knows, and that the log has seen.
    fn sign_keyless(&self, authority: &Authority, log: &SigningKey) {
        let signer = Request::of(&format!("URI:{SUBJECT}"), ISSUER);
        let signer = authority.certifies(&signer).unwrap();
        let payload = payload(&self.digest);
        let signature = signer.key.sign(&payload).unwrap();
        let entry = entry(&payload, &signature, &signer.certificate);
        let bundle = bundle(log, &entry, NOON).unwrap();
        let annotations = json!({
            "dev.cosignproject.cosign/signature": signature,
            "dev.sigstore.cosign/certificate": signer.certificate,
            "dev.sigstore.cosign/chain": fs::read_to_string(authority.chain()).unwrap(),
            "dev.sigstore.cosign/bundle": bundle.to_string()});
        self.push(&payload, &annotations);
    }

    fn push(&self, payload: &str, annotations: &Value) {
        let layout = self.registry.directory().join("signed");
        let _ = fs::remove_dir_all(&layout);
        write_signature(&layout, payload, annotations);
        let tag = self.digest.replace(':', "-");
        self.registry
            .push(&layout, &format!("team/app:{tag}.sig"))
            .unwrap();
    }

    fn policy(&self, prefix: &str, fields: &Value) {
        let mut fields = fields.clone();
        fields["prefixes"] = json!([prefix]);
        self.fixture
            .configure("local/policy.d/policy.json", &fields);
    }

    fn fetch(&self, more: &[&str]) -> Output {
        let mut command = self.fixture.configured_command();
        command.arg("fetch").args(more).arg(&self.image);
        command.output().unwrap()
    }
}

fn payload(digest: &str) -> String {
    let payload = json!({"critical": {
        "identity": {"docker-reference": "127.0.0.1/team/app"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"}, "optional": null});
    payload.to_string()
}

/// The manifest of a signature: what was signed is its only layer.
fn write_signature(layout: &Path, payload: &str, annotations: &Value) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let add = |media_type: &str, bytes: &str| {
        let digest = Sha256::digest(bytes.as_bytes());
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    };
    let config = json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = add(
        "application/vnd.oci.image.config.v1+json",
        &config.to_string(),
    );
    let mut layer = add("application/vnd.dev.cosign.simplesigning.v1+json", payload);
    layer["annotations"] = annotations.clone();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let manifest = add(kind, &manifest.to_string());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(layout.join("oci-layout"), version).unwrap();
}

#[test]
fn a_rejected_image_is_not_taken_whether_it_is_there_or_not() {
    let bench = Bench::new();
    let host = bench.registry.host().to_owned();
    succeeds(&bench.fetch(&[]));
    bench.policy(&host, &json!({"policy": "reject"}));
    for policy in ["--pull-policy=new", "--pull-policy=update"] {
        refuses(&bench.fetch(&[policy]), "the policy rejects it");
    }
    let warned = bench.fetch(&["--insecure-options=image"]);
    succeeds(&warned);
    assert!(String::from_utf8_lossy(&warned.stderr).contains("the policy for it is left out"));
    bench.policy(&format!("{host}/tea"), &json!({"policy": "reject"}));
    succeeds(&bench.fetch(&[]));
}

#[test]
fn an_image_that_must_be_signed_is_taken_with_a_signature_of_a_trusted_key_alone() {
    let bench = Bench::new();
    let key = bench.ours.public();
    bench.policy("", &json!({"policy": "signed", "keys": [key]}));
    refuses(
        &bench.fetch(&[]),
        "the policy wants it signed, and the registry gives no sha256-",
    );
    bench.sign(&bench.theirs, &bench.digest);
    refuses(&bench.fetch(&[]), "it is of none of the trusted keys");
    bench.sign(&bench.ours, "sha256:00");
    refuses(&bench.fetch(&[]), "what was signed is another image");
    bench.sign(&bench.ours, &bench.digest);
    succeeds(&bench.fetch(&[]));
}

#[test]
fn a_key_that_cannot_be_read_lets_nothing_in() {
    let bench = Bench::new();
    bench.policy("", &json!({"policy": "signed", "keys": ["/nowhere/key"]}));
    refuses(
        &bench.fetch(&[]),
        "the key /nowhere/key of the image policy",
    );
    let key = bench.ours.private();
    bench.policy("", &json!({"policy": "signed", "keys": [key]}));
    refuses(&bench.fetch(&[]), "it is no public key of P-256 in PEM");
}

#[test]
fn an_image_is_taken_that_somebody_known_to_the_authority_has_signed_without_a_key() {
    let bench = Bench::new();
    let (authority, log) = (Authority::new().unwrap(), &bench.theirs);
    let keyless = |subject: &Value| {
        let mut identity = subject.clone();
        identity["issuer"] = json!(ISSUER);
        let keyless =
            json!({"roots": authority.root(), "logKey": log.public(), "identities": [identity]});
        bench.policy("", &json!({"policy": "signed", "keyless": keyless}));
    };
    keyless(&json!({"subject": SUBJECT}));
    bench.sign(&bench.ours, &bench.digest);
    refuses(&bench.fetch(&[]), "it has no entry of a log");
    bench.sign_keyless(&authority, log);
    keyless(&json!({"subjectPrefix": "https://host.example.com/others/"}));
    refuses(
        &bench.fetch(&[]),
        "it is of none of the trusted identities, but of",
    );
    keyless(&json!({"subjectPrefix": "https://host.example.com/team/"}));
    succeeds(&bench.fetch(&[]));
}

#[test]
fn a_policy_of_keyless_signatures_that_cannot_be_read_lets_nothing_in() {
    let bench = Bench::new();
    let authority = Authority::new().unwrap();
    bench.sign_keyless(&authority, &bench.theirs);
    let policy = |keyless: &Value| {
        let mut keyless = keyless.clone();
        keyless["identities"] = json!([{"issuer": ISSUER, "subject": SUBJECT}]);
        bench.policy("", &json!({"policy": "signed", "keyless": keyless}));
    };
    let key = bench.theirs.public();
    policy(&json!({"roots": key, "logKey": key}));
    refuses(&bench.fetch(&[]), "there is no certificate in PEM");
    policy(&json!({"roots": authority.root(), "logKey": "/nowhere/key"}));
    refuses(
        &bench.fetch(&[]),
        "the key /nowhere/key of the image policy",
    );
    policy(&json!({"roots": authority.root(), "logKey": key, "ctKey": key}));
    let no_timestamps = "its certificate has no timestamps of a log of certificates";
    refuses(&bench.fetch(&[]), no_timestamps);
    policy(&json!({"roots": authority.root(), "logKey": key, "ctkey": key}));
    refuses(&bench.fetch(&[]), "unknown field `ctkey`");
}
