use super::*;

fn fragment(name: &str, text: &str) -> Fragment {
    Fragment {
        name: name.into(),
        text: text.into(),
    }
}

fn inputs(fragments: Vec<Fragment>) -> Inputs {
    let source = Source {
        tarball: "/usr/src/linux.tar.xz".into(),
        compiler: "gcc 12".into(),
    };
    let patch = Patch {
        name: "fast".into(),
        text: b"Why.".into(),
        path: "fast.patch".into(),
    };
    Inputs {
        fragments,
        patches: vec![patch],
        source,
    }
}

#[test]
fn every_input_changes_the_hash() {
    let base = || {
        inputs(vec![
            fragment("a", "# Why.\nCONFIG_A=y\n"),
            fragment("b", "# Why.\n"),
        ])
    };
    let reference = base().hash("tarball");
    assert_eq!(reference, base().hash("tarball"));
    assert_eq!(reference.len(), 64);
    assert_ne!(reference, base().hash("other tarball"));

    let changes: [fn(&mut Inputs); 5] = [
        |inputs| inputs.fragments[0].text.push('\n'),
        |inputs| inputs.fragments[1].name = "c".into(),
        |inputs| inputs.source.compiler = "gcc 13".into(),
        |inputs| inputs.patches[0].text.push(b'!'),
        |inputs| inputs.patches.clear(),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = base();
        change(&mut other);
        assert_ne!(reference, other.hash("tarball"), "change {index}");
    }
}

#[test]
fn text_that_moves_between_fragments_changes_the_hash() {
    let one = inputs(vec![fragment("a", "x"), fragment("b", "yz")]);
    let other = inputs(vec![fragment("a", "xy"), fragment("b", "z")]);
    assert_ne!(one.hash(""), other.hash(""));
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
