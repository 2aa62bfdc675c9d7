//! What stage1 finds, and how it is called.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn stage1_is_called_as_the_interface_says() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let output = fixture.bulkhead(&["run", &image]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        output.status.code(),
        Some(42),
        "the exit status is stage1's"
    );

    let pod = fixture.pod();
    let uuid = pod.file_name().unwrap().to_str().unwrap().to_owned();
    let run = pod.join("stage1/rootfs/run").display().to_string();
    let pod = pod.canonicalize().unwrap().display().to_string();
    assert_eq!(fixture.pods(), [format!("run/{uuid}")]);
    assert_eq!(fixture.recorded("program"), [run]);
    assert_eq!(
        fixture.recorded("argument"),
        ["--net=none".to_owned(), uuid]
    );
    assert_eq!(fixture.recorded("directory"), [pod.as_str()]);
    assert_eq!(fixture.recorded("lock-directory"), [pod]);
    assert_eq!(fixture.recorded("observer"), ["1"], "the pod is locked");
    assert_eq!(fixture.recorded("trace"), [""]);
    assert_eq!(
        fixture.recorded("variable"),
        ["caller"],
        "the environment is handed on"
    );
}

#[test]
fn the_pods_flags_become_stage1s() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let uuid_file = fixture.path("uuid").display().to_string();
    let flags = [
        "run",
        "--debug",
        "--interactive",
        "--net=none",
        "--hostname=box.local",
    ];
    let more = [
        "--insecure-options=image,paths,seccomp",
        "--uuid-file-save",
        &uuid_file,
        &image,
    ];
    let output = fixture.bulkhead(&[&flags[..], &more[..]].concat());
    assert_eq!(output.status.code(), Some(42));
    let uuid = fs::read_to_string(&uuid_file)
        .unwrap()
        .trim_end()
        .to_owned();
    assert_eq!(fixture.pods(), [format!("run/{uuid}")]);
    let arguments = fixture.recorded("argument");
    let expected = [
        "--debug",
        "--net=none",
        "--interactive",
        "--hostname=box.local",
        "--disable-paths",
        "--disable-seccomp",
        &uuid,
    ];
    assert_eq!(arguments, expected);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&format!("run: pod {uuid} in ")), "{stderr}");
}

#[test]
fn the_pods_directory_holds_what_stage1_needs() {
    let fixture = Fixture::new();
    let (web, db) = (fixture.aci("web", |_| {}), fixture.aci("db", |_| {}));
    let output = fixture.bulkhead(&["run", &web, "---", &db]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let pod = fixture.pod();
    for app in ["web", "db"] {
        let stage2 = pod.join("stage1/rootfs/opt/stage2").join(app);
        let manifest = fs::read_to_string(stage2.join("manifest")).unwrap();
        assert!(
            manifest.contains(&format!("example.com/{app}")),
            "{manifest}"
        );
        assert_eq!(
            fs::read_to_string(pod.join("appsinfo").join(app).join("manifest")).unwrap(),
            manifest
        );
        // A file system, and not a copy: the store has the other name of the same file.
        for name in ["rootfs.erofs", "rootfs.verity"] {
            let file = fs::metadata(stage2.join(name)).unwrap();
            assert!(file.len() > 0 && file.nlink() >= 2, "{name}: {file:?}");
        }
    }
    let apps = &fixture.pod_manifest()["apps"];
    assert_eq!(
        (&apps[0]["name"], &apps[1]["name"]),
        (&json!("web"), &json!("db"))
    );
}

#[test]
fn flags_replace_what_the_image_says_and_arguments_add_to_it() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let flags = [
        "run",
        &image,
        "--name=other",
        "--user=nobody",
        "--group=7",
        "--supplementary-gids=8,9",
        "--working-dir=/srv",
        "--memory=64Mi",
        "--cpu=500m",
        "--cpu-shares=512",
        "--readonly-rootfs",
        "--caps-retain=CAP_KILL",
        "--seccomp=mode=remove,errno=EPERM,reboot",
        "--oom-score-adj=-5",
        "--annotation=example.com/a=1",
        "--user-annotation=b=2",
        "--user-label=c=3",
        "--",
        "-v",
        "",
    ];
    assert_eq!(fixture.bulkhead(&flags).status.code(), Some(42));
    let manifest = fixture.pod_manifest();
    let app = &manifest["apps"][0];
    assert_eq!(app["name"], "other");
    assert_eq!(app["readOnlyRootFS"], true);
    assert_eq!(
        app["annotations"],
        json!([{"name": "example.com/a", "value": "1"}])
    );
    assert_eq!(app["image"]["name"], "example.com/app");
    let app = &app["app"];
    assert_eq!(app["exec"], json!(["/bin/app", "from-image", "-v", ""]));
    assert_eq!(
        (&app["user"], &app["group"]),
        (&json!("nobody"), &json!("7"))
    );
    assert_eq!(app["supplementaryGIDs"], json!([8, 9]));
    assert_eq!(app["workingDirectory"], "/srv");
    assert_eq!(app["userAnnotations"], json!({"b": "2"}));
    assert_eq!(app["userLabels"], json!({"c": "3"}));
    assert_eq!(
        app["isolators"],
        json!([
            {"name": "resource/memory", "value": {"limit": "64Mi"}},
            {"name": "resource/cpu", "value": {"limit": "500m"}},
            {"name": "os/linux/cpu-shares", "value": 512},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
            {"name": "os/linux/seccomp-remove-set", "value": {"set": ["reboot"], "errno": "EPERM"}},
            {"name": "os/linux/oom-score-adj", "value": -5}
        ])
    );
}

