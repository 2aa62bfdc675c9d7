//! Apps whose files come from several images. How they are found, checked and refused is tested natively: cli/tests/it/dependencies.rs.

use std::fs;
use std::path::Path;
use std::process::Command;

use bulkhead_tests::images::busybox_aci;

use crate::bulkhead::{own_data, pod};
use crate::lifecycle::call;

/// An image with one file, and with what it depends on.
fn image(directory: &Path, name: &str, dependencies: &str, [file, text]: [&str; 2]) -> String {
    let tree = directory.join(name);
    fs::create_dir_all(tree.join("rootfs/from")).expect("make a tree");
    fs::write(tree.join("rootfs/from").join(file), text).expect("write a file");
    let manifest = format!(
        r#"{{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/{name}",
            "labels": [{{"name": "os", "value": "linux"}}, {{"name": "arch", "value": "amd64"}}],
            "app": {{"exec": ["/bin/sh"], "user": "0", "group": "0"}}, "dependencies": [{dependencies}]}}"#
    );
    fs::write(tree.join("manifest"), manifest).expect("write a manifest");
    let file = directory.join(format!("{name}.aci"));
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&tree).arg("-cf").arg(&file);
    let ended = tar.args(["manifest", "rootfs"]).status().expect("run tar");
    assert!(ended.success(), "{ended}");
    file.display().to_string()
}

/// Puts an image into the store.
fn fetch(data: &Path, image: &str) {
    call(data, ["fetch", image]).run().exits(0);
}

#[test]
fn an_app_has_the_files_of_its_dependencies_and_its_own_over_them() {
    let data = own_data();
    let data = data.path();
    fetch(data, &busybox_aci().display().to_string());
    fetch(data, &image(data, "theirs", "", ["one", "theirs\n"]));
    let both = r#"{"imageName": "example.com/busybox", "labels": [{"name": "version", "value": "1"}]},
        {"imageName": "example.com/theirs"}"#;
    let app = image(data, "app", both, ["two", "its own\n"]);
    let run = || {
        let pod = pod(Path::new(&app)).data(data);
        pod.shell("cat /from/one /from/two").run().exits(0)
    };
    run().shows("theirs\nits own\n");
    fetch(data, &image(data, "theirs", "", ["one", "newer\n"]));
    run().shows("newer\nits own\n");
}
