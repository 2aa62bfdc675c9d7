use super::*;
use sha2::{Digest, Sha256};

#[test]
fn the_same_agent_makes_the_same_bytes() {
    let archive = archive(b"agent", Vec::new()).unwrap();
    let digest: String = Sha256::digest(&archive)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Changes only when the guest root is meant to change.
    assert_eq!(
        (archive.len(), digest.as_str()),
        (
            952,
            "c055f69defab1a18805c4d1536dced4c3bd2de929cdd8076480ea28a2e23cbc9"
        )
    );
}

#[test]
fn the_size_is_that_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, output) = (dir.path().join("agent"), dir.path().join("initramfs.cpio"));
    fs::write(&agent, vec![7; 10_000]).unwrap();
    let size = write(&agent, &output).unwrap();
    assert_eq!(size, fs::metadata(&output).unwrap().len());
    assert!(size > 10_000);
}

#[test]
fn a_missing_agent_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("agent");
    let error = write(&agent, &dir.path().join("out")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot read {}", agent.display())
    );
}