#[test]
fn exec_replaces_the_whole_command_line() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    fixture.bulkhead(&["run", &image, "--exec", "/bin/sh", "--", "-c", "exit 3"]);
    assert_eq!(fixture.app()["exec"], json!(["/bin/sh", "-c", "exit 3"]));
}

#[test]
fn an_image_without_an_app_runs_what_the_user_says_as_the_user() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |manifest| {
        manifest.as_object_mut().unwrap().remove("app");
    });
    assert_eq!(
        fixture
            .bulkhead(&["run", &image, "--exec=/bin/app"])
            .status
            .code(),
        Some(42)
    );
    let owner = fs::metadata(fixture.path("data")).unwrap();
    let app = fixture.app();
    assert_eq!(app["user"], json!(owner.uid().to_string()));
    assert_eq!(app["group"], json!(owner.gid().to_string()));
}

#[test]
fn the_stronger_setting_of_a_variable_wins() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let file = fixture.path("variables");
    fs::write(
        &file,
        "# comment\n\n; comment\nFILE=file\nFLAG=file\nFROM=file\n",
    )
    .unwrap();
    let mut command = fixture.command();
    let output = command
        .env_clear()
        .envs([
            ("RECORD", fixture.path("record").as_os_str()),
            ("PATH", "/usr/bin:/bin".as_ref()),
        ])
        .envs([("KEPT", "caller"), ("CALLER", "caller"), ("FILE", "caller")])
        .arg("run")
        .arg("--stage1")
        .arg(fixture.path("stage1"))
        .args([
            "--inherit-env",
            "--set-env=FLAG=flag",
            "--set-env=APP=flag",
            "--set-env-file",
        ])
        .arg(&file)
        .args([&image, "--environment=APP=app", "--environment", "OWN=a=b"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let environment = fixture.app()["environment"].clone();
    let value = |name: &str| {
        let variables = environment.as_array().unwrap().iter();
        let mut found = variables.filter(|variable| variable["name"] == name);
        let value = found
            .next()
            .map(|variable| variable["value"].as_str().unwrap().to_owned());
        assert!(found.next().is_none(), "{name} twice in {environment}");
        value
    };
    let expected = [
        ("FROM", "file"),
        ("KEPT", "image"),
        ("CALLER", "caller"),
        ("FILE", "file"),
        ("FLAG", "flag"),
        ("APP", "app"),
        ("OWN", "a=b"),
    ];
    for (name, expected) in expected {
        assert_eq!(value(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn a_start_leaves_its_time_stamps() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    fixture.bulkhead(&["run", "--trace=trace", &image]);
    let trace = fs::read_to_string(fixture.path("trace")).unwrap();
    let mut times = Vec::new();
    for (line, name) in trace.lines().zip(["cli-start", "cli-exec"]) {
        let time = line.strip_prefix(&format!("phase {name} ")).expect(name);
        times.push(time.parse::<u64>().unwrap());
    }
    assert!(times.len() == 2 && times[0] <= times[1], "{trace}");
    assert_eq!(
        fixture.recorded("trace"),
        [fixture.path("trace").display().to_string()]
    );
}

#[test]
fn two_runs_share_the_image_and_nothing_else() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    for _ in 0..2 {
        assert_eq!(fixture.bulkhead(&["run", &image]).status.code(), Some(42));
    }
    let pods = fixture.pods();
    let inode = |pod: &String, file: &str| {
        fs::metadata(fixture.path("data/pods").join(pod).join(file))
            .unwrap()
            .ino()
    };
    let [one, other] = pods.as_slice() else {
        panic!("two pods, not {pods:?}")
    };
    let image = "stage1/rootfs/opt/stage2/app/rootfs.erofs";
    assert_eq!(inode(one, image), inode(other, image));
    let status = "stage1/rootfs/rkt/status";
    assert_ne!(inode(one, status), inode(other, status));
}
