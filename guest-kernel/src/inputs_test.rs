use super::*;

fn fragment(name: &str, text: &str) -> Fragment {
    Fragment {
        name: name.into(),
        text: text.into(),
    }
}

#[test]
fn every_input_changes_the_hash() {
    let base = || {
        vec![
            fragment("a", "# Why.\nCONFIG_A=y\n"),
            fragment("b", "# Why.\n"),
        ]
    };
    let reference = hash(&base(), "tarball", "gcc 12");
    assert_eq!(reference, hash(&base(), "tarball", "gcc 12"));
    assert_eq!(reference.len(), 64);

    let mut other = base();
    other[0].text.push('\n');
    assert_ne!(reference, hash(&other, "tarball", "gcc 12"));
    let mut renamed = base();
    renamed[1].name = "c".into();
    assert_ne!(reference, hash(&renamed, "tarball", "gcc 12"));
    assert_ne!(reference, hash(&base(), "other tarball", "gcc 12"));
    assert_ne!(reference, hash(&base(), "tarball", "gcc 13"));
}

#[test]
fn text_that_moves_between_fragments_changes_the_hash() {
    let one = [fragment("a", "x"), fragment("b", "yz")];
    let other = [fragment("a", "xy"), fragment("b", "z")];
    assert_ne!(hash(&one, "", ""), hash(&other, "", ""));
}

#[test]
fn a_file_is_hashed_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"abc").unwrap();
    assert_eq!(
        file_digest(&path).unwrap(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let absent = dir.path().join("absent");
    assert_eq!(
        file_digest(&absent).unwrap_err().to_string(),
        format!("cannot read {}", absent.display())
    );
}
