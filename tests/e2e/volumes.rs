//! Empty volumes: who sees them where, what is in them at first, and which are refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{bulkhead, image_id, own_data, pod};
use crate::changed::changed_layout;

#[test]
fn an_empty_volume_has_its_mode_and_owner_and_makes_its_targets() {
    pod(&busybox_oci())
        .pod_flag("--volume=plain,kind=empty")
        .pod_flag("--volume=owned,kind=empty,mode=1770,uid=33,gid=34")
        .flag("--mount=volume=owned,target=/made/for/it")
        .flag("--mount=volume=plain,target=/plain")
        .shell("stat -c '%n %a %u %g' /plain /made/for/it /made/for /made; touch /plain/f /made/for/it/f; ls /plain")
        .run()
        .exits(0)
        .prints("/plain 755 0 0\n/made/for/it 1770 33 34\n/made/for 755 0 0\n/made 755 0 0\nf\n");
}

#[test]
fn two_apps_share_a_volume_and_nothing_else_of_its_disk() {
    pod(&busybox_oci())
        .pod_flag("--volume=shared,kind=empty")
        .pod_flag("--volume=own,kind=empty")
        .pod_flag("--mount=volume=shared,target=/shared")
        .name("writer")
        .flag("--mount=volume=own,target=/own")
        .shell(
            "touch /own/mine; echo hello > /shared/new; mv /shared/new /shared/file; ls -A /shared",
        )
        .app(busybox_oci())
        .name("reader")
        .shell("until test -e /shared/file; do sleep 0.1; done; cat /shared/file; test ! -e /own")
        .run()
        .exits(0)
        .shows("reader: hello")
        .shows("writer: file");
}

#[test]
fn read_only_volumes_and_roots_do_not_concern_each_other() {
    let script =
        "for d in /rw /ro /ro/below /etc; do touch $d/file 2>/dev/null && echo $d; done; true";
    let base = || {
        pod(&busybox_oci())
            .pod_flag("--volume=rw,kind=empty")
            .pod_flag("--volume=ro,kind=empty,readOnly=true")
            .pod_flag("--volume=below,kind=empty")
            .flag("--mount=volume=below,target=/ro/below")
            .flag("--mount=volume=ro,target=/ro")
            .flag("--mount=volume=rw,target=/rw")
            .shell(script)
    };
    base().run().exits(0).prints("/rw\n/ro/below\n/etc\n");
    base()
        .flag("--readonly-rootfs")
        .run()
        .exits(0)
        .prints("/rw\n/ro/below\n");
}

#[test]
fn an_app_s_mount_wins_over_everybody_s_and_a_volume_covers_sys() {
    pod(&busybox_oci())
        .pod_flag("--volume=all,kind=empty,uid=1")
        .pod_flag("--volume=own,kind=empty,uid=2")
        .pod_flag("--volume=unused,kind=host,source=/does/not/exist")
        .pod_flag("--mount=volume=all,target=/data")
        .flag("--mount=volume=own,target=/data")
        .flag("--mount=volume=all,target=/sys/fs/cgroup")
        .shell("stat -c %u /data /sys/fs/cgroup; ls /sys")
        .run()
        .exits(0)
        .prints("2\n1\nfs\n");
}

/// The busybox image with `/real/data` (mode 1750, group 7, a file, a link), `/link` to `/real`, and these volumes.
fn image_with_volumes(directory: &Path, volumes: &[&str]) -> std::path::PathBuf {
    let fill = |root: &Path| {
        let data = root.join("real/data");
        fs::create_dir_all(&data).expect("a directory");
        fs::write(data.join("file"), "image\n").expect("a file");
        symlink("file", data.join("link")).expect("a link");
        std::os::unix::fs::chown(&data, Some(0), Some(7)).expect("root");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o1750)).expect("a mode");
        symlink("/real", root.join("link")).expect("a link");
    };
    let volumes = volumes.iter().map(|volume| ("--config.volume", *volume));
    changed_layout(directory, fill, &volumes.collect::<Vec<_>>())
}

