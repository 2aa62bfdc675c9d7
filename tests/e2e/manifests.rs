//! Written pod manifests, one kind of field after the other: what they promise holds, and what makes no sense starts nothing.

use std::fs;

use serde_json::{Value, json};

use crate::written::Written;

#[test]
fn arguments_directory_and_environment_are_the_manifest_s() {
    let pods = Written::new();
    let words = [
        "/bin/echo",
        "-n",
        "a b",
        "",
        "'\"\\",
        "$HOME",
        "*",
        "\n",
        "äöü",
    ];
    let app = pods.app("app", "", json!({}), json!({"exec": words}));
    pods.run(&[app], json!({}))
        .exits(0)
        .prints("a b  '\"\\ $HOME * \n äöü");
    let of_app = json!({
        "workingDirectory": "/bin",
        "environment": [{"name": "A", "value": "$B 'c'"}, {"name": "PATH", "value": "/bin"}]
    });
    let app = pods.app("app", "pwd; echo $A $PATH; umask", json!({}), of_app);
    pods.run(&[app], json!({}))
        .exits(0)
        .prints("/bin\n$B 'c' /bin\n0022\n");
}

/// Both kinds of volumes, in the four ways in which volume and mount point can speak of writing, below both kinds of roots.
#[test]
fn volumes_are_writable_as_volume_or_else_mount_point_says_whatever_the_root_is() {
    let host = tempfile::tempdir().unwrap();
    let (mut volumes, mut points, mut mounts) = (Vec::new(), Vec::new(), Vec::new());
    let mut writable = String::new();
    for kind in ["empty", "host"] {
        for (way, of_volume, of_point, writes) in [
            ("plain", None, false, true),
            ("volume", Some(true), false, false),
            ("point", None, true, false),
            ("both", Some(false), true, true),
        ] {
            let (name, path) = (format!("{kind}-{way}"), format!("/v/{kind}/{way}"));
            let mut volume = json!({"name": name, "kind": kind});
            if kind == "host" {
                let source = host.path().join(way);
                fs::create_dir(&source).unwrap();
                volume["source"] = json!(source);
            }
            if let Some(read_only) = of_volume {
                volume["readOnly"] = json!(read_only);
            }
            volumes.push(volume);
            points.push(json!({"name": name, "path": path, "readOnly": of_point}));
            mounts.push(json!({"volume": name, "path": path}));
            if writes {
                writable += &format!("{path}\n");
            }
        }
    }
    let pods = Written::new();
    let script = "for d in /v/*/*; do touch $d/file 2>/dev/null && echo $d; done; touch /root-file 2>/dev/null && echo /; true";
    for (read_only, root) in [(false, "/\n"), (true, "")] {
        let of_pod = json!({"mounts": mounts, "readOnlyRootFS": read_only});
        let app = pods.app("app", script, of_pod, json!({"mountPoints": points}));
        // The shell's order of names.
        let mut expected: Vec<&str> = writable.lines().collect();
        expected.sort_unstable();
        pods.run(&[app], json!({"volumes": volumes}))
            .exits(0)
            .prints(&format!("{}\n{root}", expected.join("\n")));
        for way in ["plain", "both"] {
            fs::remove_file(host.path().join(way).join("file")).unwrap();
        }
        assert!(!host.path().join("volume/file").exists());
    }
}

#[test]
fn one_volume_is_mounted_where_each_app_wants_it() {
    let pods = Written::new();
    let mount = |path: &str| json!({"mounts": [{"volume": "v", "path": path}]});
    let point = json!({"mountPoints": [{"name": "v", "path": "/of/the/image"}]});
    let wait = "until test -e $D/b; do sleep 0.1; done; cat $D/b";
    let at = |directory: &str| json!({"environment": [{"name": "D", "value": directory}]});
    let mut by_name = at("/of/the/image");
    by_name["mountPoints"] = point["mountPoints"].clone();
    let apps = [
        pods.app(
            "first",
            &format!("echo a > /x/a; {wait}"),
            mount("/x"),
            at("/x"),
        ),
        pods.app(
            "second",
            "cd /y/z; until test -e a; do sleep 0.1; done; cat a; echo b > new; mv new b",
            mount("/y/z"),
            json!({}),
        ),
        pods.app("third", wait, json!({}), by_name),
    ];
    pods.run(&apps, json!({"volumes": [{"name": "v", "kind": "empty"}]}))
        .exits(0)
        .shows("first: b")
        .shows("second: a")
        .shows("third: b");
}

