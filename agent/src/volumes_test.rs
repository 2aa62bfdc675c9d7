use std::os::unix::fs::{MetadataExt, symlink};

use bulkhead_protocol::plan::{Fill, ImageFiles};

use super::*;

fn empty() -> EmptyVolume {
    EmptyVolume {
        shared: false,
        mode: None,
        uid: None,
        gid: None,
        fill: None,
    }
}

fn filled(path: &str) -> EmptyVolume {
    EmptyVolume {
        fill: Some(Fill {
            image: ImageFiles::Layers(vec![0].try_into().unwrap()),
            path: path.try_into().unwrap(),
        }),
        ..empty()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_volume_is_made_once_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("volumes");
    let path = find_or_make(&base, 3, &empty(), None).unwrap();
    assert_eq!(path, base.join("3"));
    assert_eq!(mode(&path), 0o755);
    fs::write(path.join("file"), "kept").unwrap();
    find_or_make(&base, 3, &empty(), None).unwrap();
    assert_eq!(fs::read(path.join("file")).unwrap(), b"kept");
}

#[test]
fn what_a_killed_process_left_is_not_taken_for_a_volume() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("0.new/half")).unwrap();
    let path = find_or_make(directory.path(), 0, &empty(), None).unwrap();
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn it_is_filled_through_the_images_links_with_the_images_mode() {
    let (directory, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(image.path().join("real/data")).unwrap();
    fs::write(image.path().join("real/data/file"), "image").unwrap();
    fs::set_permissions(
        image.path().join("real/data"),
        Permissions::from_mode(0o1770),
    )
    .unwrap();
    symlink("/real", image.path().join("link")).unwrap();

    let planned = filled("/link/data");
    let path = find_or_make(directory.path(), 0, &planned, Some(image.path())).unwrap();
    assert_eq!(fs::read(path.join("file")).unwrap(), b"image");
    assert_eq!(mode(&path), 0o1770);

    let planned = EmptyVolume {
        mode: Some(0o700),
        ..filled("/link/data")
    };
    let path = find_or_make(directory.path(), 1, &planned, Some(image.path())).unwrap();
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn a_path_that_the_image_does_not_have_fills_nothing() {
    let (directory, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(image.path().join("file"), "").unwrap();
    for (number, path) in [(0, "/missing"), (1, "/file"), (2, "/file/below")] {
        let path =
            find_or_make(directory.path(), number, &filled(path), Some(image.path())).unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }
}