#[test]
fn a_converted_image_s_volumes_start_with_the_image_s_files() {
    let files = own_data();
    let image = image_with_volumes(files.path(), &["/link/data", "/fresh"]);
    let look =
        "stat -c '%a %u %g' /real/data; cat /real/data/link; touch /real/data/new /fresh/new";
    let mounts = "; grep -c -e ' /real/data ' -e ' /fresh ' /proc/self/mountinfo";
    // Nobody says anything of volumes: each gets one, with a warning.
    pod(&image)
        .shell(&format!("{look}{mounts}"))
        .flag("--readonly-rootfs")
        .run()
        .exits(0)
        .prints("1750 0 7\nimage\n2\n")
        .says("no volume for mount point volume-link-data at /link/data");
    // One that is declared is filled too, once for all apps.
    pod(&image)
        .pod_flag("--volume=data,kind=empty")
        .pod_flag("--volume=volume-fresh,kind=empty")
        .name("one")
        .flag("--mount=volume=data,target=/link/data")
        .shell("cat /real/data/file; echo changed > /real/data/file; touch /real/data/done")
        .app(busybox_oci())
        .name("two")
        .flag("--mount=volume=data,target=/other")
        .shell("until test -e /other/done; do sleep 0.1; done; cat /other/link; stat -c %a /other")
        .run()
        .exits(0)
        .shows("one: image")
        .shows("two: changed\ntwo: 1750")
        .does_not_say("warning");
}

#[test]
fn volumes_that_make_no_sense_are_254_and_named() {
    let refused = |flags: &[&str], mounts: &[&str], text: &str| {
        let mut call = pod(&busybox_oci());
        for flag in flags {
            call = call.pod_flag(*flag);
        }
        call = call.exec("/bin/true");
        for mount in mounts {
            call = call.flag(*mount);
        }
        call.run().exits(254).says(text);
    };
    let v = "--volume=v,kind=empty";
    refused(
        &[],
        &["--mount=volume=w,target=/x"],
        "dangling mount point: no volume \"w\"",
    );
    refused(&[v, v], &[], "volumes[1].name");
    refused(&[v], &["--mount=volume=v,target=/"], "mounts[0].path");
    refused(
        &[v],
        &["--mount=volume=v,target=/proc/x"],
        "app busybox: mounts[0].path",
    );
    refused(
        &[v],
        &["--mount=volume=v,target=/x", "--mount=volume=v,target=/x/"],
        "mounts[1].path: volume v cannot be mounted at /x",
    );
    refused(
        &[v],
        &["--mount=volume=v,target=x"],
        "is not an absolute path",
    );
    refused(
        &["--volume=v,kind=empty,source=/x"],
        &[],
        "a volume of kind empty has no source",
    );
}

#[test]
fn a_written_pod_manifest_runs_with_its_volumes() {
    let files = own_data();
    let id = image_id(&busybox_oci(), files.path());
    let manifest = format!(
        r#"{{"acVersion":"0.8.11","acKind":"PodManifest","apps":[{{"name":"app","image":{{"id":"sha512-{id}"}},
            "app":{{"exec":["/bin/sh","-c","stat -c '%a %u' /a /b; touch /a/x || echo refused"],"user":"0","group":"0",
                "mountPoints":[{{"name":"a","path":"/a","readOnly":true}}]}},
            "mounts":[{{"volume":"own","path":"/b","appVolume":{{"name":"own","kind":"empty","mode":"0700"}}}}]}}],
            "volumes":[{{"name":"a","kind":"empty","uid":9}}]}}"#
    );
    let file = files.path().join("pod.json");
    fs::write(&file, manifest).expect("the manifest");
    let flag = format!("--pod-manifest={}", file.display());
    bulkhead(["run", &flag])
        .data(files.path())
        .run()
        .exits(0)
        .prints("755 9\n700 0\nrefused\n");
    pod(&busybox_oci())
        .pod_flag(&flag)
        .run()
        .exits(254)
        .says("--pod-manifest says what runs: it goes without an image");
}
