use bulkhead_protocol::plan::{
    DiskImage, ImageFiles, Limits, MAX_ARGUMENT, Mount, MountSource, Partition, WindowSize,
};

use bulkhead_protocol::verity::RootDigest;

use super::*;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const SCRATCH: u64 = 1 << 30;
static NO_SOURCES: BTreeMap<String, Result<Source, String>> = BTreeMap::new();
static NO_FILES: NameFiles = NameFiles {
    hosts: None,
    resolv_conf: None,
};
const PIPES: Stdio = Stdio::Pipes { stdin: false };

/// An image whose app has these fields beside user and group.
pub(super) fn image(fields: &str) -> Image {
    let json = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web",
            "app":{{"user":"0","group":"0"{fields}}}}}"#
    );
    Image {
        manifest: ImageManifest::parse(json.as_bytes()).unwrap(),
        json: Vec::new(),
        root: of_blocks(2),
    }
}

/// An image of so many blocks of data.
pub(super) fn of_blocks(blocks: u64) -> Root {
    let root = RootDigest([u8::try_from(blocks).unwrap(); 32]);
    let verity = Verity::new(root, blocks).unwrap();
    Root::Image { verity }
}

/// A pod of apps with (name, digit of the image id, further fields).
pub(super) fn pod(apps: &[(&str, char, &str)], fields: &str) -> PodManifest {
    let apps: Vec<String> = apps
        .iter()
        .map(|(name, digit, fields)| {
            let id: String = std::iter::repeat_n(*digit, 128).collect();
            format!(r#"{{"name":"{name}","image":{{"id":"sha512-{id}"}}{fields}}}"#)
        })
        .collect();
    let json = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{}]{fields}}}"#,
        apps.join(",")
    );
    PodManifest::parse(json.as_bytes()).unwrap()
}

pub(super) fn input<'a>(manifest: &'a PodManifest, images: &'a [Image]) -> Input<'a> {
    Input {
        hostname: "box",
        name_files: &NO_FILES,
        manifest,
        images,
        scratch_length: SCRATCH,
        stdio: PIPES,
        terminal: None,
        sources: &NO_SOURCES,
        metadata_token: "token",
        host_cpus: 4,
        insecure: Insecure::default(),
        shares_kernel: false,
        mutable: false,
        block_images: true,
        sockets: &[],
    }
}

fn plan(manifest: &PodManifest, images: &[Image]) -> Result<Pod, PlanError> {
    resolve(&input(manifest, images))
}

pub(super) const EXEC: &str = r#","exec":["/bin/web","-v"]"#;

/// The plan of a pod of one app with these fields.
fn one(fields: &str) -> Result<Pod, PlanError> {
    plan(
        &pod(&[("web", 'a', "")], ""),
        &[image(&format!("{EXEC}{fields}"))],
    )
}

pub(super) fn limited(memory: &str, cpu: &str) -> Image {
    let isolators = format!(
        r#","isolators":[{{"name":"resource/memory","value":{{"limit":"{memory}"}}}},
            {{"name":"resource/cpu","value":{{"limit":"{cpu}"}}}}]"#
    );
    image(&format!("{EXEC}{isolators}"))
}

fn environment(pod: &Pod) -> Vec<&str> {
    pod.processes[0]
        .environment
        .iter()
        .map(|v| v.as_str())
        .collect()
}

