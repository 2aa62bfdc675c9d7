//! Who takes an image has it whole, whoever removes it meanwhile.

use std::fs::TryLockError;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_removal_waits_for_who_holds_an_image() {
    let bench = Bench::new();
    let image = bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    let held = bench.store.hold(&image.id).unwrap().unwrap();
    let entry = fs::File::open(bench.store.image(&image.id)).unwrap();
    assert!(matches!(entry.try_lock(), Err(TryLockError::WouldBlock)));
    drop(held);
    assert!(bench.store.remove(&image.id).unwrap());
    assert!(bench.store.hold(&image.id).unwrap().is_none());
}

#[test]
fn what_is_held_can_be_linked_to_while_others_remove_it() {
    let bench = Bench::new();
    let file = bench.write("a.aci", &aci(rootfs_tree()));
    let (id, done) = (bench.import(&file).id, AtomicBool::new(false));
    let link = bench.store.tmp().join("link");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                bench.store.remove(&id).unwrap();
            }
        });
        for _ in 0..100 {
            let image = bench.import(&file);
            let Some(_held) = bench.store.hold(&image.id).unwrap() else {
                continue;
            };
            fs::hard_link(&image.erofs_path, &link).unwrap();
            fs::hard_link(&image.verity_path, link.with_extension("verity")).unwrap();
            fs::remove_file(&link).unwrap();
            fs::remove_file(link.with_extension("verity")).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
