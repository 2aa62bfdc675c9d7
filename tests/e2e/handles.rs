//! What an app with `CAP_DAC_READ_SEARCH` opens by file handles, which know of no mount: nothing, for the file system behind one of
//! its volumes holds its neighbours' too.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, own_data, pod};
use crate::changed::changed_busybox;

/// An image with the program `/by-handle`.
fn image(directory: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/by_handle.c");
    changed_busybox(directory, |_, root| {
        let program = root.join("by-handle");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-static", source, "-o"]).arg(program);
        assert!(compiler.status().expect("cc").success());
    })
}

/// A pod of an app that keeps a secret from the others in a volume of the same file system as theirs.
fn pod_with_a_secret() -> Call {
    pod(&busybox_oci())
        .pod_flag("--volume=shared,kind=empty")
        .pod_flag("--volume=private,kind=empty")
        .pod_flag("--mount=volume=shared,target=/shared")
        .name("owner")
        .flag("--mount=volume=private,target=/private")
        .shell("touch /private/secret /shared/ready")
        .app(busybox_oci())
        .name("friend")
        .flag("--mount=volume=private,target=/private")
        .exec("/bin/true")
}

/// Adds an app that looks for the secret, with this filter.
fn thief(call: Call, image: &Path, name: &str, filter: &str) -> Call {
    let call = call
        .app(image)
        .name(name)
        .flag("--caps-retain=CAP_DAC_READ_SEARCH,CAP_DAC_OVERRIDE")
        .shell("until test -e /shared/ready; do sleep 0.1; done; /by-handle /shared /sys/fs/cgroup / /etc");
    if filter.is_empty() {
        return call;
    }
    call.flag(format!("--seccomp={filter}"))
}

#[test]
fn no_filter_of_an_app_lets_it_open_files_by_their_handles() {
    let files = own_data();
    let image = image(files.path());
    let filters = [
        ("default", ""),
        ("all", "mode=retain,@appc.io/all"),
        ("remove", "mode=remove,errno=EACCES,reboot"),
        (
            "retain",
            "mode=retain,@docker/default-whitelist,open_by_handle_at",
        ),
    ];
    let call = filters
        .iter()
        .fold(pod_with_a_secret(), |call, (name, filter)| {
            thief(call, &image, name, filter)
        });
    let said = call.run().exits(0).text();
    for (name, _) in filters {
        for path in ["/shared", "/sys/fs/cgroup", "/", "/etc"] {
            let line = format!("{name}: {path}: Operation not permitted");
            assert!(said.lines().any(|found| found == line), "{line}\n{said}");
        }
    }
}

/// That the test above looks for the right thing, and what the option costs.
#[test]
fn without_filters_they_reach_the_neighbours_volumes_and_groups_and_no_root() {
    let files = own_data();
    let image = image(files.path());
    let call = pod_with_a_secret().pod_flag("--insecure-options=seccomp");
    thief(call, &image, "thief", "")
        .run()
        .exits(0)
        .shows("thief: /shared/0/secret\n")
        .shows("thief: /sys/fs/cgroup/owner/memory.current\n")
        .shows("thief: /: Stale file handle\n")
        .shows("thief: /etc: Stale file handle\n");
}
