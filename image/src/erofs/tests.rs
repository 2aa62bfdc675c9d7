use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::test_oracle::{Listing, Seen, assert_holds};
use super::*;
use crate::convert::Conversion;
use crate::tar::{Stream, TarReader};
use crate::test_archive::{Fields, Tar};

/// Converts layers into an image file; returns the directory that holds it, too.
fn image(layers: &[Tar]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let mut options = fs::OpenOptions::new();
    let file = options.create_new(true).read(true).write(true).open(&path);
    let mut conversion = Conversion::new(Spool::new(file.unwrap(), tempfile::tempfile().unwrap()));
    for layer in layers {
        let archive = layer.clone().finish();
        conversion
            .apply_layer(&mut TarReader::new(Stream(&archive[..])))
            .unwrap();
    }
    write(&mut conversion.tree, conversion.spool, *b"0123456789abcdef").unwrap();
    (dir, path)
}

/// A file tree and the archive that holds it.
#[derive(Default)]
struct Model {
    expected: Listing,
    tar: Tar,
}

fn seen(name: &[u8], mode: u32) -> Seen {
    Seen {
        mode,
        owner: (0, 0),
        mtime: (1_700_000_000, 0),
        links: 1,
        device: 0,
        content: Vec::new(),
        xattrs: BTreeMap::new(),
        same_as: name.to_vec(),
    }
}

impl Model {
    fn new() -> Self {
        Self::default().dir(b"", 0o755)
    }

    fn dir(mut self, name: &[u8], mode: u32) -> Self {
        let path = [b"./", name].concat();
        self.tar = self.with_path(&path).header(&Fields {
            mode,
            ..Fields::of(&path, b'5')
        });
        let mut directory = seen(name, 0o040_000 | mode);
        directory.links = 2;
        self.count_in_parent(name);
        self.expected.insert(name.to_vec(), directory);
        self
    }

    fn count_in_parent(&mut self, name: &[u8]) {
        let end = name.iter().rposition(|&b| b == b'/').unwrap_or(0);
        if !name.is_empty() {
            self.expected.get_mut(&name[..end]).unwrap().links += 1;
        }
    }

    fn with_path(&mut self, path: &[u8]) -> Tar {
        std::mem::take(&mut self.tar).pax(&[("path", path)])
    }

    fn file(mut self, name: &[u8], content: &[u8]) -> Self {
        self.tar = self.with_path(name).file(name, content);
        let mut file = seen(name, 0o100_644);
        file.content = content.to_vec();
        self.expected.insert(name.to_vec(), file);
        self
    }

    fn file_with_xattrs(mut self, name: &[u8], content: &[u8], xattrs: &[(&str, &[u8])]) -> Self {
        let keys: Vec<String> = xattrs
            .iter()
            .map(|(key, _)| format!("SCHILY.xattr.{key}"))
            .collect();
        let records: Vec<(&str, &[u8])> = keys
            .iter()
            .map(String::as_str)
            .zip(xattrs.iter().map(|&(_, value)| value))
            .collect();
        self.tar = self.tar.pax(&records).file(name, content);
        let mut file = seen(name, 0o100_644);
        file.content = content.to_vec();
        let owned = xattrs
            .iter()
            .map(|&(key, value)| (key.as_bytes().to_vec(), value.to_vec()));
        file.xattrs = owned.collect();
        self.expected.insert(name.to_vec(), file);
        self
    }

    fn symlink(mut self, name: &[u8], target: &[u8]) -> Self {
        self.tar = self
            .tar
            .pax(&[("path", name), ("linkpath", target)])
            .symlink(name, target);
        let mut link = seen(name, 0o120_644);
        link.content = target.to_vec();
        self.expected.insert(name.to_vec(), link);
        self
    }

    fn node(mut self, name: &[u8], typeflag: u8, device: (u32, u32)) -> Self {
        self.tar = self.tar.header(&Fields {
            device,
            ..Fields::of(name, typeflag)
        });
        let kind = match typeflag {
            b'3' => 0o020_000,
            b'4' => 0o060_000,
            _ => 0o010_000,
        };
        let mut node = seen(name, kind | 0o644);
        node.device = rustix::fs::makedev(device.0, device.1);
        self.expected.insert(name.to_vec(), node);
        self
    }

