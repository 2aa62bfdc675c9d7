//! Images go as they came: as a whole, with all that points to them.

use super::*;

fn file_count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// An image under a file's and a registry's name.
fn known(bench: &Bench) -> (String, StoredImage) {
    let file = bench.write("a.aci", &aci(rootfs_tree()));
    let image = bench.import(&file);
    let metadata = fs::metadata(&file).unwrap();
    let reference = crate::source::Reference::parse(&file).unwrap();
    let identity = hints::Identity::of(&metadata, &reference, "a");
    // A file this young gets no hint by itself.
    bench
        .store
        .remember(identity, &image.id, false, Some(&image.manifest));
    let name: RegistryReference = "redis:7".parse().unwrap();
    bench.store.name(&name.to_string(), &image, None).unwrap();
    (file, image)
}

#[test]
fn nothing_of_a_removed_image_is_left() {
    let bench = Bench::new();
    let (_, image) = known(&bench);
    let other = bench.import(&bench.layout("other", &Oci::of(&[tree().finish()])));
    assert!(bench.store.remove(&image.id).unwrap());
    assert_eq!(bench.store.get(&image.id).unwrap(), None);
    assert_eq!(bench.store.names().unwrap(), []);
    for directory in [bench.store.hints(), bench.store.tmp()] {
        assert_eq!(file_count(&directory), 0, "{}", directory.display());
    }
    assert_eq!(bench.store.get(&other.id).unwrap().unwrap().id, other.id);
    assert!(!bench.store.remove(&image.id).unwrap());
}

#[test]
fn names_and_hints_of_other_images_stay() {
    let bench = Bench::new();
    let (_, image) = known(&bench);
    let other = bench.import(&bench.layout("other", &Oci::of(&[tree().finish()])));
    bench.store.remove(&other.id).unwrap();
    let reference: RegistryReference = "redis:7".parse().unwrap();
    assert_eq!(bench.store.named(&reference).unwrap().id, image.id);
    assert_eq!(file_count(&bench.store.hints()), 1);
}

#[test]
fn a_pod_keeps_its_link_to_a_removed_image() {
    let bench = Bench::new();
    let (file, image) = known(&bench);
    let link = bench.dir.path().join("pod");
    fs::hard_link(&image.erofs_path, &link).unwrap();
    let before = contents_of(&link);
    bench.store.remove(&image.id).unwrap();
    assert_eq!(contents_of(&link), before);
    assert_is_tree(&bench.import(&file));
}

#[test]
fn what_a_killed_removal_left_is_swept_by_the_next_import() {
    let bench = Bench::new();
    let (file, image) = known(&bench);
    let doomed = bench.store.tmp().join(format!("removed-1-{}", image.id));
    fs::rename(bench.store.image(&image.id), doomed).unwrap();
    assert_eq!(bench.store.named(&"redis:7".parse().unwrap()), None);
    assert_is_tree(&bench.import(&file));
    assert_eq!(file_count(&bench.store.tmp()), 0);
}
