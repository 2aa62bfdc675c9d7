//! Which signatures are taken of a key that is trusted.

use std::fs;

use bulkhead_trust::{PublicKey, Signature};

use crate::gpg::Gpg;
use crate::{Bench, DATA, NAME, refuses};

fn trusted(gpg: &Gpg, bench: &Bench, kind: &str) -> String {
    let fingerprint = gpg.make_key("Jane <jane@example.com>", kind, "never");
    bench.put("local/root.d", &fingerprint, &gpg.export(&fingerprint));
    fingerprint
}

#[test]
fn keys_of_all_usual_kinds_vouch_for_what_they_sign() {
    for kind in ["ed25519", "rsa2048", "rsa4096", "nistp256", "dsa2048"] {
        let (gpg, bench) = (Gpg::new(), Bench::new());
        let key = trusted(&gpg, &bench, kind);
        let signature = gpg.sign(&key, &bench.path("image"), &[]);
        let signer = bench.verify(&signature).unwrap();
        assert_eq!(signer.fingerprint(), key, "{kind}");
        assert_eq!(signer.identities(), ["Jane <jane@example.com>"]);
    }
}

#[test]
fn a_signature_without_armor_is_taken_too() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let signature = gpg.sign(&key, &bench.path("image"), &["--no-armor"]);
    bench.verify(&signature).unwrap();
}

#[test]
fn a_signature_of_other_data_is_refused() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let signature = gpg.sign(&key, &bench.path("image"), &[]);
    for data in [&b"what is in an imagE"[..], b"", &[DATA, b"\n"].concat()] {
        refuses(&bench.verify_as(NAME, data, &signature), "of other data");
    }
}

#[test]
fn a_key_that_nobody_trusts_is_named() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let other = gpg.make_key("Eve", "ed25519", "never");
    let signature = gpg.sign(&other, &bench.path("image"), &[]);
    let verified = bench.verify(&signature);
    refuses(&verified, &format!("is signed by key {}", &other[24..]));
    refuses(&verified, &format!("trusted for it is key {key} alone"));
}

#[test]
fn one_good_signature_of_several_is_enough() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let other = gpg.make_key("Eve", "ed25519", "never");
    let signature = gpg.sign(&other, &bench.path("image"), &["--local-user", &key]);
    assert_eq!(bench.verify(&signature).unwrap().fingerprint(), key);
}

#[test]
fn a_signature_that_has_expired_is_refused() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    gpg.run(&[
        "--faked-system-time",
        "20200101T000000",
        "--quick-gen-key",
        "Old",
        "ed25519",
        "sign",
        "never",
    ]);
    let key = gpg.fingerprint("Old");
    bench.put("local/root.d", &key, &gpg.export(&key));
    let flags = [
        "--faked-system-time",
        "20200102T000000",
        "--default-sig-expire=1d",
    ];
    let signature = gpg.sign(&key, &bench.path("image"), &flags);
    refuses(&bench.verify(&signature), "the signature has expired");
    let signature = gpg.sign(&key, &bench.path("image"), &flags[..2]);
    bench.verify(&signature).unwrap();
}

#[test]
fn a_signature_of_the_future_is_refused() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let flags = ["--faked-system-time", "20990101T000000"];
    let signature = gpg.sign(&key, &bench.path("image"), &flags);
    refuses(&bench.verify(&signature), "made in the future");
}

#[test]
fn a_digest_that_can_be_forged_is_refused() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "rsa2048");
    let flags = ["--digest-algo=SHA1", "--allow-weak-digest-algos"];
    let signature = gpg.sign(&key, &bench.path("image"), &flags);
    refuses(&bench.verify(&signature), "can be forged");
}

#[test]
fn a_signature_of_text_is_refused() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let signature = gpg.sign(&key, &bench.path("image"), &["--textmode"]);
    refuses(&bench.verify(&signature), "not one of a file");
}

#[test]
fn a_key_that_has_expired_vouches_for_nothing() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let then = ["--faked-system-time", "20200101T000000"];
    gpg.run(
        &[
            &then[..],
            &["--quick-gen-key", "Old", "ed25519", "sign", "1d"],
        ]
        .concat(),
    );
    let key = gpg.fingerprint("Old");
    bench.put("local/root.d", &key, &gpg.export(&key));
    let signature = gpg.sign(&key, &bench.path("image"), &then);
    refuses(&bench.verify(&signature), "the key has expired");
}

#[test]
fn a_key_that_is_revoked_vouches_for_nothing() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let signature = gpg.sign(&key, &bench.path("image"), &[]);
    bench.verify(&signature).unwrap();
    gpg.revoke(&key);
    bench.put("local/root.d", &key, &gpg.export(&key));
    refuses(&bench.verify(&signature), "the key is revoked");
}

#[test]
fn a_subkey_signs_for_its_key() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = gpg.make_key("Jane", "ed25519", "never");
    gpg.run(&["--quick-add-key", &key, "rsa2048", "sign", "never"]);
    gpg.run(&["--quick-add-key", &key, "rsa2048", "encr", "never"]);
    bench.put("local/root.d", &key, &gpg.export(&key));
    let keys = PublicKey::read(&gpg.export(&key)).unwrap();
    let subkeys = keys[0].subkey_fingerprints();
    assert_eq!(subkeys.len(), 2);
    let signature = gpg.sign(&subkeys[0], &bench.path("image"), &[]);
    assert_eq!(bench.verify(&signature).unwrap().fingerprint(), key);
    refuses(
        &bench.verify_as(NAME, b"other", &signature),
        "of other data",
    );
}

#[test]
fn garbage_is_no_signature() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let signature = fs::read(gpg.sign(&key, &bench.path("image"), &[])).unwrap();
    let text = String::from_utf8(signature.clone()).unwrap();
    let long = text.replace("\n\n", &format!("\n\n{}", "A".repeat(64 << 10)));
    let exported = gpg.export(&key);
    for bytes in [
        b"",
        &b"garbage"[..],
        &[0xc2, 0xff],
        &signature[..60],
        long.as_bytes(),
        &exported,
    ] {
        let read = Signature::read(bytes);
        assert!(
            read.is_err(),
            "{:?}: {read:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
        );
    }
}

#[test]
fn a_damaged_signature_is_refused_wherever_it_is_damaged() {
    let (gpg, bench) = (Gpg::new(), Bench::new());
    let key = trusted(&gpg, &bench, "ed25519");
    let path = gpg.sign(&key, &bench.path("image"), &["--no-armor"]);
    let good = fs::read(&path).unwrap();
    let (name, store) = (NAME.parse().unwrap(), bench.store());
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        let Ok(signature) = Signature::read(&bytes) else {
            continue;
        };
        let verified = store.verify(&name, || DATA, &signature);
        // Ids of the issuer may be said twice, and one of them is not signed: what counts is who signed.
        if let Ok(signer) = verified {
            assert_eq!(signer.fingerprint(), key);
        }
    }
}