    #[track_caller]
    fn holds(&self) {
        let (_dir, path) = image(std::slice::from_ref(&self.tar));
        assert_holds(&path, &self.expected);
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0u32..)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 1)
        .take(length)
        .collect()
}

#[test]
fn files_of_every_size_around_a_block() {
    let mut model = Model::new();
    for size in [
        0, 1, 31, 32, 4000, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 8193, 300_000,
    ] {
        model = model.file(format!("f{size}").as_bytes(), &bytes(size));
    }
    model.holds();
}

#[test]
fn blocks_of_zeros_read_as_zeros() {
    let mut sparse = vec![0; 1 << 20];
    sparse[500_000] = 1;
    Model::new()
        .file(b"a", &vec![0; 1 << 20])
        .file(b"b", &sparse)
        .file(b"c", &vec![0; 5000])
        .holds();
}

#[test]
fn every_kind_of_node() {
    Model::new()
        .dir(b"d", 0o1777)
        .node(b"d/null", b'3', (1, 3))
        .node(b"d/large", b'4', (4095, 0xf_ffff))
        .node(b"d/whiteout", b'3', (0, 0))
        .node(b"d/fifo", b'6', (0, 0))
        .symlink(b"d/link", b"../nowhere\xff")
        .holds();
}

#[test]
fn symbolic_links_of_every_length() {
    let mut model = Model::new();
    for length in [1, 59, 60, 4030, 4031, 4032, 4033, 4094, 4095] {
        model = model.symlink(format!("l{length}").as_bytes(), &bytes(length));
    }
    model.holds();
}

#[test]
fn names_are_any_bytes_and_sorted_by_them() {
    let mut model = Model::new();
    for name in [
        &b"-"[..],
        b".a",
        b"...",
        b"\x01",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"A b\n",
        &[b'x'; 255],
    ] {
        model = model.file(name, name);
    }
    model.holds();
}

#[test]
fn large_directories() {
    let mut model = Model::new()
        .dir(b"many", 0o755)
        .dir(b"long", 0o700)
        .dir(b"one", 0o755);
    for i in 0..5000 {
        model = model.file(format!("many/{i}").as_bytes(), b"x");
    }
    for i in 0..100 {
        let name = format!("long/{i:0>200}");
        model = model.dir(name.as_bytes(), 0o755);
    }
    model.holds();
}

#[test]
fn metadata_of_every_kind() {
    let fields = Fields {
        mode: 0o6751,
        uid: 70_000,
        gid: 70_001,
        ..Fields::of("a", b'0')
    };
    let mut model = Model::new();
    model.tar = model
        .tar
        .pax(&[("mtime", b"-5.25")])
        .entry(&fields, b"text");
    let mut file = seen(b"a", 0o106_751);
    (file.owner, file.mtime) = ((70_000, 70_001), (-6, 750_000_000));
    file.content = b"text".to_vec();
    model.expected.insert(b"a".to_vec(), file);
    // Ids beyond the header's octal digits, and nanoseconds.
    let records: [(&str, &[u8]); 3] = [
        ("uid", b"4294967294"),
        ("gid", b"65536"),
        ("mtime", b"1.000000001"),
    ];
    model.tar = model.tar.pax(&records).file("b", "");
    let mut file = seen(b"b", 0o100_644);
    (file.owner, file.mtime) = ((u32::MAX - 1, 65_536), (1, 1));
    model.expected.insert(b"b".to_vec(), file);
    model.holds();
}

#[test]
fn extended_attributes() {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // One that says more than the mode does: user 1000, and a mask.
    let acl: Vec<u8> = [
        vec![2, 0, 0, 0],
        vec![1, 0, 6, 0, 255, 255, 255, 255],
        vec![2, 0, 4, 0, 232, 3, 0, 0],
        vec![4, 0, 4, 0, 255, 255, 255, 255],
        vec![16, 0, 4, 0, 255, 255, 255, 255],
        vec![32, 0, 4, 0, 255, 255, 255, 255],
    ]
    .concat();
    Model::new()
        .file_with_xattrs(
            b"a",
            b"x",
            &[
                ("user.a", b"1"),
                ("user.empty", b""),
                ("trusted.overlay.x", b"y"),
            ],
        )
        .file_with_xattrs(b"b", &bytes(100), &[("security.capability", &capability)])
        .file_with_xattrs(b"c", &bytes(4000), &[("user.large", &bytes(3000))])
        .file_with_xattrs(b"e", b"", &[("system.posix_acl_access", &acl)])
        .file_with_xattrs(b"f", b"", &[("user.a", b"1")])
        .holds();
}

