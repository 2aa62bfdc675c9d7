use super::*;

fn parts(dir: &Path) -> Parts {
    let part = |name: &str| {
        let path = dir.join(name);
        fs::write(&path, format!("this is {name}")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    };
    Parts {
        run: part("stage1-run"),
        enter: part("stage1-enter"),
        stop: part("stage1-stop"),
        app: part("stage1-app"),
        relay: part("stage1-relay"),
        isolation: Isolation::Machine(MachineParts {
            vmm: part("vmm"),
            virtiofsd: part("virtiofsd"),
            agent: part("agent"),
            vmlinux: part("vmlinux"),
            bzimage: part("bzImage"),
        }),
        version: "0.1.0".into(),
    }
}

#[test]
fn the_image_without_machines_has_the_container_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("container");
    let mut parts = parts(dir.path());
    let program = dir.path().join("program");
    fs::write(&program, "this is a program").unwrap();
    parts.isolation = Isolation::Container(ContainerParts {
        container: program.clone(),
        gc: program,
    });
    let entries = assemble(&parts, &image).unwrap();
    let paths: Vec<_> = entries.iter().filter_map(|e| e.path.to_str()).collect();
    let files = [
        "app-add",
        "app-rm",
        "app-start",
        "app-stop",
        "container",
        "enter",
        "gc",
        "relay",
        "run",
        "scratch.ext4",
        "stop",
    ];
    let files = files.map(|file| format!("rootfs/{file}"));
    assert_eq!(paths[0], "manifest");
    assert_eq!(paths[1..], files);
    let manifest = fs::read_to_string(image.join("manifest")).unwrap();
    for word in ["bulkhead.dev/stage1-container", "coreos.com/rkt/stage1/gc"] {
        assert!(manifest.contains(word), "{word}");
    }
}

#[test]
fn the_image_has_every_part_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("kvm");
    let entries = assemble(&parts(dir.path()), &image).unwrap();
    let paths: Vec<_> = entries
        .iter()
        .map(|entry| entry.path.to_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "manifest",
            "rootfs/app-add",
            "rootfs/app-rm",
            "rootfs/app-start",
            "rootfs/app-stop",
            "rootfs/enter",
            "rootfs/initramfs.cpio",
            "rootfs/kernel/bzImage",
            "rootfs/kernel/vmlinux",
            "rootfs/relay",
            "rootfs/run",
            "rootfs/scratch.ext4",
            "rootfs/stop",
            "rootfs/virtiofsd",
            "rootfs/vmm",
        ]
    );
    let rootfs = image.join("rootfs");
    assert!(rootfs.join("rkt/status").is_dir() && rootfs.join("opt/stage2").is_dir());
    assert_eq!(
        fs::read_to_string(rootfs.join("run")).unwrap(),
        "this is stage1-run"
    );
    let mode = |name: &str| {
        fs::metadata(rootfs.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode("run"), mode("kernel/vmlinux")), (0o755, 0o644));
    let is_scratch = |entry: &&Entry| entry.path.ends_with("scratch.ext4");
    let scratch = entries.iter().find(is_scratch).unwrap();
    assert!(scratch.size < scratch::SIZE_BYTES / 10 && scratch.allocated < scratch.size / 1000);
}

#[test]
fn a_new_image_replaces_the_old_one_and_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("parts"), dir.path().join("stage1"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    let image = target.join("kvm");
    let parts = parts(&source);
    assemble(&parts, &image).unwrap();
    let pod = dir.path().join("pod-run");
    fs::hard_link(image.join("rootfs/run"), &pod).unwrap();

    fs::write(&parts.run, "newer").unwrap();
    assemble(&parts, &image).unwrap();
    assert_eq!(
        fs::read_to_string(image.join("rootfs/run")).unwrap(),
        "newer"
    );
    assert_eq!(fs::read_to_string(&pod).unwrap(), "this is stage1-run");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

#[test]
fn a_missing_part_is_named_and_the_old_image_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("parts"), dir.path().join("stage1"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    let image = target.join("kvm");
    let mut parts = parts(&source);
    assemble(&parts, &image).unwrap();

    parts.relay = source.join("no-relay");
    let error = assemble(&parts, &image).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot copy {}", parts.relay.display())
    );
    assert_eq!(
        fs::read_to_string(image.join("rootfs/vmm")).unwrap(),
        "this is vmm"
    );
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}
