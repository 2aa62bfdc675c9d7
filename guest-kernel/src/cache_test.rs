use super::*;

fn quiet(_: &str) {}

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    (dir, cache)
}

fn fill(stage: &Stage) {
    fs::write(stage.dir().join("vmlinux"), b"12345").unwrap();
    fs::write(stage.dir().join("bzImage"), b"123").unwrap();
    fs::write(
        stage.dir().join("config"),
        b"CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=64\n",
    )
    .unwrap();
}

#[test]
fn the_directory_comes_from_the_environment() {
    let some = |text: &str| Some(OsString::from(text));
    assert_eq!(
        choose(some("/own"), some("/xdg"), some("/home/u")),
        Path::new("/own")
    );
    assert_eq!(
        choose(None, some("/xdg"), some("/home/u")),
        Path::new("/xdg/bulkhead")
    );
    assert_eq!(
        choose(some(""), some(""), some("/home/u")),
        Path::new("/home/u/.cache/bulkhead")
    );
    assert_eq!(choose(None, None, None), Path::new("/var/cache/bulkhead"));
}

#[test]
fn a_published_entry_is_found_with_its_figures() {
    let (_dir, cache) = cache();
    assert_eq!(cache.lookup("abc").unwrap(), None);
    let stage = cache.stage("abc").unwrap();
    fill(&stage);
    let built = cache.publish(stage).unwrap();
    assert!(!built.cached);
    let found = cache.lookup("abc").unwrap().unwrap();
    assert_eq!(
        found,
        Kernel {
            cached: true,
            ..built
        }
    );
    assert_eq!(
        (found.options_set, found.vmlinux_size, found.bzimage_size),
        (1, 5, 3)
    );
}

#[test]
fn a_failed_build_leaves_nothing() {
    let (_dir, cache) = cache();
    let stage = cache.stage("abc").unwrap();
    fill(&stage);
    drop(stage);
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 0);
}

#[test]
fn the_next_build_removes_what_an_interrupted_one_left() {
    let (_dir, cache) = cache();
    std::mem::forget(cache.stage("killed").unwrap());
    let entry = cache.stage("whole").unwrap();
    fill(&entry);
    cache.publish(entry).unwrap();
    let lock = cache.lock(&mut quiet).unwrap();
    let mut names: Vec<_> = fs::read_dir(&cache.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", "whole"]);
    drop(lock);
}

#[test]
fn a_second_builder_waits_for_the_first() {
    let (dir, cache) = cache();
    let first = cache.lock(&mut quiet).unwrap();
    let (said, heard) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let cache = Cache::open(dir.path()).unwrap();
        let lock = cache
            .lock(&mut |line| said.send(line.to_owned()).unwrap())
            .unwrap();
        drop(lock);
    });
    assert_eq!(
        heard.recv().unwrap(),
        "waiting for another build of the guest kernel"
    );
    drop(first);
    second.join().unwrap();
}

#[test]
fn the_source_is_hashed_once() {
    let (dir, cache) = cache();
    let tarball = dir.path().join("linux.tar.xz");
    fs::write(&tarball, b"abc").unwrap();
    let mut lines = Vec::new();
    let first = cache
        .tarball_digest(&tarball, &mut |line| lines.push(line.to_owned()))
        .unwrap();
    let second = cache
        .tarball_digest(&tarball, &mut |line| lines.push(line.to_owned()))
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(lines, ["hashing the kernel source package"]);
    fs::write(&tarball, b"abcd").unwrap();
    assert_ne!(cache.tarball_digest(&tarball, &mut quiet).unwrap(), first);
}