#[test]
fn an_attribute_of_several_blocks() {
    Model::new()
        .file_with_xattrs(b"d", &bytes(5000), &[("user.huge", &bytes(20_000))])
        .holds();
}

#[test]
fn hard_links_are_one_inode() {
    let mut model = Model::new().dir(b"d", 0o755).file(b"a", &bytes(10_000));
    model.tar = model.tar.hard_link("d/b", "a").hard_link("c", "./d/b");
    let mut file = model.expected[&b"a"[..]].clone();
    (file.links, file.same_as) = (3, b"a".to_vec());
    for name in [&b"a"[..], b"c", b"d/b"] {
        model.expected.insert(name.to_vec(), file.clone());
    }
    model.holds();
}

#[test]
fn an_image_of_nothing_is_a_directory() {
    let (_dir, path) = image(&[]);
    let mut root = seen(b"", 0o040_755);
    (root.links, root.mtime) = (2, (0, 0));
    assert_holds(&path, &Listing::from([(Vec::new(), root)]));
    assert_eq!(fs::metadata(path).unwrap().len(), 2 * BLOCK_BYTES);
}

#[test]
fn replaced_data_leaves_no_trace() {
    let lower = Model::new()
        .file(b"a", &bytes(50_000))
        .file(b"b", &bytes(70_000))
        .file(b"z", &vec![0; 20_000]);
    let upper = Model::new().file(b"a", b"small").file(b"c", &bytes(9000));
    let (_dir, path) = image(&[lower.tar.clone(), upper.tar.clone()]);
    let mut expected = lower.expected;
    expected.extend(upper.expected);
    assert_holds(&path, &expected);
    let blocks = 1 + 18 + 5 + 3 + 2;
    let length = fs::metadata(path).unwrap().len();
    assert!(length <= (blocks + 1) * BLOCK_BYTES, "{length}");
}

#[test]
fn same_content_gives_same_bytes() {
    let layers = || {
        let lower = Model::new()
            .dir(b"d", 0o755)
            .file(b"d/a", &bytes(5000))
            .symlink(b"l", b"d");
        [
            lower.tar,
            Model::new()
                .file_with_xattrs(b"x", b"1", &[("user.b", b"2"), ("user.a", b"1")])
                .tar,
        ]
    };
    let (_a, first) = image(&layers());
    let (_b, second) = image(&layers());
    assert!(fs::read(first).unwrap() == fs::read(second).unwrap());
}

/// A file of a random tree: directory to be in, name, size or kind.
fn any_file() -> impl Strategy<Value = (prop::sample::Index, Vec<u8>, usize)> {
    let name = prop::collection::vec(
        any::<u8>().prop_filter("a name", |b| *b != 0 && *b != b'/'),
        1..60,
    );
    let name = name.prop_filter("no whiteout", |n| {
        !n.starts_with(b".wh.") && n != b"." && n != b".."
    });
    (
        any::<prop::sample::Index>(),
        name,
        prop_oneof![0usize..200, 3900usize..4200, 0usize..20_000],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_trees_come_back(files in prop::collection::vec(any_file(), 0..80)) {
        let mut model = Model::new();
        let mut directories = vec![Vec::new()];
        for (parent, name, size) in files {
            let parent = parent.get(&directories);
            let path = if parent.is_empty() { name } else { [parent, &b"/"[..], &name].concat() };
            if model.expected.contains_key(&path) || path.len() > 1000 {
                continue;
            }
            model = match size % 5 {
                0 => {
                    directories.push(path.clone());
                    model.dir(&path, 0o755)
                }
                1 if size > 0 && size < 4096 => model.symlink(&path, &bytes(size)),
                _ => model.file(&path, &bytes(size)),
            };
        }
        model.holds();
    }
}
