//! The environment, directory and identity that an app starts with.

use std::fs;

use bulkhead_tests::images::{busybox_aci, busybox_oci};

use crate::bulkhead::{own_data, pod};

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
fn a_user_that_the_image_does_not_know_is_an_error_that_names_it() {
    let end = pod(&busybox_oci())
        .exec("/bin/true")
        .flag("--user=mallory")
        .run()
        .says("mallory");
    if end.stdout != b"" {
        end.fail("nothing may run");
    }
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
