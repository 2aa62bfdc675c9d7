//! An import that is killed leaves nothing that the next one does not remove.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports, in its helpers too"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bulkhead_image::{Dependencies, Importer, Progress, Signatures, Store, StoredImage};

/// Set for the process that imports: the store's directory and the image.
const STORE: &str = "BULKHEAD_TEST_STORE";

/// What the importing process says before it waits to be killed.
const REACHED: &str = "reached";

/// Not a test of its own: the process that the test kills. It stops at every step until it is told
/// to go on.
#[test]
fn importer() {
    let Ok(dir) = std::env::var(STORE) else {
        return;
    };
    let dir = Path::new(&dir);
    let store = Store::open(dir).unwrap();
    let mut lines = std::io::stdin().lines();
    let image = dir.join("app.aci");
    let mut step = |progress: Progress| {
        println!("\n{REACHED} {progress:?}");
        std::io::stdout().flush().unwrap();
        let _ = lines.next();
    };
    store
        .import(
            image.to_str().unwrap(),
            Signatures::Unneeded,
            &Importer::Here,
            Dependencies::OfStore,
            &mut step,
        )
        .unwrap();
    println!("\n{REACHED} the end");
    std::io::stdout().flush().unwrap();
    let _ = lines.next();
}

/// The same for a stage1 image.
#[test]
fn unpacker() {
    let Ok(dir) = std::env::var(STORE) else {
        return;
    };
    let dir = Path::new(&dir);
    let store = Store::open(dir).unwrap();
    let mut lines = std::io::stdin().lines();
    let mut step = |progress: Progress| {
        println!("\n{REACHED} {progress:?}");
        std::io::stdout().flush().unwrap();
        let _ = lines.next();
    };
    let _image = store
        .unpack(
            &dir.join("app.aci"),
            Signatures::Unneeded,
            &Importer::Here,
            &mut step,
        )
        .unwrap();
    step(Progress::Waiting);
}

#[test]
fn a_stage1_image_killed_while_it_is_unpacked_and_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.aci"), aci()).unwrap();
    for (steps, is_there) in [(0, false), (1, true)] {
        let mut child = start(dir.path(), "unpacker");
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..steps {
            wait_for_step(&mut output);
            writeln!(child.stdin.as_ref().unwrap(), "go on").unwrap();
        }
        wait_for_step(&mut output);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.trees().unwrap().len(), usize::from(is_there));
        // The first left its workspace, and the second has removed it.
        assert_eq!(names(&dir.path().join("cas/tmp")).is_empty(), is_there);
    }
    let store = Store::open(dir.path()).unwrap();
    let nobody = std::collections::BTreeSet::new();
    let removed = store.remove_trees(&nobody, std::time::Duration::ZERO);
    assert_eq!(removed.unwrap().len(), 1, "a dead process holds nothing");
}

#[test]
fn killed_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.aci"), aci()).unwrap();
    for (steps, reached) in ["Layer", "Storing", "the end"].iter().enumerate() {
        let mut child = start(dir.path(), "importer");
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..steps {
            wait_for_step(&mut output);
            writeln!(child.stdin.as_ref().unwrap(), "go on").unwrap();
        }
        let step = wait_for_step(&mut output);
        assert!(step.contains(reached), "{step}");
        child.kill().unwrap();
        child.wait().unwrap();

        let images = names(&dir.path().join("cas/images"));
        let whole = *reached == "the end";
        assert_eq!(images.len(), usize::from(whole), "{reached}: {images:?}");
        let left = names(&dir.path().join("cas/tmp"));
        assert_eq!(left.is_empty(), whole, "{reached}: {left:?}");
    }
    // A new file of the same image has to be read again, so that this import sweeps.
    fs::remove_dir_all(dir.path().join("cas/hints")).unwrap();
    fs::create_dir(dir.path().join("cas/tmp/import-1-0")).unwrap();
    let image = import(dir.path());
    assert_eq!(names(&dir.path().join("cas/tmp")), [""; 0]);
    assert_eq!(names(&dir.path().join("cas/images")), [image.id.as_str()]);
}

fn start(dir: &Path, who: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", who, "--nocapture"])
        .env(STORE, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for_step(output: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    let mut lines = output.map(Result::unwrap);
    let step = lines.find(|line| line.starts_with(REACHED));
    step.expect("the importer ended before it was killed")
}

fn import(dir: &Path) -> StoredImage {
    let store = Store::open(dir).unwrap();
    let image = dir.join("app.aci");
    store
        .import(
            image.to_str().unwrap(),
            Signatures::Unneeded,
            &Importer::Here,
            Dependencies::OfStore,
            &mut |_| {},
        )
        .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The smallest image: a manifest and an empty root.
fn aci() -> Vec<u8> {
    let manifest = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"app"}"#;
    let mut archive = header("manifest", b'0', manifest.len());
    archive.extend_from_slice(manifest);
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive.extend(header("rootfs", b'5', 0));
    archive.extend([0; 1024]);
    archive
}

fn header(name: &str, typeflag: u8, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000755\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, &[typeflag]);
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