#[test]
fn an_app_becomes_a_process_with_its_root_and_its_mounts() {
    let pod = one(r#","workingDirectory":"/srv","supplementaryGIDs":[5,6]"#).unwrap();
    assert_eq!(pod.plan.hostname.as_str(), "box");
    let app = &pod.plan.apps[0];
    assert_eq!(app.name.as_str(), "web");
    assert_eq!(app.image.layers(), [0]);
    let targets: Vec<&str> = app.mounts.iter().map(|m| m.target.as_str()).collect();
    assert_eq!(targets, ["/proc", "/sys", "/sys/fs/cgroup", "/dev"]);
    let process = &pod.processes[0];
    let arguments: Vec<&str> = process.arguments.iter().map(|a| a.as_str()).collect();
    assert_eq!(arguments, ["/bin/web", "-v"]);
    assert_eq!(process.working_directory.as_str(), "/srv");
    assert_eq!(*process.groups, [5, 6]);
    assert_eq!(process.stdio, PIPES);
}

#[test]
fn the_pods_word_overrides_the_images() {
    let own = r#","app":{"exec":["/bin/other"],"user":"1000","group":"100"},"readOnlyRootFS":true"#;
    let pod = plan(&pod(&[("web", 'a', own)], ""), &[image(EXEC)]).unwrap();
    assert_eq!(pod.processes[0].arguments[0].as_str(), "/bin/other");
    assert_eq!(pod.processes[0].user.as_str(), "1000");
    assert!(pod.plan.apps[0].read_only_root);
}

#[test]
fn defaults_fill_what_the_environment_leaves_open() {
    let pod = one(r#","environment":[{"name":"HOME","value":"/home"},{"name":"A","value":"b=c"}]"#);
    assert_eq!(
        environment(&pod.unwrap()),
        [
            "HOME=/home",
            "A=b=c",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "AC_APP_NAME=web",
            "AC_METADATA_URL=http://127.0.0.1:18112/token",
            "container=bulkhead",
            "SHELL=/bin/sh",
            "USER=root",
            "LOGNAME=root",
        ]
    );
}

#[test]
fn only_root_is_called_root() {
    let of = |user: &str| {
        let own = format!(r#","app":{{"exec":["/x"],"user":"{user}","group":"0"}}"#);
        let pod = plan(&pod(&[("web", 'a', &own)], ""), &[image("")]).unwrap();
        let names = environment(&pod).into_iter().map(str::to_owned);
        names.skip(5).collect::<Vec<_>>()
    };
    assert_eq!(of("root"), ["USER=root", "LOGNAME=root", "HOME=/root"]);
    assert_eq!(of("redis"), ["USER=redis", "LOGNAME=redis"]);
    assert_eq!(of("1000"), [""; 0]);
}

#[test]
fn a_terminal_has_a_name() {
    let manifest = pod(&[("web", 'a', "")], "");
    let images = [image(EXEC)];
    let size = WindowSize {
        rows: 24,
        columns: 80,
    };
    let mut input = input(&manifest, &images);
    input.stdio = Stdio::Terminal { size };
    for (given, expected) in [
        (Some("xterm"), "TERM=xterm"),
        (None, "TERM=vt100"),
        (Some("a b\x1b"), "TERM=vt100"),
    ] {
        input.terminal = given;
        let pod = resolve(&input).unwrap();
        assert_eq!(environment(&pod).last(), Some(&expected));
    }
}

#[test]
fn limits_size_the_machine() {
    let size = |images: &[Image]| {
        let names = [("a", 'a', ""), ("b", 'b', "")];
        let pod = plan(&pod(&names[..images.len()], ""), images).unwrap();
        (pod.size.vcpus, pod.size.memory_mib, pod.size.to_string())
    };
    assert_eq!(
        size(&[image(EXEC)]),
        (
            1,
            512,
            "1 vCPU, 512 MiB (limits 0 MiB + 64 MiB overhead, at least 512 MiB for 1 apps without a limit)"
                .to_owned()
        )
    );
    assert_eq!(
        size(&[limited("64Mi", "1500m")]),
        (
            2,
            128,
            "2 vCPU, 128 MiB (limits 64 MiB + 64 MiB overhead, at least 64 MiB)".to_owned()
        )
    );
    // A sum, rounded up to whole huge pages.
    assert_eq!(
        size(&[limited("101Mi", "0.5"), limited("100Mi", "0.5")]).1,
        266
    );
    assert_eq!(size(&[limited("1Gi", "8"), image(EXEC)]).1, 1088);
    // No more CPUs than the host has.
    assert_eq!(size(&[limited("1Gi", "8"), image(EXEC)]).0, 4);
}

#[test]
fn limits_reach_the_apps_cgroup() {
    let images = [limited("42Mi", "900m")];
    let pod = plan(&pod(&[("web", 'a', "")], ""), &images).unwrap();
    let limits = Limits {
        memory_bytes: Some(42 * MIB),
        cpu_millis: Some(900),
        processes: Some(2048),
        ..Limits::default()
    };
    assert_eq!(pod.plan.apps[0].limits, limits);
}

#[test]
fn limits_that_no_machine_has_are_refused() {
    let error = |image| {
        plan(&pod(&[("web", 'a', "")], ""), &[image])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(limited("2Ti", "1")),
        "app web: a memory limit of 2Ti is more than 1048576Mi"
    );
    assert_eq!(
        error(limited("1Gi", "1M")),
        "app web: a CPU limit of 1M is more than 1000000m"
    );
    assert_eq!(
        error(limited("1Ti", "1")),
        "the pod's memory limits and overhead are 1048640 MiB, more than 1048576 MiB"
    );
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let isolator = |name: &str, value: &str| {
        one(&format!(
            r#","isolators":[{{"name":"{name}","value":{value}}}]"#
        ))
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    assert_eq!(
        isolator("os/linux/apparmor-profile", "\"p\""),
        Err("app web: isolator os/linux/apparmor-profile is not supported yet".to_owned())
    );
    assert_eq!(isolator("os/linux/no-new-privileges", "true"), Ok(()));
    assert_eq!(isolator("os/linux/oom-score-adj", "5"), Ok(()));

    let isolators = r#","isolators":[{"name":"os/linux/cpu-shares","value":512}]"#;
    let error = plan(&pod(&[("web", 'a', "")], isolators), &[image(EXEC)]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "isolator os/linux/cpu-shares of the pod is not supported yet"
    );
}

#[test]
fn handlers_are_part_of_the_process_and_not_for_terminals() {
    let fields = r#","eventHandlers":[{"name":"post-stop","exec":["/bin/after"]},
        {"name":"pre-start","exec":["/bin/before","x"]}]"#;
    let pod = one(fields).unwrap();
    let process = &pod.processes[0];
    let words =
        |words: &[Text<MAX_ARGUMENT>]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    assert_eq!(words(&process.arguments), ["/bin/web", "-v"]);
    assert_eq!(words(&process.pre_start), ["/bin/before", "x"]);
    assert_eq!(words(&process.post_stop), ["/bin/after"]);

    let manifest = super::tests::pod(&[("web", 'a', "")], "");
    let images = [image(&format!("{EXEC}{fields}"))];
    let on_terminal = Input {
        stdio: Stdio::Terminal {
            size: WindowSize {
                rows: 1,
                columns: 1,
            },
        },
        ..input(&manifest, &images)
    };
    assert_eq!(
        resolve(&on_terminal).unwrap_err().to_string(),
        "app web: an event handler of an app on a terminal is not supported yet"
    );
}

/// What each app sees where: `target=volume`, with `!` where it is read-only.
fn volumes(pod: &Pod) -> Vec<Vec<String>> {
    let apps = pod.plan.apps.iter();
    let shown = |mount: &Mount| match mount.source {
        MountSource::EmptyVolume { index } => {
            let read_only = if mount.read_only { "!" } else { "" };
            Some(format!("{}={index}{read_only}", mount.target))
        }
        _ => None,
    };
    apps.map(|app| app.mounts.iter().filter_map(shown).collect())
        .collect()
}

fn mounts(mounts: &[(&str, &str)]) -> String {
    let mounts: Vec<String> = mounts
        .iter()
        .map(|(volume, path)| format!(r#"{{"volume":"{volume}","path":"{path}"}}"#))
        .collect();
    format!(r#","mounts":[{}]"#, mounts.join(","))
}

const DATA_POINT: &str = r#","mountPoints":[{"name":"data","path":"/data","readOnly":true}]"#;

#[test]
fn a_mount_point_without_a_volume_gets_an_empty_one_and_a_warning() {
    let pod = one(DATA_POINT).unwrap();
    assert_eq!(volumes(&pod), [["/data=0!"]]);
    assert!(!pod.plan.empty_volumes[0].shared);
    assert_eq!(pod.plan.empty_volumes[0].fill, None);
    assert_eq!(
        pod.warnings,
        [
            "app web: no volume for mount point data at /data: the empty volume web-data is made for it, and goes with the pod"
        ]
    );
}

#[test]
fn a_mount_point_takes_the_volume_of_its_name_or_the_mount_at_its_path() {
    let points = image(&format!("{EXEC}{DATA_POINT}"));
    let declared = r#","volumes":[{"name":"data","kind":"empty","readOnly":false},{"name":"v","kind":"empty"}]"#;
    let by_name = plan(&pod(&[("web", 'a', "")], declared), &[points]).unwrap();
    // The volume's word on writing counts more than the mount point's.
    assert_eq!(volumes(&by_name), [["/data=0"]]);
    assert_eq!(by_name.warnings, [""; 0]);
    let points = image(&format!("{EXEC}{DATA_POINT}"));
    let own = mounts(&[("v", "//data/.")]);
    let by_path = plan(&pod(&[("web", 'a', &own)], declared), &[points]).unwrap();
    assert_eq!(volumes(&by_path), [["/data=0"]]);
    assert_eq!(by_path.plan.empty_volumes.len(), 1);
}

#[test]
fn a_volume_of_two_apps_has_a_disk_of_its_own() {
    let declared = r#","volumes":[{"name":"v","kind":"empty","mode":"1777","uid":5}]"#;
    let (a, b) = (
        mounts(&[("v", "/a")]),
        mounts(&[("v", "/b/c"), ("v", "/b")]),
    );
    let pod = plan(
        &pod(&[("a", 'a', &a), ("b", 'b', &b)], declared),
        &[image(EXEC), image(EXEC)],
    )
    .unwrap();
    // A mount below another comes after it.
    assert_eq!(volumes(&pod), [vec!["/a=0"], vec!["/b=0", "/b/c=0"]]);
    let volume = &pod.plan.empty_volumes[0];
    assert_eq!(
        (volume.shared, volume.mode, volume.uid),
        (true, Some(0o1777), Some(5))
    );
    let at = Partition {
        start: 2 * SCRATCH,
        length: SCRATCH,
    };
    assert_eq!(pod.plan.volume_scratch, Some(at));
}

#[test]
fn converted_images_fill_their_volumes() {
    let json = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web",
            "annotations":[{{"name":"appc.io/docker/tag","value":"1"}}],
            "app":{{"user":"0","group":"0"{EXEC}{DATA_POINT}}}}}"#
    );
    let converted = Image {
        manifest: ImageManifest::parse(json.as_bytes()).unwrap(),
        json: Vec::new(),
        root: of_blocks(2),
    };
    let pod = plan(&pod(&[("web", 'a', "")], ""), &[converted]).unwrap();
    let fill = pod.plan.empty_volumes[0].fill.as_ref().unwrap();
    assert_eq!(
        (fill.image.layers(), fill.path.as_str()),
        (&[0][..], "/data")
    );
}

#[test]
fn a_volume_at_sys_takes_the_place_of_the_guests() {
    let declared = r#","volumes":[{"name":"v","kind":"empty"}]"#;
    let own = mounts(&[("v", "/sys/fs")]);
    let pod = plan(&pod(&[("web", 'a', &own)], declared), &[image(EXEC)]).unwrap();
    let targets: Vec<&str> = pod.plan.apps[0]
        .mounts
        .iter()
        .map(|m| m.target.as_str())
        .collect();
    assert_eq!(targets, ["/proc", "/dev", "/sys/fs"]);
}

#[test]
fn mounts_onto_what_cannot_be_covered_are_refused() {
    let declared = r#","volumes":[{"name":"v","kind":"empty"},{"name":"w","kind":"empty"}]"#;
    let error = |list: &[(&str, &str)]| {
        plan(
            &pod(&[("web", 'a', &mounts(list))], declared),
            &[image(EXEC)],
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        error(&[("v", "/.")]),
        "app web: mounts[0].path: volume v cannot take the place of the root"
    );
    assert_eq!(
        error(&[("v", "/a"), ("v", "/proc/sys")]),
        "app web: mounts[1].path: volume v cannot be mounted at /proc/sys: programs rely on what the kernel shows there"
    );
    assert_eq!(
        error(&[("v", "/a"), ("w", "/a/")]),
        "app web: mounts[1].path: volume w cannot be mounted at /a, where volume v is"
    );
}

#[test]
fn pods_that_make_no_sense_are_refused() {
    let error = plan(&pod(&[], ""), &[]).unwrap_err();
    assert_eq!(error.to_string(), "the pod has no apps");
    let error = plan(&pod(&[("web", 'a', "")], ""), &[image("")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "app web: the image does not say what to run, and nothing else does (--exec)"
    );
    let (manifest, images) = (pod(&[("web", 'a', "")], ""), [image(EXEC)]);
    let mut odd = input(&manifest, &images);
    odd.scratch_length = 4097;
    let error = resolve(&odd).unwrap_err();
    assert_eq!(error.to_string(), "lay out the pod's disks");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(
        source.to_string(),
        "the scratch disk's template has 4097 bytes, which is 0 or no multiple of 4096"
    );
    let manifest = pod(&[("a", 'a', ""), ("b", 'a', "")], "");
    let images = [image(EXEC), image(EXEC)];
    let mut input = input(&manifest, &images);
    input.stdio = Stdio::Pipes { stdin: true };
    assert_eq!(
        resolve(&input).unwrap_err().to_string(),
        "an interactive pod has one app, and this one has 2"
    );
}

#[path = "plan_isolators_test.rs"]
mod isolators;

#[path = "plan_disks_test.rs"]
mod disks;

#[path = "plan_shares_test.rs"]
mod shares;

#[path = "plan_roots_test.rs"]
mod roots_tests;
