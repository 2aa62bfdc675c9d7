//! Our stage1 image under another stage0, which follows the interface and knows no block images: apps' roots are directories.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::bulkhead::has_machines;
use crate::killed::process;
use crate::leftovers::no_processes;
use crate::stage0::{Prepared, Rendered};

/// The vector of the interface's current version.
const NOW: [&str; 5] = [
    "--net=none",
    "--hostname=box",
    "--dns-conf-mode=resolv=default,hosts=default",
    "--local-config=/etc/rkt",
    "--ipc=",
];

const WAITS: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";

#[test]
fn an_app_runs_in_the_directory_and_what_it_writes_lies_there() {
    let pod = Prepared::new(Rendered::Overlay).app(
        "app",
        "echo hello; id -u; hostname; cat /etc/hostname; grep -c localhost /etc/hosts; \
         echo text > /written; chown 1000:1001 /written; chmod 4640 /written; rm /etc/group; \
         grep ' / ' /proc/mounts | grep -c -e nosuid -e ro,; exit 7",
    );
    let image = pod.directory.join("../../../cas/tree/rootfs");
    assert!(pod.root_of("app").join("etc/group").exists());
    pod.run(&NOW)
        .run()
        .exits(7)
        .prints("hello\n0\nbox\nbox\n2\n0\n");
    assert_eq!(pod.status("app"), "7");
    // Where rkt looks when nothing is mounted any more.
    let status = fs::read(pod.directory.join("overlay/stage1/upper/rkt/status/app"));
    assert_eq!(status.unwrap(), b"7");
    assert!(!pod.is_locked());
    let written = pod.root_of("app").join("written");
    assert_eq!(fs::read_to_string(&written).unwrap(), "text\n");
    let metadata = fs::metadata(&written).unwrap();
    let seen = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
    assert_eq!(seen, (1000, 1001, 0o4640));
    assert!(!pod.root_of("app").join("etc/group").exists());
    assert!(image.join("etc/group").exists() && !image.join("written").exists());
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn two_apps_have_a_directory_each_and_volumes_between_them() {
    let mounts = json!([{"volume": "shared", "path": "/shared"}]);
    let own = json!([
        {"volume": "shared", "path": "/shared"},
        {"volume": "own", "path": "/own"},
        {"volume": "host", "path": "/host"},
    ]);
    let pod = Prepared::new(Rendered::Copy)
        .volume("shared")
        .volume("own")
        .host_volume("host")
        .app_with(
            "one",
            "echo of one > /mine; touch /own/x; cp /mine /host/file; echo word > /shared/new; mv /shared/new /shared/word",
            own,
        )
        .app_with(
            "two",
            "while [ ! -e /shared/word ]; do sleep 0.1; done; cat /shared/word; ls /own /mine; exit 5",
            mounts,
        );
    pod.run(&NOW).run().exits(5).shows("two: word\n");
    assert_eq!(
        (pod.status("one"), pod.status("two")),
        ("0".into(), "5".into())
    );
    let mine = |app: &str| pod.root_of(app).join("mine").exists();
    assert!(mine("one") && !mine("two"));
    let of_host = fs::read_to_string(pod.in_host_volume("host", "file"));
    assert_eq!(of_host.unwrap(), "of one\n");
    // An empty volume is the pod's, and never in the directory.
    assert!(!pod.root_of("one").join("own/x").exists());
}

#[test]
fn a_running_pod_is_entered_attached_to_stopped_and_collected() {
    let pod = Prepared::new(Rendered::Overlay).app("app", WAITS);
    let env = pod.rootfs().join("rkt/env");
    fs::create_dir_all(&env).unwrap();
    fs::write(env.join("app"), "AC_APP_NAME=app\n").unwrap();
    let etc = pod.rootfs().join("etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("rkt-resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    let running = pod.start(&["--net=none", "--dns-conf-mode=resolv=stage0,hosts=default"]);
    pod.wait_ready();
    assert!(pod.is_locked());
    let script = "echo $AC_APP_NAME $TERM; cat /etc/resolv.conf; echo text > /entered; exit 3";
    pod.enter("app", &["/bin/sh", "-c", script])
        .variable("TERM", "xterm")
        .run()
        .exits(3)
        .prints("app xterm\nnameserver 192.0.2.1\n");
    let entered = fs::read_to_string(pod.root_of("app").join("entered"));
    assert_eq!(entered.unwrap(), "text\n");
    let list = ["--action=list", "--app=app", "--debug=false"];
    pod.cross("attach", &list).run().exits(0);
    pod.call("stop", &[]).run().exits(0);
    running.finish().exits(0);
    assert_eq!(pod.status("app"), "0");
    assert!(!pod.rootfs().join("rkt/supervisor-status").exists());
    assert!(!pod.is_locked());
    // What has ended is what is asked for.
    pod.call("stop", &["--force"]).run().exits(0);
    assert_eq!(pod.has("gc"), !has_machines());
    if pod.has("gc") {
        let words = ["--debug", "--local-config", "/etc/rkt"];
        pod.call("gc", &words).run().exits(0);
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn older_versions_of_the_interface_say_less() {
    let first = ["--debug=false", "--net=none", "--mds-token=00ff"];
    let third = [
        "--net=none",
        "--interactive=false",
        "--hostname=box",
        "--disable-capabilities-restriction",
        "--disable-paths",
        "--disable-seccomp",
    ];
    for arguments in [&first[..], &third[..], &[][..]] {
        let pod = Prepared::new(Rendered::Copy).app("app", "echo runs");
        pod.run(arguments).run().exits(0).prints("runs\n");
        assert_eq!(pod.status("app"), "0");
    }
}

#[test]
fn a_volume_that_a_converted_image_declares_starts_with_what_is_there() {
    let mut pod = Prepared::new(Rendered::Copy);
    let volume = json!([{"name": "data", "path": "/data"}]);
    pod.add_with(
        "app",
        json!({"exec": ["/bin/ls", "/data"], "user": "0", "group": "0", "mountPoints": volume}),
    );
    pod.write_manifest();
    let data = pod.root_of("app").join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("of-the-image"), "").unwrap();
    let manifest = pod.stage2("app").join("manifest");
    let mut image: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    image["annotations"] = json!([{"name": "appc.io/docker/tag", "value": "1"}]);
    fs::write(&manifest, image.to_string()).unwrap();
    pod.run(&NOW).run().exits(0).prints("of-the-image\n");
}

#[test]
fn a_read_only_root_is_so_to_the_app() {
    let mut pod = Prepared::new(Rendered::Copy);
    let read_only = json!({"readOnlyRootFS": true});
    pod.add("app", "touch /x || echo refused", read_only);
    pod.write_manifest();
    pod.run(&NOW).run().exits(0).prints("refused\n");
}

#[test]
fn what_stage0_did_not_prepare_is_named() {
    type Damage = fn(&Prepared);
    let cases: [(Damage, &str); 6] = [
        (
            |pod| fs::remove_file(pod.directory.join("pod")).unwrap(),
            "read pod: No such file",
        ),
        (
            |pod| fs::write(pod.directory.join("pod"), "{").unwrap(),
            "pod manifest",
        ),
        (
            |pod| fs::remove_file(pod.stage2("app").join("manifest")).unwrap(),
            "opt/stage2/app/manifest: No such file",
        ),
        (
            |pod| fs::write(pod.stage2("app").join("manifest"), "{}").unwrap(),
            "app app: image manifest",
        ),
        (
            |pod| fs::remove_dir_all(pod.root_of("app")).unwrap(),
            "app app: there is neither its image stage1/rootfs/opt/stage2/app/rootfs.erofs nor its root stage1/rootfs/opt/stage2/app/rootfs",
        ),
        (
            |pod| {
                fs::remove_dir_all(pod.root_of("app")).unwrap();
                std::os::unix::fs::symlink("/", pod.root_of("app")).unwrap();
            },
            "rootfs is no directory",
        ),
    ];
    for (damage, text) in cases {
        let pod = Prepared::new(Rendered::Copy).app("app", "echo runs");
        damage(&pod);
        pod.run(&NOW).run().exits(254).prints("").says(text);
        assert!(!pod.directory.join("pid").exists());
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

/// Whether the container holds a directory of the host for an app.
fn container_has_a_root() -> bool {
    let mounts = format!("/proc/{}/mountinfo", process("container"));
    let mounts = fs::read_to_string(mounts).unwrap();
    mounts.contains(" /shares/share0 ")
}

#[test]
fn apps_come_and_go_and_what_they_write_lies_in_their_directories() {
    let mut pod = Prepared::new(Rendered::Overlay);
    pod.write_manifest();
    let running = pod.start(&["--net=none", "--mutable"]);
    pod.wait_ready();
    pod.add("app", "echo text > /written; sleep 600", json!({}));
    pod.write_manifest();
    let app = |words: &[&str]| {
        let mut all = vec!["--debug=false"];
        all.extend(words);
        all.push("--app=app");
        all.iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let cross = |pod: &Prepared, verb: &str, words: &[&str]| {
        let words = app(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        pod.cross(&format!("app/{verb}"), &words).run()
    };
    let uuid = format!("--uuid={}", crate::stage0::UUID);
    cross(&pod, "add", &[&uuid]).exits(0);
    cross(&pod, "start", &[]).exits(0);
    let written = pod.root_of("app").join("written");
    while fs::read(&written).unwrap_or_default() != b"text\n" {
        std::thread::yield_now();
    }
    pod.enter("app", &["cat", "/written"])
        .run()
        .exits(0)
        .prints("text\n");
    cross(&pod, "stop", &[]).exits(0);
    cross(&pod, "stop", &[]).exits(5);
    assert!(has_machines() || container_has_a_root());
    cross(&pod, "rm", &[]).exits(0);
    assert!(has_machines() || !container_has_a_root());
    pod.delete_app("app");
    pod.forget("app");
    pod.call("stop", &[]).run().exits(0);
    running.finish().exits(0);
    assert_eq!(no_processes(), Vec::<String>::new());
}
