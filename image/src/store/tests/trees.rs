//! Stage1 images: unpacked once, found again, removed when nobody needs them.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use super::*;
use crate::test_archive::{Fields, aci_with, manifest};

impl Bench {
    fn unpack(&self, path: &str) -> Result<UnpackedImage, String> {
        let unpacked = self.store.unpack(
            Path::new(path),
            Signatures::Unneeded,
            &Importer::Here,
            &mut |_| {},
        );
        unpacked.map_err(|error| self.chain(&error))
    }

    fn refuses_stage1(&self, bytes: &[u8], expected: &str) {
        let path = self.write("stage1.aci", bytes);
        let before = self.files();
        let error = self.unpack(&path).unwrap_err();
        assert_eq!(
            error,
            format!("cannot import image DIR/stage1.aci: {expected}")
        );
        assert_eq!(self.files(), before, "something was left behind");
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_tree_has_the_archive_s_files_links_and_modes() {
    let bench = Bench::new();
    let program = Fields {
        mode: 0o4755,
        uid: 1000,
        ..Fields::of("rootfs/run", b'0')
    };
    let closed = Fields {
        mode: 0,
        ..Fields::of("rootfs/closed", b'5')
    };
    let tree = Tar::default()
        .entry(&program, b"program")
        .file("rootfs/deep/er/file", "text")
        .dir("rootfs/deep")
        .symlink("rootfs/link", "/etc/passwd")
        .hard_link("rootfs/deep/same", "rootfs/run")
        .header(&closed)
        .file("rootfs/closed/file", "");
    let archive = aci(tree);
    let plain = bench.unpack(&bench.write("a.aci", &archive)).unwrap();
    let root = plain.directory().join("rootfs");
    assert_eq!(fs::read(root.join("run")).unwrap(), b"program");
    assert_eq!(fs::read(root.join("deep/er/file")).unwrap(), b"text");
    assert_eq!(
        fs::read_link(root.join("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    assert_eq!(mode_of(&root.join("run")), 0o755, "no set-id bits");
    assert_eq!(mode_of(&root.join("closed")), 0o700);
    assert_eq!(mode_of(&bench.store.trees_path()), 0o700);
    let inode = |name: &str| fs::metadata(root.join(name)).unwrap().ino();
    assert_eq!(inode("run"), inode("deep/same"));
    let owner = fs::metadata(root.join("run")).unwrap().uid();
    assert_eq!(owner, fs::metadata(bench.dir.path()).unwrap().uid());
    let text = fs::read_to_string(plain.directory().join("manifest")).unwrap();
    assert_eq!(text, manifest().to_string());

    let packed = bench.unpack(&bench.write("a.gz", &gzip(&archive))).unwrap();
    assert_eq!(packed.id(), plain.id(), "the content is the same");
    assert_eq!(
        *plain.id(),
        bench.import(&bench.write("b.aci", &archive)).id
    );
}

#[test]
fn zeros_become_holes() {
    let bench = Bench::new();
    let mut data = vec![0; 32 << 20];
    data[20 << 20] = 1;
    data.extend([7; 10]);
    let archive = gzip(&aci(Tar::default().file("rootfs/scratch", &data)));
    let image = bench.unpack(&bench.write("a.aci", &archive)).unwrap();
    let path = image.directory().join("rootfs/scratch");
    assert!(fs::read(&path).unwrap() == data, "the bytes differ");
    let blocks = fs::metadata(&path).unwrap().blocks();
    assert!(blocks * 512 <= 64 << 10, "{blocks} blocks");
}

#[test]
fn a_file_is_unpacked_once() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let first = bench.unpack(&path).unwrap().id().clone();
    // Settled, as a file that lies there for a while is.
    let identity = super::super::hints::Identity::of_stage1(&fs::metadata(&path).unwrap());
    bench.store.remember(identity, &first, true, None);
    let mut steps = Vec::new();
    let mut note = |step| steps.push(step);
    let second = bench
        .store
        .unpack(
            Path::new(&path),
            Signatures::Unneeded,
            &Importer::Here,
            &mut note,
        )
        .unwrap();
    assert_eq!((second.id(), steps), (&first, Vec::new()));

    fs::write(&path, aci(Tar::default().file("rootfs/other", "x"))).unwrap();
    let other = bench.unpack(&path).unwrap();
    assert_ne!(*other.id(), first, "another content");
    let trees = bench.store.trees().unwrap();
    assert_eq!(trees.len(), 2);
    assert_eq!(trees[0].id, *other.id(), "the newest first");
}

#[test]
fn many_who_unpack_one_file_do_it_once() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let image = bench.unpack(&path).unwrap();
                let program = image.directory().join("rootfs/bin/app");
                assert_eq!(fs::read(program).unwrap(), b"program");
            });
        }
    });
    assert_eq!(bench.store.trees().unwrap().len(), 1);
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn what_nobody_needs_is_removed_and_what_is_in_use_is_not() {
    let bench = Bench::new();
    let images = ["a", "b"].map(|name| {
        let archive = aci(Tar::default().file("rootfs/run", name));
        bench.unpack(&bench.write(name, &archive)).unwrap()
    });
    let ids = images.each_ref().map(|image| image.id().clone());
    let needed = BTreeSet::from([ids[0].to_string()]);
    let remove = |unused_for| bench.store.remove_trees(&needed, unused_for).unwrap();
    assert_eq!(remove(Duration::ZERO), [], "both are held");
    drop(images);
    assert_eq!(remove(Duration::from_secs(3600)), [], "both are young");
    assert_eq!(remove(Duration::ZERO), [ids[1].clone()]);
    assert!(bench.store.tree(&ids[0]).unwrap().is_some());
    assert!(bench.store.tree(&ids[1]).unwrap().is_none());
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn hostile_archives_leave_nothing() {
    let bench = Bench::new();
    let aci = |tree: Tar| aci(tree);
    let file = |name: &str| aci(Tar::default().file(name, "x"));
    let cases = [
        (
            file("rootfs/../../evil"),
            "entry \"rootfs/../../evil\": name has a \"..\" component",
        ),
        (
            file("/rootfs/evil"),
            "entry \"/rootfs/evil\": name is absolute",
        ),
        (
            file("elsewhere"),
            "entry \"elsewhere\": an ACI holds \"manifest\" and \"rootfs\" only",
        ),
        (
            aci(Tar::default()
                .symlink("rootfs/link", "/tmp")
                .file("rootfs/link/evil", "x")),
            "entry \"rootfs/link/evil\": its parent \"link\" is a symbolic link, not a directory",
        ),
        (
            aci(Tar::default().hard_link("rootfs/evil", "/etc/passwd")),
            "entry \"rootfs/evil\": linkname is absolute",
        ),
        (
            aci(Tar::default().hard_link("rootfs/evil", "manifest")),
            "entry \"rootfs/evil\": linkname leads out of \"rootfs\"",
        ),
        (
            aci(Tar::default().file("rootfs/a", "1").file("rootfs/a", "2")),
            "entry \"rootfs/a\": name occurs twice in the archive",
        ),
        (
            aci(Tar::default().header(&Fields::of("rootfs/null", b'3'))),
            "entry \"rootfs/null\": a stage1 image has files, directories and links alone, and this is a device",
        ),
        (
            aci(Tar::default().header(&Fields::of("rootfs/pipe", b'6'))),
            "entry \"rootfs/pipe\": a stage1 image has files, directories and links alone, and this is a fifo",
        ),
    ];
    for (archive, expected) in cases {
        bench.refuses_stage1(&archive, expected);
    }
    assert!(!bench.dir.path().join("evil").exists());
}

#[test]
fn what_would_be_too_large_or_for_another_host_leaves_nothing() {
    let bench = Bench::new();
    let size = crate::limits::MAX_STAGE1_BYTES.to_string();
    let tree = Tar::default()
        .file("rootfs/a", "x")
        .pax(&[("size", size.as_bytes())])
        .header(&Fields::of("rootfs/b", b'0'));
    bench.refuses_stage1(
        &aci(tree),
        "entry \"rootfs/b\": the stage1 image would have more than 68719476736 bytes of files",
    );
    let many = (0..=crate::limits::MAX_STAGE1_ENTRIES).fold(Tar::default(), |tar, number| {
        tar.symlink(format!("rootfs/{number}"), "x")
    });
    bench.refuses_stage1(
        &aci(many),
        "entry \"rootfs/16383\": the stage1 image would have more than 16384 entries",
    );
    let mut other = manifest();
    other["labels"][1]["value"] = "aarch64".into();
    bench.refuses_stage1(
        &aci_with(&other, Tar::default()),
        "the image is for linux/aarch64, this host runs linux/amd64",
    );
    let mut part = manifest();
    part["pathWhitelist"] = serde_json::json!(["/run"]);
    bench.refuses_stage1(
        &aci_with(&part, Tar::default()),
        "manifest: field pathWhitelist is not empty, which is not supported in a stage1 image",
    );
    bench.refuses_stage1(
        b"no archive",
        "truncated: 502 bytes are missing at byte 10 (in a header, entry \"\")",
    );
}
