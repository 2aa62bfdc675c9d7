//! Whom the directories say to trust, for what.

use std::fs;
use std::path::PathBuf;

use bulkhead_trust::{MAX_KEYS, PublicKey};

use crate::gpg::Gpg;
use crate::{Bench, DATA, refuses};

/// A key, and what it has signed.
struct Signed {
    gpg: Gpg,
    bench: Bench,
    key: String,
    signature: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let (gpg, bench) = (Gpg::new(), Bench::new());
        let key = gpg.make_key("Jane", "ed25519", "never");
        let signature = gpg.sign(&key, &bench.path("image"), &[]);
        Self {
            gpg,
            bench,
            key,
            signature,
        }
    }

    fn trust(&self, directory: &str) {
        self.bench
            .put(directory, &self.key, &self.gpg.export(&self.key));
    }

    fn distrust(&self, directory: &str) {
        self.bench.put(directory, &self.key, b"");
    }

    fn is_trusted_for(&self, name: &str) -> bool {
        self.bench.verify_as(name, DATA, &self.signature).is_ok()
    }
}

#[test]
fn a_key_of_the_root_is_trusted_for_all_images() {
    for directory in ["system/root.d", "local/root.d"] {
        let signed = Signed::new();
        assert!(!signed.is_trusted_for("example.com/app"));
        signed.trust(directory);
        assert!(signed.is_trusted_for("example.com/app"));
        assert!(signed.is_trusted_for("other"));
    }
}

#[test]
fn a_key_of_a_prefix_is_trusted_for_names_that_begin_with_its_parts() {
    for directory in ["system/prefix.d", "local/prefix.d"] {
        let signed = Signed::new();
        signed.trust(&format!("{directory}/example.com/app"));
        for name in [
            "example.com/app",
            "example.com/app/web",
            "example.com/app/a/b",
        ] {
            assert!(signed.is_trusted_for(name), "{name}");
        }
        for name in [
            "example.com",
            "example.com/app2",
            "example.com/ap",
            "example.com/other",
            "app",
        ] {
            assert!(!signed.is_trusted_for(name), "{name}");
        }
    }
}

#[test]
fn an_empty_file_takes_the_trust_of_directories_before_it() {
    let signed = Signed::new();
    signed.trust("system/root.d");
    signed.distrust("local/root.d");
    assert!(!signed.is_trusted_for("example.com/app"));
    signed.trust("system/prefix.d/example.com/app");
    assert!(
        signed.is_trusted_for("example.com/app"),
        "this is said later"
    );
    signed.distrust("local/prefix.d/example.com/app");
    assert!(!signed.is_trusted_for("example.com/app"));
}

#[test]
fn an_empty_file_of_a_prefix_takes_trust_for_this_prefix_alone() {
    let signed = Signed::new();
    signed.trust("local/root.d");
    signed.distrust("local/prefix.d/example.com/app");
    assert!(!signed.is_trusted_for("example.com/app/web"));
    assert!(signed.is_trusted_for("example.com"));
    signed.trust("local/prefix.d/example.com/app/web");
    assert!(signed.is_trusted_for("example.com/app/web"));
}

#[test]
fn a_file_that_is_not_its_key_s_makes_all_keys_worthless() {
    let signed = Signed::new();
    signed.trust("local/root.d");
    assert!(signed.is_trusted_for("a"));
    let name = "0".repeat(40);
    let export = signed.gpg.export(&signed.key);
    signed.bench.put("system/root.d", &name, &export);
    let verify = || signed.bench.verify_as("a", DATA, &signed.signature);
    refuses(
        &verify(),
        &format!("{name}: its fingerprint is {}", signed.key),
    );
    signed.bench.put("system/root.d", &name, b"garbage");
    refuses(&verify(), &format!("{name}: it is no OpenPGP key"));
    signed
        .bench
        .put("system/root.d", &name, &vec![b'a'; (1 << 20) + 1]);
    refuses(&verify(), &format!("{name}: it is longer than"));
    let path = signed.bench.path("system/trustedkeys/root.d").join(&name);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refuses(&verify(), "not a regular file");
}

#[test]
fn keys_are_counted() {
    let signed = Signed::new();
    signed.trust("local/root.d");
    for number in 0..MAX_KEYS {
        signed
            .bench
            .put("system/root.d", &format!("{number:040}"), b"");
    }
    let verified = signed.bench.verify_as("a", DATA, &signed.signature);
    refuses(&verified, &format!("there are more than {MAX_KEYS}"));
}

#[test]
fn a_key_that_is_added_is_where_it_is_looked_for() {
    let signed = Signed::new();
    let store = signed.bench.store();
    let keys = PublicKey::read(&signed.gpg.export(&signed.key)).unwrap();
    let prefix = "example.com/app".parse().unwrap();
    assert!(!store.has(Some(&prefix), &keys[0]));
    let path = store.add(Some(&prefix), &keys[0]).unwrap();
    let expected = format!("local/trustedkeys/prefix.d/example.com/app/{}", signed.key);
    assert_eq!(path, signed.bench.path(&expected));
    assert!(store.has(Some(&prefix), &keys[0]));
    assert!(!store.has(None, &keys[0]));
    assert!(signed.is_trusted_for("example.com/app"));
    assert!(!signed.is_trusted_for("other"));
    let path = store.add(None, &keys[0]).unwrap();
    assert_eq!(
        path,
        signed
            .bench
            .path(&format!("local/trustedkeys/root.d/{}", signed.key))
    );
    assert!(signed.is_trusted_for("other"));
}

#[test]
fn several_keys_of_one_file_are_told_apart() {
    let signed = Signed::new();
    let other = signed.gpg.make_key("Joe", "ed25519", "never");
    let both = signed.gpg.run(&["--armor", "--export"]);
    let keys = PublicKey::read(&both).unwrap();
    let fingerprints: Vec<String> = keys.iter().map(PublicKey::fingerprint).collect();
    assert_eq!(fingerprints, [signed.key.clone(), other.clone()]);
    // The file is called after the first, and is that key's alone.
    signed.bench.put("local/root.d", &signed.key, &both);
    assert!(signed.is_trusted_for("a"));
    let signature = signed.gpg.sign(&other, &signed.bench.path("image"), &[]);
    refuses(
        &signed.bench.verify_as("a", DATA, &signature),
        "is signed by key",
    );
}
