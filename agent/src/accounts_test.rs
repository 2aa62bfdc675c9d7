use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Ids, MAX_FILE, find, resolve};
use crate::reason::reason;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken:line\n\nweb:x:33:34:www:/:/bin/false\n:x:9:9::\nhuge:x:4294967295:1::\n";
const GROUP: &str = "root:x:0:\nstaff:x:50:web\nweb:x:35:\n";

fn image(passwd: &str, group: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/passwd"), passwd).unwrap();
    fs::write(root.path().join("etc/group"), group).unwrap();
    root
}

fn error(root: &Path, user: &str, group: &str) -> String {
    reason(&resolve(root, user, group).unwrap_err()).to_string()
}

#[test]
fn names_come_from_the_image() {
    let image = image(PASSWD, GROUP);
    let ids = |user, group| resolve(image.path(), user, group).unwrap();
    assert_eq!(ids("web", "staff"), Ids { uid: 33, gid: 50 });
    assert_eq!(ids("web", "web"), Ids { uid: 33, gid: 35 });
    assert_eq!(ids("root", "7"), Ids { uid: 0, gid: 7 });
    assert_eq!(ids("1000", "root"), Ids { uid: 1000, gid: 0 });
}

#[test]
fn root_and_numbers_need_no_files() {
    let empty = tempfile::tempdir().unwrap();
    let ids = |user, group| resolve(empty.path(), user, group).unwrap();
    assert_eq!(ids("root", "root"), Ids { uid: 0, gid: 0 });
    assert_eq!(ids("0", "0"), Ids { uid: 0, gid: 0 });
    assert_eq!(ids("33", "44"), Ids { uid: 33, gid: 44 });
}

#[test]
fn a_group_with_the_users_name_is_the_users_own() {
    let image = image(PASSWD, "");
    assert_eq!(
        resolve(image.path(), "web", "web").unwrap(),
        Ids { uid: 33, gid: 34 }
    );
}

#[test]
fn a_path_means_its_owner_and_is_not_followed() {
    let image = image("", "");
    symlink("/nowhere", image.path().join("link")).unwrap();
    let owner = fs::symlink_metadata(image.path().join("link")).unwrap();
    assert_eq!(
        resolve(image.path(), "/link", "/etc").unwrap(),
        Ids {
            uid: owner.uid(),
            gid: owner.gid()
        }
    );
    assert_eq!(
        error(image.path(), "/nope", "0"),
        "user as the owner of \"/nope\": No such file or directory"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let image = image(PASSWD, GROUP);
    let root = image.path();
    assert_eq!(
        error(root, "nobody", "0"),
        "user \"nobody\" is not in the image's /etc/passwd"
    );
    assert_eq!(
        error(root, "web", "nogroup"),
        "group \"nogroup\" is not in the image's /etc/group"
    );
    assert_eq!(
        error(root, "huge", "0"),
        "user \"huge\" is not in the image's /etc/passwd"
    );
    assert_eq!(
        error(root, "4294967295", "0"),
        "user \"4294967295\" is not in the image's /etc/passwd"
    );
}

#[test]
fn a_fifo_or_an_endless_file_does_not_hold_us_up() {
    let image = image("", "");
    let passwd = image.path().join("etc/passwd");
    fs::write(&passwd, vec![b'x'; usize::try_from(MAX_FILE).unwrap() + 1]).unwrap();
    assert!(error(image.path(), "web", "0").ends_with("longer than 1048576 bytes"));
    fs::remove_file(&passwd).unwrap();
    mknodat(CWD, &passwd, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert_eq!(
        error(image.path(), "web", "0"),
        "user \"web\": read the image's /etc/passwd: not a regular file"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail(text in prop::collection::vec(any::<u8>(), 0..200), name in "[a-z:]{0,4}") {
        let _ = find(&text, &name);
    }

    #[test]
    fn what_is_written_is_found(uid in 0..u32::MAX, gid in 0..u32::MAX) {
        let text = format!("a:x:1:1:::\nbee:x:{uid}:{gid}:::");
        prop_assert_eq!(find(text.as_bytes(), "bee"), Some((uid, Some(gid))));
    }
}
