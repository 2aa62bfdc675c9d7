use std::fs::{Permissions, create_dir, create_dir_all, hard_link, set_permissions, write};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use ::tar::EntryType;
use rustix::fs::{
    AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat,
};

use super::*;

/// What another reader finds of an entry: kind, name, link, and content.
type Found = (EntryType, String, String, Vec<u8>);

fn written(root: &Path, output: File) -> Result<u64, TreeError> {
    write_tree(File::open(root).unwrap().into(), output)
}

fn read_back(root: &Path) -> (Vec<Found>, u64) {
    let file = tempfile::tempfile().unwrap();
    let sockets = written(root, file.try_clone().unwrap()).unwrap();
    let mut archive = ::tar::Archive::new(rewound(file));
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
    written(root.path(), output.try_clone().unwrap()).unwrap();
    let mut archive = ::tar::Archive::new(rewound(output));
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
        written(root.path(), file.try_clone().unwrap()).unwrap();
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
    let error = written(root.path(), File::from(writer)).unwrap_err();
    assert!(format!("{error:?}").contains("BrokenPipe"), "{error:?}");
}

#[test]
fn names_of_any_bytes_and_links_out_come_as_they_are() {
    let (outside, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), root.path().join("away")).unwrap();
    let name = OsStr::from_bytes(b"na\xefve\n");
    write(root.path().join(name), "mine").unwrap();

    let output = tempfile::tempfile().unwrap();
    written(root.path(), output.try_clone().unwrap()).unwrap();
    let mut archive = ::tar::Archive::new(rewound(output));
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path_bytes().into_owned())
        .collect();
    assert_eq!(
        names,
        [&b"rootfs/"[..], b"rootfs/away", b"rootfs/na\xefve\n"]
    );
}

#[test]
fn a_tree_as_deep_as_an_image_s_may_be_is_written_and_no_deeper() {
    let root = tempfile::tempdir().unwrap();
    let mut deepest = root.path().to_owned();
    for _ in 0..MAX_DEPTH {
        deepest.push("d");
    }
    create_dir_all(&deepest).unwrap();
    assert_eq!(read_back(root.path()).0.len(), MAX_DEPTH + 1);
    create_dir(deepest.join("d")).unwrap();
    let error = written(root.path(), tempfile::tempfile().unwrap()).unwrap_err();
    assert!(matches!(error, TreeError::Depth(_)), "{error:?}");
}

#[test]
fn a_file_of_holes_that_no_image_can_have_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let file = File::create(root.path().join("holes")).unwrap();
    file.set_len(MAX_BYTES + 1).unwrap();
    let error = written(root.path(), tempfile::tempfile().unwrap()).unwrap_err();
    let said = error.to_string();
    assert_eq!(
        said,
        "\"/holes\": the tree has more than 274877906944 bytes of files"
    );
}

#[test]
fn the_caller_s_other_threads_stay_where_they_are() {
    let root = tempfile::tempdir().unwrap();
    let before = std::env::current_dir().unwrap();
    let path = root.path().to_owned();
    let writer = std::thread::spawn(move || written(&path, tempfile::tempfile().unwrap()));
    writer.join().unwrap().unwrap();
    assert_eq!(std::env::current_dir().unwrap(), before);
}
