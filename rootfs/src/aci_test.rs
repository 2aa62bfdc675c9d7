use super::*;
use bulkhead_image::{Dependencies, Importer, Signatures, Store};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::Permissions;
use std::os::unix::fs::FileExt;

/// Of `scratch.ext4` below: more than one gzip member, most of it a hole.
const SCRATCH_BYTES: u64 = 5_000_000;
const SCRATCH_DATA: (u64, &[u8]) = (2_000_000, b"superblock");

/// An image directory with `umask`'s modes; its large file is sparse or full of zeros.
fn image(dir: &Path, umask: u32, sparse: bool) -> PathBuf {
    let image = dir.join("kvm");
    let rootfs = image.join("rootfs");
    fs::create_dir_all(rootfs.join("rkt/status")).unwrap();
    fs::create_dir_all(rootfs.join("kernel")).unwrap();
    let manifest = crate::manifest::json("kvm", &[], "0.1.0");
    for (name, contents, mode) in [
        ("manifest", manifest.as_str(), 0o666),
        ("rootfs/run", "supervisor", 0o777),
        ("rootfs/kernel/vmlinux", "kernel", 0o666),
        (
            "rootfs/kernel.txt",
            "sorts before the directory's files",
            0o666,
        ),
    ] {
        let path = image.join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode & !umask)).unwrap();
    }
    fs::set_permissions(rootfs.join("rkt"), Permissions::from_mode(0o777 & !umask)).unwrap();
    let path = rootfs.join("scratch.ext4");
    let scratch = File::create(&path).unwrap();
    if sparse {
        scratch.set_len(SCRATCH_BYTES).unwrap();
    } else {
        let zeros = vec![0; usize::try_from(SCRATCH_BYTES).unwrap()];
        scratch.write_all_at(&zeros, 0).unwrap();
    }
    let (at, data) = SCRATCH_DATA;
    scratch.write_all_at(data, at).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    image
}

fn aci(dir: &Path, umask: u32, sparse: bool) -> PathBuf {
    let output = dir.join("kvm.aci");
    let size = write(&image(dir, umask, sparse), &output).unwrap();
    assert_eq!(size, fs::metadata(&output).unwrap().len());
    output
}

#[test]
fn the_same_content_makes_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let digest = |path| Sha256::digest(fs::read(path).unwrap());
    assert_eq!(
        digest(aci(one.path(), 0o022, true)),
        digest(aci(other.path(), 0o077, false))
    );
}

#[test]
fn entries_are_sorted_and_say_nothing_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::open(aci(dir.path(), 0o077, true)).unwrap();
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        assert_eq!((owner, header.mtime().unwrap()), ((0, 0), 0));
        let mode = header.mode().unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        if name == "rootfs/scratch.ext4" {
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            let (at, data) = SCRATCH_DATA;
            let at = usize::try_from(at).unwrap();
            assert_eq!(contents.len() as u64, SCRATCH_BYTES);
            assert!(contents[at..].starts_with(data));
            assert_eq!(contents.iter().filter(|&&b| b != 0).count(), data.len());
        }
        seen.push((name, mode));
    }
    let seen: Vec<_> = seen.iter().map(|(name, mode)| (&name[..], *mode)).collect();
    assert_eq!(
        seen,
        [
            ("manifest", 0o644),
            ("rootfs/", 0o755),
            ("rootfs/kernel/", 0o755),
            ("rootfs/kernel/vmlinux", 0o644),
            ("rootfs/kernel.txt", 0o644),
            ("rootfs/rkt/", 0o755),
            ("rootfs/rkt/status/", 0o755),
            ("rootfs/run", 0o755),
            ("rootfs/scratch.ext4", 0o644),
        ]
    );
}

#[test]
fn stage0_reads_it_as_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let aci = aci(dir.path(), 0o022, true);
    let store = Store::open(&dir.path().join("data")).unwrap();
    let aci = aci.to_str().unwrap();
    let image = store
        .import(
            aci,
            Signatures::Unneeded,
            &Importer::Here,
            Dependencies::OfStore,
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(image.name, "bulkhead.dev/stage1-kvm");
    assert_eq!(
        image.manifest,
        crate::manifest::json("kvm", &[], "0.1.0").into_bytes()
    );
}

#[test]
fn what_is_no_file_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 0o022, true);
    let link = image.join("rootfs/link");
    std::os::unix::fs::symlink("run", &link).unwrap();
    let error = write(&image, &dir.path().join("kvm.aci")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot archive {}", link.display())
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
