use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

fn root(directory: &tempfile::TempDir) -> OwnedFd {
    File::open(directory.path()).unwrap().into()
}

#[test]
fn a_directory_is_the_tree_behind_the_manifest() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "content").unwrap();
    symlink("/etc", directory.path().join("link")).unwrap();
    let _listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    let mut image = Vec::new();
    assert_eq!(
        write_aci_of(b"{}", root(&directory), &mut image).unwrap(),
        1
    );
    let mut archive = tar::Archive::new(&image[..]);
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    assert_eq!(names, ["manifest", "rootfs/", "rootfs/file", "rootfs/link"]);
}

#[test]
fn what_cannot_be_read_is_the_reason_and_not_the_half_tree() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(directory.path().join("holes")).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = write_aci_of(b"{}", root(&directory), Vec::new()).unwrap_err();
    assert!(matches!(error, ExportError::Tree(_)), "{error:?}");
}

#[test]
fn a_full_disk_ends_the_reading_too() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match bytes.contains(&7) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), vec![7; 4 << 20]).unwrap();
    let error = write_aci_of(b"{}", root(&directory), Full).unwrap_err();
    assert!(matches!(error, ExportError::Write(_)), "{error:?}");
}
