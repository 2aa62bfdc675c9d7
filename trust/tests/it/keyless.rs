//! Keyless signatures, by an authority and logs of openssl.

use std::fs;
use std::path::Path;

use bulkhead_tests::cosign::SigningKey;
use bulkhead_tests::sigstore::{Authority, NOON, Request, Signer, bundle, entry};
use bulkhead_trust::{
    Authorities, CosignKey, CosignSignature, CosignSigners, Identity, Keyless, Subject,
    check_cosign,
};
use serde_json::json;

const DIGEST: &str = "sha256:3b0c";
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"quay.io/a/b"},"image":{"docker-manifest-digest":"sha256:3b0c"},"type":"cosign container image signature"},"optional":null}"#;

const ISSUER: &str = "https://token.example.com";
const SUBJECT: &str = "https://host.example.com/team/app/build.yml@refs/heads/main";

/// An authority, logs, and somebody who has signed.
struct Bench {
    authority: Authority,
    log: SigningKey,
    signer: Signer,
    trusted: Keyless,
    beside: Beside,
}

/// What lies beside an image.
#[derive(Clone)]
struct Beside {
    signature: String,
    certificate: Option<String>,
    chain: Option<String>,
    bundle: Option<String>,
}

fn request() -> Request {
    Request::of(&format!("URI:{SUBJECT}"), ISSUER)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn key(key: &SigningKey) -> CosignKey {
    CosignKey::parse(&text(&key.public())).unwrap()
}

fn identity(issuer: &str, subject: Subject) -> Identity {
    let issuer = issuer.to_owned();
    Identity { issuer, subject }
}

impl Bench {
    fn new() -> Self {
        Self::with(Authority::new().unwrap(), &request())
    }

    fn with(authority: Authority, request: &Request) -> Self {
        let signer = authority.certifies(request).unwrap();
        Self::signed(authority, signer)
    }

    fn signed(authority: Authority, signer: Signer) -> Self {
        let log = SigningKey::new().unwrap();
        let trusted = Keyless {
            authorities: Authorities::parse(&text(&authority.root())).unwrap(),
            log: key(&log),
            timestamps: None,
            identities: vec![identity(ISSUER, Subject::Is(SUBJECT.to_owned()))],
        };
        let signature = signer.key.sign(PAYLOAD).unwrap();
        let mut bench = Self {
            beside: Beside {
                signature,
                certificate: Some(signer.certificate.clone()),
                chain: Some(text(&authority.chain())),
                bundle: None,
            },
            authority,
            log,
            signer,
            trusted,
        };
        bench.beside.bundle = Some(bench.bundle(NOON));
        bench
    }

    /// Of the signature, that the log has seen at a time.
    fn bundle(&self, seconds: u64) -> String {
        let certificate = &self.signer.certificate;
        let entry = entry(PAYLOAD, &self.beside.signature, certificate);
        bundle(&self.log, &entry, seconds).unwrap().to_string()
    }

    /// Nothing where it counts, else why not.
    fn why_not(&self, beside: &Beside) -> String {
        why_not(&self.trusted, beside)
    }
}

fn why_not(trusted: &Keyless, beside: &Beside) -> String {
    let signature = CosignSignature {
        signature: &beside.signature,
        certificate: beside.certificate.as_deref(),
        chain: beside.chain.as_deref(),
        bundle: beside.bundle.as_deref(),
    };
    let signers = CosignSigners::Keyless(Box::new(trusted.clone()));
    match check_cosign(PAYLOAD.as_bytes(), &signature, DIGEST, &signers) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_signature_counts_that_log_authority_and_identity_vouch_for() {
    let bench = Bench::new();
    assert_eq!(bench.why_not(&bench.beside), "");

    let mut trusted = bench.trusted.clone();
    let beginning = Subject::BeginsWith("https://host.example.com/team/".to_owned());
    trusted
        .identities
        .insert(0, identity("https://other", beginning.clone()));
    trusted.identities[1] = identity(ISSUER, beginning);
    assert_eq!(why_not(&trusted, &bench.beside), "");

    // What a root has made can be trusted itself.
    trusted.authorities = Authorities::parse(&text(&bench.authority.chain())).unwrap();
    let mut alone = bench.beside.clone();
    alone.chain = None;
    assert_eq!(why_not(&trusted, &alone), "");
}

#[test]
fn an_authority_may_be_on_p_256() {
    let bench = Bench::with(Authority::small().unwrap(), &request());
    assert_eq!(bench.why_not(&bench.beside), "");
}

#[test]
fn an_e_mail_address_and_an_issuer_of_old_are_read() {
    let mut request = Request::of("email:somebody@example.com", ISSUER);
    let kept = request.extensions.lines();
    let kept = kept.filter(|line| !line.starts_with("1.3.6.1.4.1.57264.1.8="));
    request.extensions = kept.collect::<Vec<_>>().join("\n");
    let mut bench = Bench::with(Authority::new().unwrap(), &request);
    bench.trusted.identities[0].subject = Subject::Is("somebody@example.com".to_owned());
    assert_eq!(bench.why_not(&bench.beside), "");
}

#[test]
fn another_authority_another_log_and_another_identity_do_not_count() {
    let bench = Bench::new();
    let changed = |change: &dyn Fn(&mut Keyless)| {
        let mut trusted = bench.trusted.clone();
        change(&mut trusted);
        why_not(&trusted, &bench.beside)
    };
    let other = Authority::new().unwrap();
    let other = Authorities::parse(&text(&other.root())).unwrap();
    assert_eq!(
        changed(&|trusted| trusted.authorities = other.clone()),
        "no authority that is given, and was good then, vouches for its certificate"
    );
    let log = key(&SigningKey::new().unwrap());
    assert_eq!(
        changed(&|trusted| trusted.log = log.clone()),
        "its entry is of another log"
    );
    let stranger =
        format!("it is of none of the trusted identities, but of [{SUBJECT:?}] by \"{ISSUER}\"");
    for one in [
        identity(ISSUER, Subject::Is(format!("{SUBJECT}2"))),
        identity("https://token.example.co", Subject::Is(SUBJECT.to_owned())),
        identity(
            ISSUER,
            Subject::BeginsWith("https://host.example.com/teams/".to_owned()),
        ),
    ] {
        assert_eq!(
            changed(&|trusted| trusted.identities = vec![one.clone()]),
            stranger
        );
    }
}

#[test]
fn what_was_not_good_when_the_log_saw_it_does_not_count() {
    let bench = Bench::new();
    for seconds in [NOON + 301, NOON - 301] {
        let mut beside = bench.beside.clone();
        beside.bundle = Some(bench.bundle(seconds));
        assert_eq!(
            bench.why_not(&beside),
            format!(
                "its certificate or chain was not good when the log saw it, {seconds} seconds after 1970"
            )
        );
    }
    let gone = Authority::good(("20240101000000Z", "20240601115959Z")).unwrap();
    let bench = Bench::with(gone, &request());
    assert_eq!(
        bench.why_not(&bench.beside),
        "no authority that is given, and was good then, vouches for its certificate"
    );
}

#[test]
fn an_entry_that_was_changed_or_is_of_something_else_does_not_count() {
    let bench = Bench::new();
    let with = |bundle: &serde_json::Value| {
        let mut beside = bench.beside.clone();
        beside.bundle = Some(bundle.to_string());
        bench.why_not(&beside)
    };
    let (signature, certificate) = (&bench.beside.signature, &bench.signer.certificate);
    let good = entry(PAYLOAD, signature, certificate);
    let seen = bundle(&bench.log, &good, NOON).unwrap();
    assert_eq!(with(&seen), "");

    let unsigned = "the log's key has not signed its entry";
    for (field, value) in [
        ("body", json!("e30=")),
        ("integratedTime", json!(NOON + 1)),
        ("logIndex", json!(1)),
    ] {
        let mut changed = seen.clone();
        changed["Payload"][field] = value;
        assert_eq!(with(&changed), unsigned, "{field}");
    }
    let mut changed = seen.clone();
    changed["SignedEntryTimestamp"] = json!(bench.signer.key.sign("another").unwrap());
    assert_eq!(with(&changed), unsigned);
    let no_json = "its entry of a log is no JSON as cosign writes it";
    assert_eq!(with(&json!({"Payload": seen["Payload"]})), no_json);

    let other = bench.authority.certifies(&request()).unwrap();
    for (entry, what) in [
        (entry("other", signature, certificate), "payload"),
        (entry(PAYLOAD, "MEUC", certificate), "signature"),
        (entry(PAYLOAD, signature, &other.certificate), "certificate"),
        (
            entry(PAYLOAD, signature, &text(&bench.signer.key.public())),
            "certificate",
        ),
    ] {
        let seen = bundle(&bench.log, &entry, NOON).unwrap();
        assert_eq!(
            with(&seen),
            format!("its entry of the log is of another {what}")
        );
    }
    let mut kind = good;
    kind["kind"] = json!("rekord");
    assert_eq!(
        with(&bundle(&bench.log, &kind, NOON).unwrap()),
        "its entry of the log is no hashedrekord of version 0.0.1"
    );
}

#[test]
fn a_signature_of_another_key_than_the_certificate_s_does_not_count() {
    let mut bench = Bench::new();
    bench.beside.signature = SigningKey::new().unwrap().sign(PAYLOAD).unwrap();
    bench.beside.bundle = Some(bench.bundle(NOON));
    let stranger = "the key of its certificate has not signed it, or is none of P-256";
    assert_eq!(bench.why_not(&bench.beside), stranger);

    let mut request = request();
    request.curve = "secp384r1";
    let bench = Bench::with(Authority::new().unwrap(), &request);
    assert_eq!(bench.why_not(&bench.beside), stranger);
}

#[test]
fn what_is_missing_or_larger_than_it_ever_is_is_said() {
    let bench = Bench::new();
    let with = |change: &dyn Fn(&mut Beside)| {
        let mut beside = bench.beside.clone();
        change(&mut beside);
        bench.why_not(&beside)
    };
    assert_eq!(
        with(&|beside| beside.bundle = None),
        "it has no entry of a log"
    );
    assert_eq!(
        with(&|beside| beside.certificate = None),
        "it has no certificate"
    );
    assert_eq!(
        with(&|beside| beside.chain = None),
        "no authority that is given, and was good then, vouches for its certificate"
    );
    let text = |bytes: usize| Some(" ".repeat(bytes));
    assert_eq!(
        with(&|beside| beside.bundle = text((64 << 10) + 1)),
        "its entry of a log has more than 65536 bytes"
    );
    assert_eq!(
        with(&|beside| beside.certificate = text((16 << 10) + 1)),
        "its certificate has more than 16384 bytes"
    );
    assert_eq!(
        with(&|beside| beside.chain = text((64 << 10) + 1)),
        "its chain has more than 65536 bytes"
    );
    let chain = bench.beside.chain.clone().unwrap();
    assert_eq!(with(&|beside| beside.chain = Some(chain.repeat(8))), "");
    assert_eq!(
        with(&|beside| beside.chain = Some(chain.repeat(9))),
        "its chain has more than 8 certificates"
    );
    assert_eq!(
        with(&|beside| beside.certificate = Some("none".to_owned())),
        "its certificate is none in PEM"
    );
}

#[test]
fn a_certificate_for_something_else_does_not_count() {
    let without = |line: &str, more: &str| {
        let mut request = request();
        let kept = request.extensions.lines();
        let kept = kept.filter(|one| !one.starts_with(line));
        request.extensions = kept.collect::<Vec<_>>().join("\n") + "\n" + more;
        let bench = Bench::with(Authority::new().unwrap(), &request);
        bench.why_not(&bench.beside)
    };
    let usage = "its certificate is not for signing of code";
    assert_eq!(without("keyUsage", "keyUsage=critical,keyAgreement"), usage);
    assert_eq!(without("keyUsage", ""), usage);
    assert_eq!(without("extendedKeyUsage", ""), usage);
    let does_not = "its certificate or chain does not count";
    assert_eq!(
        without("extendedKeyUsage", "extendedKeyUsage=serverAuth"),
        does_not
    );
    assert_eq!(
        without("none", "basicConstraints=critical,CA:TRUE"),
        does_not
    );
    assert_eq!(
        without("1.3.6.1.4.1.57264.1", ""),
        "its certificate names no issuer of the identity"
    );
}

#[test]
fn a_log_of_certificates_must_have_seen_it_where_its_key_is_given() {
    let mut bench = Bench::new();
    let log = SigningKey::new().unwrap();
    bench.trusted.timestamps = Some(key(&log));
    assert_eq!(
        bench.why_not(&bench.beside),
        "its certificate has no timestamps of a log of certificates"
    );
    let authority = Authority::new().unwrap();
    let signer = authority
        .certifies_seen(&request(), &request(), &log)
        .unwrap();
    let mut bench = Bench::signed(authority, signer);
    assert_eq!(bench.why_not(&bench.beside), "");
    bench.trusted.timestamps = Some(key(&log));
    assert_eq!(bench.why_not(&bench.beside), "");
    bench.trusted.timestamps = Some(key(&SigningKey::new().unwrap()));
    let stranger = "the key of the log of certificates has signed no timestamp of its certificate";
    assert_eq!(bench.why_not(&bench.beside), stranger);

    let mut other = request();
    other.good.1 = "20240601120501Z";
    let authority = Authority::new().unwrap();
    let signer = authority.certifies_seen(&other, &request(), &log).unwrap();
    let mut bench = Bench::signed(authority, signer);
    bench.trusted.timestamps = Some(key(&log));
    assert_eq!(bench.why_not(&bench.beside), stranger);

    // A list that is cut off, one of a timestamp that is, and an empty one.
    for (list, why) in [
        (
            "0005aa",
            "its certificate has no timestamps of a log of certificates",
        ),
        ("0003000100", stranger),
        ("0000", stranger),
    ] {
        let mut request = request();
        let name = "1.3.6.1.4.1.11129.2.4.2=ASN1:FORMAT:HEX,OCTETSTRING";
        request.extensions.push_str(&format!("{name}:{list}\n"));
        let mut bench = Bench::with(Authority::new().unwrap(), &request);
        bench.trusted.timestamps = Some(key(&log));
        assert_eq!(bench.why_not(&bench.beside), why, "{list}");
    }
}

#[test]
fn who_is_no_authority_is_not_taken_for_one() {
    let bench = Bench::new();
    let why = |pem: &str| Authorities::parse(pem).unwrap_err().to_string();
    assert_eq!(why(""), "there is no certificate in PEM");
    let (root, leaf) = (text(&bench.authority.root()), &bench.signer.certificate);
    assert_eq!(
        why(&format!("{root}{leaf}")),
        "certificate 2 is of no authority"
    );
    assert_eq!(
        why("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "certificate 1 cannot be read"
    );
    assert_eq!(why(&root.repeat(65)), "there are more than 64 certificates");
}
