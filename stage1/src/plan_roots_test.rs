//! What the roots of apps are made of: images, and directories of the host.

use super::*;

/// An image whose files are a directory.
fn rendered(app: &str) -> Image {
    Image {
        root: Root::Directory {
            path: format!("opt/stage2/{app}/rootfs"),
        },
        ..image(EXEC)
    }
}

#[test]
fn a_directory_is_its_app_s_root_and_no_part_of_a_disk() {
    let manifest = pod(&[("a", 'a', ""), ("b", 'b', ""), ("c", 'a', "")], "");
    let images = [rendered("a"), image(EXEC), rendered("c")];
    let pod = plan(&manifest, &images).unwrap();
    let of_apps: Vec<&ImageFiles> = pod.plan.apps.iter().map(|app| &app.image).collect();
    let layers = ImageFiles::Layers(vec![0].try_into().unwrap());
    assert_eq!(
        of_apps,
        [&ImageFiles::Share(0), &layers, &ImageFiles::Share(1)]
    );
    assert_eq!((pod.plan.images.len(), pod.image_apps), (1, vec![1]));
    let share = |app: &str| Share {
        whose: format!("the root of app {app}"),
        source: format!("opt/stage2/{app}/rootfs"),
        kind: ShareKind::Root,
        read_only: false,
        recursive: true,
    };
    assert_eq!(pod.shares, [share("a"), share("c")]);
}

#[test]
fn a_machine_has_so_many_of_them() {
    let names: Vec<String> = (0..9).map(|number| format!("app{number}")).collect();
    let apps: Vec<_> = names.iter().map(|name| (name.as_str(), 'a', "")).collect();
    let images: Vec<Image> = names.iter().map(|name| rendered(name)).collect();
    assert!(plan(&pod(&apps[..8], ""), &images[..8]).is_ok());
    let error = plan(&pod(&apps, ""), &images).unwrap_err().to_string();
    assert!(
        error.starts_with("the root of app app8 is one more than the 8 "),
        "{error}"
    );
}

#[test]
fn one_that_is_added_takes_a_share_that_waits_for_it() {
    let manifest = pod(&[("a", 'a', "")], "");
    let images = [rendered("a")];
    let none = pod(&[], "");
    let empty = Input {
        mutable: true,
        block_images: false,
        ..input(&none, &[])
    };
    let pod = resolve(&empty).unwrap();
    assert_eq!(pod.plan.waiting_shares, 8);
    let size = pod.size;
    let add = |waiting, size| Grown::new(waiting).plan(&input(&manifest, &images), "a", size);
    assert!(add(1, Some(size)).is_ok());
    let added = add(0, None).unwrap();
    assert_eq!(added.app.app.image, ImageFiles::Share(0));
    assert_eq!((added.new_image, added.app.images.len()), (None, 0));
    assert_eq!(added.root.unwrap().source, "opt/stage2/a/rootfs");
    assert_eq!(
        add(0, Some(size)).unwrap_err().to_string(),
        "app a: its root is a directory, and the pod's machine has had 0 of those, as many as it has places for"
    );
}

#[test]
fn what_the_app_wrote_lies_in_it_and_needs_no_export() {
    let manifest = pod(&[("a", 'a', "")], "");
    let error = export(&manifest, &[rendered("a")], "a", SCRATCH).unwrap_err();
    assert_eq!(
        error.to_string(),
        "app a: its root is a directory, which has all that the app wrote: opt/stage2/a/rootfs"
    );
}

#[test]
fn apps_of_one_image_share_its_partition_and_none_shares_scratch() {
    let manifest = pod(&[("a", 'a', ""), ("b", 'b', ""), ("c", 'a', "")], "");
    let mut images = [image(EXEC), image(EXEC), image(EXEC)];
    images[1].root = of_blocks(200);
    let pod = plan(&manifest, &images).unwrap();
    let at = |start, length| Partition { start, length };
    let images: Vec<Partition> = pod.plan.images.iter().map(DiskImage::partition).collect();
    // With the blocks of their hashes.
    assert_eq!(images, [at(0, 3 * 4096), at(3 * 4096, 203 * 4096)]);
    let Root::Image { verity } = of_blocks(200) else {
        panic!("it is an image");
    };
    assert_eq!(pod.plan.images[1].verity, verity);
    assert_eq!(pod.image_apps, [0, 1]);
    let layers: Vec<u16> = pod
        .plan
        .apps
        .iter()
        .map(|app| app.image.layers()[0])
        .collect();
    assert_eq!(layers, [0, 1, 0]);
    let scratch: Vec<Partition> = pod.plan.apps.iter().map(|app| app.scratch).collect();
    assert_eq!(
        scratch,
        [
            at(0, SCRATCH),
            at(SCRATCH, SCRATCH),
            at(2 * SCRATCH, SCRATCH)
        ]
    );
}
