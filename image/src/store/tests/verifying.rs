//! Damage on the disk is found, and the next import makes the image anew.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn known(bench: &Bench) -> (String, StoredImage, PathBuf) {
    let file = bench.write("a.aci", &aci(rootfs_tree()));
    let image = bench.import(&file);
    let entry = bench.store.image(&image.id);
    (file, image, entry)
}

/// Changes one byte.
fn damage(path: &Path, at: usize) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn problem(bench: &Bench, id: &ImageId) -> (String, bool) {
    let error = bench.store.verify(id).unwrap_err();
    let text = error.to_string();
    let images = bench.store.images().join(id.as_str());
    let text = text.replace(images.to_str().unwrap(), "ENTRY");
    (text, error.is_damage())
}

#[test]
fn an_image_is_what_it_was() {
    let bench = Bench::new();
    let (_, image, entry) = known(&bench);
    bench.store.verify(&image.id).unwrap();
    let check = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "digests"])
        .current_dir(entry)
        .status()
        .unwrap();
    assert!(check.success());
}

#[test]
fn one_wrong_bit_is_found_wherever_it_is() {
    let bench = Bench::new();
    let (_, image, entry) = known(&bench);
    let length = usize::try_from(image.size).unwrap();
    for at in [0, length / 2, length - 1] {
        damage(&image.erofs_path, at);
        let expected = ("ENTRY/rootfs.erofs is damaged".to_owned(), true);
        assert_eq!(problem(&bench, &image.id), expected, "{at}");
        damage(&image.erofs_path, at);
        bench.store.verify(&image.id).unwrap();
    }
    for name in ["manifest", "verity"] {
        damage(&entry.join(name), 3);
        let expected = (format!("ENTRY/{name} is damaged"), true);
        assert_eq!(problem(&bench, &image.id), expected);
        damage(&entry.join(name), 3);
    }
}

#[test]
fn an_image_of_which_nobody_knows_what_is_right_is_none() {
    let bench = Bench::new();
    let (file, image, entry) = known(&bench);
    for nonsense in ["", "no digest\n", &"x".repeat(1000)] {
        fs::remove_file(entry.join("verity")).unwrap();
        fs::write(entry.join("verity"), nonsense).unwrap();
        assert_eq!(bench.store.get(&image.id).unwrap(), None, "{nonsense}");
        assert_eq!(bench.import(&file), image);
        bench.store.verify(&image.id).unwrap();
    }
}

#[test]
fn a_lost_file_is_found_and_made_anew_by_the_next_import() {
    for name in ["manifest", "rootfs.erofs", "verity"] {
        let bench = Bench::new();
        let (file, image, entry) = known(&bench);
        fs::remove_file(entry.join(name)).unwrap();
        let expected = (format!("ENTRY/{name} is missing"), true);
        assert_eq!(problem(&bench, &image.id), expected);
        assert_eq!(bench.store.find_id(image.id.as_str()).unwrap(), image.id);
        assert_is_tree(&bench.import(&file));
        bench.store.verify(&image.id).unwrap();
    }
}

#[test]
fn an_image_without_digests_is_not_called_damaged() {
    let bench = Bench::new();
    let (_, image, entry) = known(&bench);
    let says_nothing = (
        "ENTRY/digests says of no files what they were".to_owned(),
        false,
    );
    let digests = entry.join("digests");
    for content in ["", "abc  rootfs.erofs\n", &"x".repeat(1000)] {
        fs::remove_file(&digests).unwrap();
        fs::write(&digests, content).unwrap();
        assert_eq!(problem(&bench, &image.id), says_nothing, "{content}");
    }
    fs::remove_file(&digests).unwrap();
    assert_eq!(problem(&bench, &image.id), says_nothing);
}

#[test]
fn a_removed_image_is_made_anew_by_the_next_import() {
    let bench = Bench::new();
    let (file, image, _) = known(&bench);
    damage(&image.erofs_path, 5000);
    assert!(problem(&bench, &image.id).1);
    bench.store.remove(&image.id).unwrap();
    bench.import(&file);
    bench.store.verify(&image.id).unwrap();
}
