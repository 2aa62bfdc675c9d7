//! The environment, directory and identity that an app starts with.

use std::fs;

use bulkhead_tests::images::{busybox_aci, busybox_oci};
use serde_json::json;

use crate::bulkhead::{own_data, pod};
use crate::changed::{changed_busybox, changed_layout};
use crate::written::Written;

#[test]
fn flags_win_over_files_and_files_over_the_image() {
    let files = own_data();
    let file = files.path().join("environment");
    fs::write(
        &file,
        "# comment\n; comment\n\nFROM_IMAGE=file\nFILE=file\nBOTH=file\n",
    )
    .unwrap();
    let print = "echo $FROM_IMAGE $FILE $BOTH $CALLER";
    let base = || {
        pod(&busybox_aci())
            .variable("CALLER", "caller")
            .variable("FILE", "caller")
    };

    base().shell(print).run().exits(0).prints("image\n");
    base()
        .pod_flag("--inherit-env")
        .shell(print)
        .run()
        .exits(0)
        .prints("image caller caller\n");
    base()
        .pod_flag(format!("--set-env-file={}", file.display()))
        .shell(print)
        .run()
        .exits(0)
        .prints("file file file\n");
    base()
        .pod_flag(format!("--set-env-file={}", file.display()))
        .pod_flag("--set-env=BOTH=flag")
        .shell(print)
        .run()
        .exits(0)
        .prints("file file flag\n");
    base()
        .pod_flag("--set-env=BOTH=flag")
        .shell(print)
        .flag("--environment=BOTH=app")
        .run()
        .exits(0)
        .prints("image app\n");
}

#[test]
fn what_every_program_expects_is_set() {
    pod(&busybox_aci())
        .name("worker")
        .shell("echo $PATH; echo $AC_APP_NAME; echo $HOME $USER $LOGNAME $SHELL")
        .run()
        .exits(0)
        .prints(
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nworker\n/root root root /bin/sh\n",
        );
}

#[test]
fn an_image_s_own_path_is_kept() {
    pod(&busybox_oci())
        .shell("echo $PATH")
        .run()
        .exits(0)
        .prints("/bin:/usr/bin\n");
}

#[test]
fn user_group_and_directory_are_taken_from_flags() {
    pod(&busybox_oci())
        .shell("id -u; id -g; pwd")
        .flag("--user=nobody")
        .flag("--group=nogroup")
        .flag("--working-dir=/etc")
        .run()
        .exits(0)
        .prints("65534\n65534\n/etc\n");
}

#[test]
fn what_the_image_does_not_know_is_refused_before_the_machine_starts() {
    for (flag, problem) in [
        (
            "--user=mallory",
            "user: \"mallory\" is not in the image's /etc/passwd",
        ),
        (
            "--group=mallory",
            "group: \"mallory\" is not in the image's /etc/group",
        ),
        ("--user=/none", "user: there is no \"/none\" in the image"),
        (
            "--working-dir=/none",
            "workingDirectory: \"/none\" is not in the image",
        ),
        (
            "--working-dir=/etc/passwd",
            "workingDirectory: \"/etc/passwd\" is no directory in the image",
        ),
    ] {
        pod(&busybox_oci())
            .name("web")
            .exec("/bin/true")
            .flag(flag)
            .run()
            .exits(254)
            .says(&format!("run: app \"web\": {problem}"));
    }
}

#[test]
fn a_converted_image_s_user_has_its_own_group_and_home() {
    for (flag, ids) in [
        ("--user=nobody", "65534 65534 65534 /\n"),
        ("--user=65534", "65534 65534 65534 /\n"),
        ("--user=1234", "1234 0 0 /\n"),
        ("--user=0", "0 0 0 /root\n"),
    ] {
        pod(&busybox_oci())
            .shell("echo $(id -u) $(id -g) $(id -G) $HOME")
            .flag(flag)
            .run()
            .exits(0)
            .prints(ids);
    }
}

#[test]
fn a_converted_image_s_user_is_the_same_by_flags_and_by_a_written_pod_manifest() {
    let files = own_data();
    let script = "echo $(id -u) $(id -g) $(id -G) $HOME";
    let image = changed_layout(
        files.path(),
        |root| {
            let etc = root.join("etc");
            fs::create_dir(&etc).unwrap();
            fs::write(etc.join("passwd"), "web:x:7:70::/srv/web:/bin/sh\n").unwrap();
            fs::write(etc.join("group"), "web:x:70:\nssl:x:105:web\n").unwrap();
        },
        &[
            ("--config.user", "web"),
            ("--config.entrypoint", "/bin/sh"),
            ("--config.entrypoint", "-c"),
            ("--config.entrypoint", script),
        ],
    );
    let who = "7 70 70 105 /srv/web\n";
    pod(&image).run().exits(0).prints(who);
    let written = Written::of(&image);
    written
        .run(&[written.app_of_image("app")], json!({}))
        .exits(0)
        .prints(who);
    // What is written counts as it stands.
    let app = written.app(
        "app",
        "echo $(id -u) $(id -g) ${HOME-none}",
        json!({}),
        json!({"user": "web"}),
    );
    written.run(&[app], json!({})).exits(0).prints("7 0 none\n");
}

#[test]
fn an_image_without_a_program_needs_one_and_runs_as_the_caller() {
    let files = own_data();
    let image = changed_busybox(files.path(), |manifest, _| {
        manifest.as_object_mut().expect("an object").remove("app");
    });
    pod(&image)
        .run()
        .exits(254)
        .says("says no program to run: give one with --exec");
    pod(&image)
        .under(["setpriv", "--regid=1234", "--keep-groups"])
        .shell("echo $(id -u) $(id -g); pwd")
        .run()
        .exits(0)
        .prints("0 1234\n/\n");
    // In a written pod manifest the image is all that could say it.
    let written = Written::of(&image);
    written
        .run(&[written.app_of_image("app")], json!({}))
        .exits(254)
        .says("app app: the image does not say what to run");
}

#[test]
fn an_app_container_image_s_user_keeps_the_group_that_its_manifest_names() {
    pod(&busybox_aci())
        .shell("echo $(id -u) $(id -g) $(id -G) ${HOME-none}")
        .flag("--user=nobody")
        .run()
        .exits(0)
        .prints("65534 0 0 none\n");
    pod(&busybox_aci())
        .shell("echo $(id -u) $(id -g)")
        .flag("--user=/bin/busybox")
        .flag("--group=/etc/passwd")
        .run()
        .exits(0)
        .prints("0 0\n");
}

#[test]
fn supplementary_groups_are_set() {
    pod(&busybox_oci())
        .shell("id -G")
        .flag("--supplementary-gids=7,9")
        .run()
        .exits(0)
        .prints("0 7 9\n");
}

#[test]
fn a_program_without_slash_is_searched_in_path() {
    pod(&busybox_oci())
        .exec("echo")
        .args(["a b", "c"])
        .run()
        .exits(0)
        .prints("a b c\n");
}

#[test]
fn special_characters_in_arguments_arrive_unchanged() {
    pod(&busybox_oci())
        .exec("/bin/echo")
        .args(["-n", "$HOME", "a\tb", "'\"\\", "*", "%n", "äöü"])
        .run()
        .exits(0)
        .prints("$HOME a\tb '\"\\ * %n äöü");
}

#[test]
fn host_name_is_the_pod_s() {
    pod(&busybox_oci())
        .pod_flag("--hostname=box")
        .shell("hostname")
        .run()
        .exits(0)
        .prints("box\n");
}
