//! Good images with random damage: no import panics, and none leaves anything behind.

use proptest::prelude::*;

use super::*;
use crate::test_archive::docker_archive;

/// Offsets and what to write there.
type Damage = Vec<(prop::sample::Index, u8)>;

fn damaged(mut archive: Vec<u8>, damage: Damage, cut: Option<prop::sample::Index>) -> Vec<u8> {
    for (at, byte) in damage {
        let at = at.index(archive.len());
        archive[at] = byte;
    }
    if let Some(cut) = cut {
        archive.truncate(cut.index(archive.len()));
    }
    archive
}

fn subjects() -> [Vec<u8>; 5] {
    let layer = tree()
        .file("bin/.wh.x", "")
        .hard_link("bin/b", "app")
        .finish();
    let layers = [layer, Tar::default().file(".wh.app", "").finish()];
    [
        aci(rootfs_tree()),
        gzip(&aci(rootfs_tree())),
        Oci::of(&layers).archive(),
        docker_archive(&["a:b"], &layers),
        gzip(&docker_archive(&["a:b"], &layers)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn damaged_images_come_in_whole_or_not_at_all(
        subject in 0usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let bench = Bench::new();
        let bytes = damaged(subjects()[subject].clone(), damage, cut);
        let path = bench.write("image", &bytes);
        let before = bench.files();
        match bench.try_import(&path) {
            Ok(image) => prop_assert!(bench.store.get(&image.id).unwrap().is_some()),
            Err(_) => prop_assert_eq!(bench.files(), before),
        }
        prop_assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
    }
}
