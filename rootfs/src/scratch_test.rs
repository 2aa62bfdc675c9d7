use super::*;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// What the supervisor copies for each app at each start.
const DATA_BYTES_MAX: u64 = 256 << 10;
/// What an archive has of it, holes and all.
const LENGTH_MAX: u64 = 512 << 20;
/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

#[test]
fn the_template_is_sparse_whole_and_always_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    write(&first).unwrap();
    write(&second).unwrap();

    let metadata = fs::metadata(&first).unwrap();
    assert!(metadata.size() <= LENGTH_MAX, "{} bytes", metadata.size());
    let data = metadata.blocks() * BLOCK_BYTES;
    assert!(data <= DATA_BYTES_MAX, "{data} bytes of data");

    let grown = dir.path().join("grown");
    fs::copy(&first, &grown).unwrap();
    let file = File::options().write(true).open(&grown).unwrap();
    file.set_len(SIZE_BYTES).unwrap();
    assert!(checks_clean(&grown), "e2fsck found errors");
    let head = |path| {
        use std::io::Read;
        let mut bytes = Vec::new();
        File::open(path)
            .unwrap()
            .take(64 << 20)
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    };
    assert!(
        head(&first) == head(&second),
        "two templates differ in their metadata"
    );
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scratch.ext4");
    fs::write(&path, "precious").unwrap();
    let error = write(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot create {}", path.display())
    );
}

fn checks_clean(path: &Path) -> bool {
    let mut e2fsck = Command::new("/usr/sbin/e2fsck");
    e2fsck
        .args(["-f", "-n"])
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    e2fsck.status().unwrap().success()
}
