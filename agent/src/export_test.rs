use std::fs::{Permissions, create_dir, create_dir_all, hard_link, set_permissions, write};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{
    AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat,
};
use tar::EntryType;

use super::*;

/// What another reader finds of an entry: kind, name, link, and content.
type Found = (EntryType, String, String, Vec<u8>);

fn read_back(root: &Path) -> (Vec<Found>, u64) {
    let file = tempfile::tempfile().unwrap();
    let sockets = write_tree(root, file.try_clone().unwrap().into()).unwrap();
    let mut archive = tar::Archive::new(rewound(file));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let link = entry.link_name_bytes().unwrap_or_default().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let link = String::from_utf8(link).unwrap();
        (entry.header().entry_type(), name, link, content)
    });
    (entries.collect(), sockets)
}

fn rewound(file: File) -> File {
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
    file
}

#[test]
fn a_tree_comes_in_order_with_all_kinds_of_files() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    create_dir(at("b")).unwrap();
    write(at("b/file"), "content").unwrap();
    hard_link(at("b/file"), at("c")).unwrap();
    symlink("../nowhere", at("a")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();

    let (entries, sockets) = read_back(root.path());
    let entry = |kind, name: &str, link: &str, content: &str| {
        (
            kind,
            name.to_owned(),
            link.to_owned(),
            content.as_bytes().to_vec(),
        )
    };
    assert_eq!(
        entries,
        [
            entry(EntryType::Directory, "rootfs/", "", ""),
            entry(EntryType::Symlink, "rootfs/a", "../nowhere", ""),
            entry(EntryType::Directory, "rootfs/b/", "", ""),
            entry(EntryType::Regular, "rootfs/b/file", "", "content"),
            entry(EntryType::Link, "rootfs/c", "rootfs/b/file", ""),
            entry(EntryType::Fifo, "rootfs/fifo", "", ""),
        ]
    );
    assert_eq!(sockets, 1);
}

#[test]
fn names_links_times_and_attributes_that_no_header_holds_survive() {
    let root = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(250));
    create_dir_all(root.path().join("d".repeat(120))).unwrap();
    let file = root.path().join(&long);
    write(&file, "").unwrap();
    set_permissions(&file, Permissions::from_mode(0o4711)).unwrap();
    setxattr(&file, "user.a", b"a line and \0 more", XattrFlags::empty()).unwrap();
    let before_1970 = Timespec {
        tv_sec: -2,
        tv_nsec: 500_000_000,
    };
    let times = Timestamps {
        last_access: before_1970,
        last_modification: before_1970,
    };
    utimensat(CWD, &file, &times, AtFlags::empty()).unwrap();
    symlink("t".repeat(300), root.path().join("link")).unwrap();

    let output = tempfile::tempfile().unwrap();
    write_tree(root.path(), output.try_clone().unwrap().into()).unwrap();
    let mut archive = tar::Archive::new(rewound(output));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut records = Vec::new();
        for record in entry.pax_extensions().unwrap().into_iter().flatten() {
            let record = record.unwrap();
            let value = record.value_bytes().to_vec();
            records.push((record.key().unwrap().to_owned(), value));
        }
        let mode = entry.header().mode().unwrap();
        found.push((entry.path_bytes().into_owned(), mode, records));
    }
    let (name, mode, records) = &found[2];
    assert_eq!(name, format!("rootfs/{long}").as_bytes());
    assert_eq!(*mode, 0o4711);
    let value = |key: &str| {
        let record = records.iter().find(|(name, _)| name == key);
        record.map(|(_, value)| &value[..])
    };
    assert_eq!(
        value("SCHILY.xattr.user.a"),
        Some(&b"a line and \0 more"[..])
    );
    assert_eq!(value("mtime"), Some(&b"-1.500000000"[..]));
    let link = found.last().unwrap().2.iter();
    let mut targets = link.filter(|(key, _)| key == "linkpath");
    assert_eq!(targets.next().unwrap().1, vec![b't'; 300]);
}

#[test]
fn the_same_tree_makes_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    for name in ["z", "a", "m"] {
        write(root.path().join(name), name).unwrap();
    }
    let bytes = || {
        let file = tempfile::tempfile().unwrap();
        write_tree(root.path(), file.try_clone().unwrap().into()).unwrap();
        let mut bytes = Vec::new();
        rewound(file).read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn who_reads_no_more_ends_it() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("file"), vec![0; 1 << 20]).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let error = write_tree(root.path(), writer).unwrap_err();
    assert!(reason(&error).as_str().contains("roken pipe"), "{error:?}");
}
