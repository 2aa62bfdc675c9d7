//! The store itself: nothing is done twice, nothing is left behind.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::*;
use crate::source::Reference;
use crate::store::hints::{Identity, Recalled};
use crate::test_archive::docker_archive;

#[test]
fn a_second_import_does_nothing() {
    let bench = Bench::new();
    let layer = tree().finish();
    let references = [
        bench.write("a.aci", &gzip(&aci(rootfs_tree()))),
        bench.layout("layout", &Oci::of(std::slice::from_ref(&layer))),
        bench.write("d.tar", &docker_archive(&[], &[layer])),
    ];
    for reference in &references {
        let first = bench.import(reference);
        let before = fs::metadata(&first.erofs_path).unwrap();
        let mut seen = Vec::new();
        let second = bench
            .store
            .import(
                reference,
                Signatures::Unneeded,
                &Importer::Here,
                Dependencies::OfStore,
                &mut |p| seen.push(p),
            )
            .unwrap();
        assert_eq!(second.id, first.id);
        let after = fs::metadata(&first.erofs_path).unwrap();
        assert_eq!(
            (after.ino(), after.ctime_nsec()),
            (before.ino(), before.ctime_nsec())
        );
        let stores = |p: &Progress| matches!(p, Progress::Storing { .. });
        assert!(!seen.iter().any(stores), "{seen:?}");
    }
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn images_are_read_only_and_complete() {
    let bench = Bench::new();
    let image = bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    assert_eq!(
        fs::metadata(&image.erofs_path).unwrap().mode() & 0o777,
        0o444
    );
    assert_eq!(bench.store.get(&image.id).unwrap(), Some(image.clone()));
    let absent: ImageId = ImageId::of(b"something else");
    assert_eq!(bench.store.get(&absent).unwrap(), None);
    let names = fs::read_dir(image.erofs_path.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 4);
}

#[test]
fn what_a_dead_import_left_is_swept_and_a_living_one_is_not() {
    let bench = Bench::new();
    let dead = bench.store.tmp().join("import-1-0");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("rootfs.erofs"), "half").unwrap();
    fs::write(bench.store.tmp().join("file"), "").unwrap();
    let living = workspace::Workspace::create(&bench.store).unwrap();
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 1);
    bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 1);
    drop(living);
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn imports_at_the_same_time_agree() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let ids: Vec<ImageId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.import(&path).id))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_is_tree(&bench.store.get(&ids[0]).unwrap().unwrap());
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn an_image_that_many_want_is_converted_once() {
    let bench = Bench::new();
    let layout = bench.layout("layout", &Oci::of(&[tree().finish()]));
    let conversions = || {
        let mut count = 0;
        let mut step = |p| count += u32::from(matches!(p, Progress::Storing { .. }));
        bench
            .store
            .import(
                &layout,
                Signatures::Unneeded,
                &Importer::Here,
                Dependencies::OfStore,
                &mut step,
            )
            .unwrap();
        count
    };
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(conversions)).collect();
        let counts = threads.into_iter().map(|thread| thread.join().unwrap());
        counts.sum::<u32>()
    });
    assert_eq!(counts, 1);
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

fn identity(path: &str, name: &str) -> Identity {
    let reference = Reference::parse(path).unwrap();
    Identity::of(&fs::metadata(path).unwrap(), &reference, name)
}

#[test]
fn a_hint_holds_as_long_as_its_file_does_not_change() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let image = bench.import(&path);
    bench
        .store
        .remember(identity(&path, "a"), &image.id, false, None);
    assert_eq!(
        bench.store.recall(&identity(&path, "a")),
        Some(Recalled {
            image: image.clone(),
            is_aci: false
        })
    );
    assert_eq!(bench.store.recall(&identity(&path, "b")), None);
    fs::write(&path, "other").unwrap();
    assert_eq!(bench.store.recall(&identity(&path, "a")), None);

    bench
        .store
        .remember(identity(&path, "a"), &image.id, false, None);
    fs::remove_dir_all(bench.store.image(&image.id)).unwrap();
    assert_eq!(
        bench.store.recall(&identity(&path, "a")),
        None,
        "its image is gone"
    );
}

#[test]
fn a_damaged_hint_is_no_hint() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let image = bench.import(&path);
    let identity = identity(&path, "a");
    bench
        .store
        .remember(identity.clone(), &image.id, false, None);
    let hint = bench.store.hints().join(identity.key());
    for damage in [&b"{}"[..], b"", b"{\"identity\":", &[0xff; 100]] {
        fs::write(&hint, damage).unwrap();
        assert_eq!(bench.store.recall(&identity), None);
        assert_eq!(bench.import(&path).id, image.id);
    }
}

#[test]
fn hints_are_bounded() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let image = bench.import(&path);
    for i in 0..crate::limits::MAX_HINTS + 5 {
        bench
            .store
            .remember(identity(&path, &i.to_string()), &image.id, false, None);
    }
    let count = fs::read_dir(bench.store.hints()).unwrap().count();
    assert!(count <= crate::limits::MAX_HINTS, "{count}");
}

#[test]
fn a_file_that_was_just_written_gets_no_hint() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let metadata = fs::metadata(&path).unwrap();
    let nanos = u32::try_from(metadata.ctime_nsec()).unwrap();
    let changed = Duration::new(u64::try_from(metadata.ctime()).unwrap(), nanos);
    let changed = SystemTime::UNIX_EPOCH + changed;
    let identity = identity(&path, "a");
    assert!(!identity.is_settled(changed + Duration::from_millis(1)));
    assert!(!identity.is_settled(changed - Duration::from_secs(1)));
    assert!(identity.is_settled(changed + Duration::from_secs(3)));
}
