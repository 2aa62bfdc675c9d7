use super::*;

/// An archive with these files, each of its own name.
fn tree(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_ustar();
        // Names that `set_path` would refuse.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(u64::try_from(name.len()).unwrap());
        header.set_cksum();
        builder.append(&header, name.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn written(tree: &[u8]) -> Result<Vec<u8>, String> {
    let mut image = Vec::new();
    match write_aci(b"{}", tree, &mut image) {
        Ok(()) => Ok(image),
        Err(error) => {
            let cause = std::error::Error::source(&error);
            Err(format!(
                "{error} / {}",
                cause.map_or(String::new(), ToString::to_string)
            ))
        }
    }
}

#[test]
fn the_manifest_comes_first_and_the_tree_unchanged_behind_it() {
    let tree = tree(&["rootfs", "rootfs/a", "rootfs/b/c"]);
    let image = written(&tree).unwrap();
    assert_eq!(image[1024..], tree);
    let mut archive = tar::Archive::new(&image[..]);
    let entries = archive.entries().unwrap();
    let names: Vec<Vec<u8>> = entries
        .map(|entry| entry.unwrap().path_bytes().into_owned())
        .collect();
    assert_eq!(
        names,
        [&b"manifest"[..], b"rootfs", b"rootfs/a", b"rootfs/b/c"]
    );
}

#[test]
fn what_is_not_below_rootfs_is_named() {
    for name in [
        "manifest",
        "rootfs2",
        "rootfs/../manifest",
        "/rootfs/a/../../b",
    ] {
        let error = written(&tree(&[name])).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_tree_that_ends_too_early_makes_no_image() {
    let whole = tree(&["rootfs", "rootfs/a"]);
    for length in [0, 100, 512, 1024, 1500] {
        assert!(written(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn what_comes_behind_the_archive_is_not_the_image_s() {
    let tree = tree(&["rootfs"]);
    let more = [&tree[..], b"more"].concat();
    assert_eq!(written(&more).unwrap(), written(&tree).unwrap());
}

#[test]
fn an_image_that_cannot_be_written_is_told_as_that() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let tree = tree(&["rootfs", "rootfs/a"]);
    for writes in 0..6 {
        let error = write_aci(b"{}", &tree[..], Full(writes)).unwrap_err();
        assert!(matches!(error, ExportError::Write(_)), "{error:?}");
        assert!(!error.is_truncation());
    }
}
