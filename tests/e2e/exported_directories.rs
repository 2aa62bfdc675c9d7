//! What an app has made of a root that is a directory of the host becomes an image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bulkhead_tests::images::{busybox_oci, layers_oci};
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, pod};
use crate::foreign_stage1::{Host, note};
use crate::leftovers::files;

fn image(host: &Host) -> PathBuf {
    host.data.path().join("made.aci")
}

fn export(host: &Host, flags: &[&str]) -> Call {
    let (uuid, image) = (host.uuid(), image(host));
    let image = image.to_str().expect("a path of UTF-8");
    host.call(&[&["export"], flags, &[&uuid, image]].concat())
}

#[test]
fn what_an_app_changed_is_exported_and_runs() {
    let host = Host::new();
    let look = "cd /data; test ! -e deleted && readlink replaced; stat -c %a setuid; stat -c %u:%g owned; stat -c %Y kept; \
                test linked -ef link; stat -c %t:%T null; cat $(printf na*ve); \
                cd /new && cat other; stat -c %a:%u:%g:%h file; stat -c %Y . ; readlink out; test -p pipe; stat -c %F:%t:%T disk; \
                stat -c %s holes; test ! -e /etc/passwd && ls";
    let script = format!(
        "mkdir /new; cd /new; echo mine > file; ln file other; chown 12:34 file; chmod 4751 file; ln -s ../../gone out; \
         mkfifo pipe; mknod disk b 7 300; truncate -s 50M holes; rm /etc/passwd; touch -d @1000000000 .; {look}"
    );
    let before = host
        .pod(&layers_oci())
        .name("app")
        .shell(&script)
        .run()
        .exits(0)
        .text();
    assert!(
        before
            .contains("4751:12:34:2\n1000000000\n../../gone\nblock special file:7:12c\n52428800\n"),
        "{before}"
    );
    let directory = files(&host.directory());
    export(&host, &[]).run().exits(0).prints("");
    assert_eq!(files(&host.directory()), directory);

    host.pod(&image(&host))
        .name("app")
        .shell(look)
        .run()
        .exits(0)
        .prints(&before);
    assert_eq!(note(&host.root()), b"kept too");
    pod(&image(&host))
        .shell("cat /new/other")
        .run()
        .exits(0)
        .prints("mine\n");
}

#[test]
fn what_is_mounted_in_an_app_s_directory_is_not_exported() {
    let host = Host::new();
    host.pod(&busybox_oci())
        .name("app")
        .shell("mkdir /volume; echo mine > /volume/mine")
        .run()
        .exits(0);
    let mount = |program: &str, words: &[&str]| {
        let volume = host.root().join("volume");
        let called = std::process::Command::new(program)
            .args(words)
            .arg(volume)
            .status();
        assert!(called.unwrap().success());
    };
    mount("mount", &["-t", "tmpfs", "secret"]);
    let secret = fs::write(host.root().join("volume/secret"), "secret");
    let exported = export(&host, &[]).run();
    mount("umount", &[]);
    secret.unwrap();
    exported.exits(0);
    pod(&image(&host))
        .shell("ls /volume")
        .run()
        .exits(0)
        .prints("mine\n");
}

#[test]
fn an_export_that_cannot_be_is_refused_and_leaves_no_image() {
    let host = Host::new();
    let running = host
        .pod(&busybox_oci())
        .name("app")
        .shell("truncate -s 300G /holes; echo ready; while [ ! -e /end ]; do sleep 0.1; done")
        .app(busybox_oci())
        .name("other")
        .shell("true")
        .start()
        .wait_for("ready");
    export(&host, &["--app=app"])
        .run()
        .exits(254)
        .says("has not exited: it is running");
    fs::write(host.root().join("end"), "").unwrap();
    running.finish().exits(0);
    let before = files(host.data.path());
    export(&host, &[])
        .run()
        .exits(254)
        .says("--app=NAME must say which: app, other");
    export(&host, &["--app=third"]).run().exits(254);
    export(&host, &["--app=app"])
        .run()
        .exits(254)
        .says("\"/holes\": the tree has more than 274877906944 bytes of files");
    assert_eq!(files(host.data.path()), before);
    fs::write(image(&host), "mine").unwrap();
    export(&host, &["--app=other"])
        .run()
        .exits(254)
        .says("is there already; --overwrite replaces it");
    export(&host, &["--app=other", "--overwrite"])
        .run()
        .exits(0);
}

#[test]
fn a_killed_export_leaves_no_image() {
    let host = Host::new();
    host.pod(&busybox_oci())
        .name("app")
        .shell("truncate -s 200G /holes")
        .run()
        .exits(0);
    let before = files(host.data.path());
    let export = export(&host, &[]).start();
    let descriptors = format!("/proc/{}/fd", export.pid);
    // The image has no name yet, and grows.
    let is_under_way = || {
        let files = fs::read_dir(&descriptors).unwrap().flatten();
        let mut files = files.filter_map(|file| fs::metadata(file.path()).ok());
        files.any(|file| file.is_file() && file.nlink() == 0 && file.len() > 1 << 20)
    };
    while !is_under_way() {
        std::thread::yield_now();
    }
    export
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    assert_eq!(files(host.data.path()), before);
}