#[test]
fn users_and_groups_are_numbers_names_root_and_owners() {
    let pods = Written::new();
    let ids = |user: &str, group: &str, others: &[u32]| json!({"user": user, "group": group, "supplementaryGIDs": others});
    let apps: Vec<Value> = [
        ("numbers", ids("7", "8", &[])),
        ("names", ids("nobody", "nogroup", &[])),
        ("root", ids("root", "root", &[9, 10])),
        ("owners", ids("/etc/passwd", "/bin/busybox", &[])),
        ("mixed", ids("nobody", "5", &[6])),
    ]
    .map(|(name, of_app)| pods.app(name, "echo $(id -u) $(id -g) $(id -G)", json!({}), of_app))
    .to_vec();
    pods.run(&apps, json!({}))
        .exits(0)
        .shows("numbers: 7 8 8")
        .shows("names: 65534 65534 65534")
        .shows("root: 0 0 0 9 10")
        .shows("owners: 0 0 0")
        .shows("mixed: 65534 5 5 6");
}

#[test]
fn an_app_of_the_pod_takes_the_place_of_the_image_s() {
    let pods = Written::new();
    let retain = json!([{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL", "CAP_CHOWN"]}}]);
    let limit = json!([{"name": "resource/memory", "value": {"limit": "42Mi"}},
        {"name": "resource/cpu", "value": {"limit": "900m"}}]);
    let apps = [
        pods.app(
            "few",
            "grep CapBnd /proc/self/status",
            json!({}),
            json!({"isolators": retain}),
        ),
        pods.app(
            "default",
            "grep CapBnd /proc/self/status",
            json!({}),
            json!({}),
        ),
        pods.app(
            "limited",
            "cd /sys/fs/cgroup; cat memory.max cpu.max",
            json!({}),
            json!({"isolators": limit}),
        ),
    ];
    pods.run(&apps, json!({}))
        .exits(0)
        .shows("few: CapBnd:\t0000000000000021")
        .shows("default: CapBnd:\t00000000a80425fb")
        .shows("limited: 44040192")
        .shows("limited: 90000 100000");
}

/// Fields of the pod beside its apps, of its one app, and of what that app is; and what is said of them.
type Refused = (Value, Value, Value, &'static str);

fn isolators(name: &str, value: Value) -> Value {
    json!({"isolators": [{"name": name, "value": value}]})
}

fn nonsense_of_apps() -> Vec<Refused> {
    let app = |fields: Value, text| (json!({}), json!({}), fields, text);
    vec![
        app(
            json!({"user": "mallory"}),
            "app \"web\": user: \"mallory\" is not in the image's /etc/passwd",
        ),
        app(
            json!({"group": "mallory"}),
            "app \"web\": group: \"mallory\" is not in the image's /etc/group",
        ),
        app(
            json!({"user": "/none"}),
            "app \"web\": user: there is no \"/none\" in the image",
        ),
        app(json!({"user": ""}), "apps[0].app.user: "),
        app(json!({"user": "4294967296"}), "apps[0].app.user: "),
        app(
            json!({"workingDirectory": "/none"}),
            "app \"web\": workingDirectory: \"/none\" is not in the image",
        ),
        app(
            json!({"workingDirectory": "none"}),
            "apps[0].app.workingDirectory: ",
        ),
        app(
            json!({"exec": []}),
            "app web: the image does not say what to run",
        ),
    ]
}

fn nonsense_of_isolators() -> Vec<Refused> {
    let app = |fields: Value, text| (json!({}), json!({}), fields, text);
    let set = |names: &[&str]| json!({"set": names});
    vec![
        app(
            isolators("resource/memory", json!({"limit": "0"})),
            "apps[0].app.isolators[0]: isolator \"resource/memory\": limit: nothing runs with 0",
        ),
        app(
            isolators("resource/memory", json!({"limit": "4095"})),
            "app web: a memory limit of 4095 is less than 4096 bytes",
        ),
        app(
            isolators("resource/cpu", json!({"limit": "0"})),
            "apps[0].app.isolators[0]: isolator \"resource/cpu\": limit: nothing runs with 0",
        ),
        app(
            isolators("os/linux/capabilities-retain-set", set(&["CAP_NONE"])),
            "set[0]: \"CAP_NONE\" is not a capability of Linux",
        ),
        app(
            isolators("os/linux/seccomp-retain-set", set(&["no_such_call"])),
            "app web: isolator os/linux/seccomp-retain-set: Linux on x86 has no system call no_such_call",
        ),
        app(
            isolators(
                "os/linux/seccomp-remove-set",
                json!({"set": ["reboot"], "errno": "ENONE"}),
            ),
            "app web: isolator os/linux/seccomp-remove-set: errno: Linux has no error ENONE",
        ),
        app(
            isolators("os/linux/oom-score-adj", json!(1001)),
            "isolator \"os/linux/oom-score-adj\": 1001 is outside -1000..1000",
        ),
        app(
            isolators("os/linux/cpu-shares", json!(1)),
            "isolator \"os/linux/cpu-shares\": 1 is outside 2..262144",
        ),
        app(isolators("os/linux/none", json!(1)), "os/linux/none"),
        app(
            json!({"isolators": [
                {"name": "os/linux/capabilities-retain-set", "value": set(&["CAP_KILL"])},
                {"name": "os/linux/capabilities-remove-set", "value": set(&["CAP_KILL"])}]}),
            "\"os/linux/capabilities-remove-set\" excludes \"os/linux/capabilities-retain-set\"",
        ),
        app(
            json!({"isolators": [
                {"name": "os/linux/seccomp-retain-set", "value": set(&["read"])},
                {"name": "os/linux/seccomp-remove-set", "value": set(&["read"])}]}),
            "\"os/linux/seccomp-remove-set\" excludes \"os/linux/seccomp-retain-set\"",
        ),
    ]
}

/// Of the app: this volume at a path.
fn mounts(path: &str) -> Value {
    json!({"mounts": [{"volume": "v", "path": path}]})
}

/// Of the pod: the volume.
fn volume(fields: Value) -> Value {
    let mut volume = json!({"name": "v", "kind": "empty"});
    volume
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    json!({"volumes": [volume]})
}

fn nonsense_of_mounts() -> Vec<Refused> {
    let empty = || volume(json!({}));
    vec![
        (
            json!({}),
            mounts("/data"),
            json!({}),
            "apps[0].mounts[0].volume: dangling mount point: no volume \"v\"",
        ),
        (
            empty(),
            mounts("/"),
            json!({}),
            "app web: mounts[0].path: volume v cannot take the place of the root",
        ),
        (
            empty(),
            mounts("/proc/x"),
            json!({}),
            "app web: mounts[0].path: volume v cannot be mounted at /proc/x",
        ),
        (
            empty(),
            mounts("data"),
            json!({}),
            "apps[0].mounts[0].path: ",
        ),
    ]
}

fn nonsense_of_volumes() -> Vec<Refused> {
    let empty = || volume(json!({}));
    vec![
        (
            json!({"volumes": [{"name": "v", "kind": "empty"}, {"name": "v", "kind": "empty"}]}),
            mounts("/data"),
            json!({}),
            "\"v\" occurs twice",
        ),
        (
            volume(json!({"kind": "host"})),
            mounts("/data"),
            json!({}),
            "volumes[0]: a host volume needs a source",
        ),
        (
            volume(json!({"kind": "host", "source": "/does/not/exist"})),
            mounts("/data"),
            json!({}),
            "/does/not/exist",
        ),
        (
            volume(json!({"kind": "none"})),
            mounts("/data"),
            json!({}),
            "volumes[0].kind: unknown variant `none`",
        ),
        (
            volume(json!({"mode": "99999"})),
            mounts("/data"),
            json!({}),
            "volumes[0].mode",
        ),
        (
            empty(),
            json!({"mounts": [{"volume": "v", "path": "/data"}, {"volume": "v", "path": "/data/"}]}),
            json!({}),
            "/data",
        ),
        (json!({"apps": []}), json!({}), json!({}), "no apps"),
        (
            isolators("resource/memory", json!({"limit": "0"})),
            json!({}),
            json!({}),
            "pod manifest: isolators[0]: isolator \"resource/memory\": limit: nothing runs with 0",
        ),
    ]
}

#[test]
fn what_makes_no_sense_is_254_and_named_and_no_machine_starts() {
    let pods = Written::new();
    let nonsense = [
        nonsense_of_apps(),
        nonsense_of_isolators(),
        nonsense_of_mounts(),
        nonsense_of_volumes(),
    ];
    for (of_pod, of_runtime, of_app, text) in nonsense.into_iter().flatten() {
        let app = pods.app("web", "echo ran", of_runtime, of_app);
        pods.run(&[app], of_pod).exits(254).prints("").says(text);
    }
    let app = || pods.app("web", "echo ran", json!({}), json!({}));
    pods.run(&[app(), app()], json!({}))
        .exits(254)
        .prints("")
        .says("\"web\" occurs twice");
}
