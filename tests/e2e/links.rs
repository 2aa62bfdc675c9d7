//! Mounts whose targets are links, or lie behind one: they land where a process in the app's root would be led, and nowhere else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::bulkhead::{Call, own_data, pod};
use crate::changed::changed_busybox;

/// Targets in the image of [`image_with_links`], and where they lead.
const TARGETS: [(&str, &str); 7] = [
    ("/links/absolute", "/real/absolute"),
    ("/links/relative", "/real/relative"),
    ("/links/chain", "/real/chain"),
    ("/links/missing", "/not/there/yet"),
    ("/links/out", "/outside"),
    // A name that the agent has in its own root.
    ("/links/agent", "/scratch/upper"),
    ("/links/through/below/it", "/real/through/below/it"),
];

fn image_with_links(directory: &Path) -> PathBuf {
    changed_busybox(directory, |_, root| {
        let links = root.join("links");
        fs::create_dir(&links).unwrap();
        for name in ["absolute", "relative", "chain", "through"] {
            fs::create_dir_all(root.join("real").join(name)).unwrap();
        }
        for (name, target) in [
            ("absolute", "/real/absolute"),
            ("relative", "../real/relative"),
            ("chain", "second"),
            ("second", "/links/../real/chain"),
            ("missing", "/not/there/yet"),
            ("out", "../../../../outside"),
            ("agent", "/../../scratch/upper"),
            ("through", "../real/through"),
        ] {
            symlink(target, links.join(name)).unwrap();
        }
    })
}

/// An app that mounts the volume at every target, writes a file by one, reads it by another, and tells what is mounted.
fn app_with_mounts(call: Call, volume: &str) -> Call {
    let targets = TARGETS.iter();
    let call = targets.fold(call.name(volume), |call, (target, _)| {
        call.flag(format!("--mount=volume={volume},target={target}"))
    });
    call.shell(
        "echo seen > /links/out/file; cat /real/through/below/it/file
         awk '$5 ~ \"^/(real|not|outside|scratch|links)\" {print $5}' /proc/self/mountinfo | sort",
    )
}

#[test]
fn they_land_where_links_lead_in_the_app_s_root_and_nowhere_else() {
    let (files, host) = (own_data(), own_data());
    let image = image_with_links(files.path());
    let mut call = pod(&image)
        .pod_flag(format!(
            "--volume=host,kind=host,source={}",
            host.path().display()
        ))
        .pod_flag("--volume=empty,kind=empty");
    call = app_with_mounts(call, "host");
    call = app_with_mounts(call.app(&image), "empty");
    let said = call
        .app(&image)
        .name("neighbour")
        .shell("ls -A /real/*; test ! -e /not && test ! -e /outside && test ! -e /scratch && echo none")
        .run()
        .exits(0)
        .text();
    let of_app = |app: &str| -> Vec<&str> {
        let lines = said.lines();
        lines
            .filter_map(|line| line.strip_prefix(app)?.strip_prefix(": "))
            .collect()
    };
    let mut places: Vec<&str> = TARGETS.iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    places.insert(0, "seen");
    assert_eq!(of_app("host"), places);
    assert_eq!(of_app("empty"), places);
    let directories =
        ["absolute", "chain", "relative", "through"].map(|name| format!("/real/{name}:"));
    let [a, b, c, d] = directories.each_ref().map(String::as_str);
    assert_eq!(of_app("neighbour"), [a, "", b, "", c, "", d, "none"]);
    assert_eq!(
        fs::read_to_string(host.path().join("file")).unwrap(),
        "seen\n"
    );
}

#[test]
fn a_file_is_mounted_over_a_link_and_a_loop_is_named() {
    let (files, host) = (own_data(), own_data());
    let image = changed_busybox(files.path(), |_, root| {
        symlink("../etc/settings/app", root.join("bin/settings")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
    });
    let source = host.path().join("settings");
    fs::write(&source, "host\n").unwrap();
    let base = || pod(&image).pod_flag(format!("--volume=v,kind=host,source={}", source.display()));
    base()
        .flag("--mount=volume=v,target=/bin/settings")
        .shell("cat /etc/settings/app; test -L /bin/settings && ls /etc/settings")
        .run()
        .exits(0)
        .prints("host\napp\n");
    base()
        .flag("--mount=volume=v,target=/loop")
        .exec("/bin/true")
        .run()
        .exits(203)
        .says("make the mount target \"/loop\"")
        .says("Too many levels of symbolic links");
}
