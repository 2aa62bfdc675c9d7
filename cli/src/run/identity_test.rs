use std::fs;

use bulkhead_image::{Dependencies, Importer, Signatures, Store};
use serde_json::{Value, json};

use super::*;
use crate::arguments::{self, Request};

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nredis:x:999:1000::/var/lib/redis:/bin/false\n";
const GROUP: &str = "root:x:0:\nredis:x:1000:\nssl:x:105:redis\n";

fn options(words: &str) -> AppOptions {
    let line = format!("run image {words}");
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match arguments::parse(&words) {
        Ok(Request::Run(_, mut request)) => request.pod.apps.remove(0).options,
        other => panic!("{line}: {other:?}"),
    }
}

fn image(user: &str, raw: &str) -> ImageManifest {
    let mut annotations = vec![json!({"name": "appc.io/docker/imageid", "value": "sha256:0"})];
    if !raw.is_empty() {
        annotations.push(json!({"name": "bulkhead.dev/oci/user", "value": raw}));
    }
    let group = raw.split_once(':').map_or(user, |(_, group)| group);
    manifest(
        json!({"user": user, "group": group}),
        &Value::from(annotations),
    )
}

fn manifest(app: Value, annotations: &Value) -> ImageManifest {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "image",
        "labels": [], "app": app, "annotations": annotations,
    });
    ImageManifest::parse(manifest.to_string().as_bytes()).unwrap()
}

/// Group, other groups and home of what an image with this `User` becomes.
fn completed(user: &str, raw: &str, flags: &str) -> (String, Vec<u32>, Option<String>) {
    let (image, options) = (image(user, raw), options(flags));
    let mut app = image.app.clone().unwrap();
    if let Some(user) = &options.user {
        app.user = user.clone();
    }
    if let Some(group) = &options.group {
        app.group = group.clone();
    }
    complete(&mut app, &image, &options, &Accounts::new(PASSWD, GROUP));
    let home = app.environment.iter().find(|v| v.name.as_str() == "HOME");
    (
        app.group.to_string(),
        app.supplementary_gids,
        home.map(|v| v.value.to_string()),
    )
}

#[test]
fn a_converted_image_s_user_has_the_groups_and_home_that_its_files_say() {
    let of = |group: &str, others: &[u32], home: &str| {
        (group.to_owned(), others.to_vec(), Some(home.to_owned()))
    };
    let redis = of("1000", &[105], "/var/lib/redis");
    assert_eq!(completed("redis", "redis", ""), redis);
    assert_eq!(completed("999", "999", ""), redis);
    assert_eq!(completed("0", "", "--user=redis"), redis);
    assert_eq!(completed("0", "", ""), of("0", &[], "/root"));
    // Nobody's number has root's group, as with Docker.
    assert_eq!(completed("1234", "1234", ""), of("0", &[], "/"));
    // A group that is named is the only one.
    let named = of("ssl", &[], "/var/lib/redis");
    assert_eq!(completed("redis", "redis:ssl", ""), named);
    assert_eq!(completed("redis", "redis", "--group=ssl"), named);
}

#[test]
fn an_aci_stays_as_it_is() {
    let image = manifest(json!({"user": "redis", "group": "ssl"}), &json!([]));
    let mut app = image.app.clone().unwrap();
    complete(
        &mut app,
        &image,
        &options(""),
        &Accounts::new(PASSWD, GROUP),
    );
    assert_eq!(Some(&app), image.app.as_ref());
}

/// What is said of an app in an image with the files above, `/srv`, `/file`, and `/link` to `/none`.
fn refusal(app: Value, mounts: Value) -> Option<String> {
    let data = tempfile::tempdir().unwrap();
    let archive = data.path().join("image.aci");
    fs::write(&archive, aci()).unwrap();
    let store = Store::open(data.path()).unwrap();
    let stored = store
        .import(
            archive.to_str().unwrap(),
            Signatures::Unneeded,
            &Importer::Here,
            Dependencies::OfStore,
            &mut |_| {},
        )
        .unwrap();
    let files = Filesystem::open(&stored.erofs_path).unwrap();
    let accounts = Accounts::of(&files).unwrap();
    let id = format!("sha512-{}", "0".repeat(128));
    let runtime = json!({"name": "web", "image": {"id": id}, "app": app, "mounts": mounts});
    let runtime: RuntimeApp = serde_json::from_value(runtime).unwrap();
    let app = runtime.app.clone().unwrap();
    check(&runtime, &app, &files, &accounts)
        .err()
        .map(|error| error.to_string())
}

fn aci() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "image"});
    let mut add = |name: &str, kind: tar::EntryType, content: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        if kind == tar::EntryType::Symlink {
            header.set_size(0);
            tar.append_link(&mut header, name, content).unwrap();
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
    };
    add("manifest", tar::EntryType::Regular, &manifest.to_string());
    for directory in ["rootfs", "rootfs/etc", "rootfs/srv"] {
        add(directory, tar::EntryType::Directory, "");
    }
    add("rootfs/etc/passwd", tar::EntryType::Regular, PASSWD);
    add("rootfs/etc/group", tar::EntryType::Regular, GROUP);
    add("rootfs/file", tar::EntryType::Regular, "");
    add("rootfs/link", tar::EntryType::Symlink, "/none");
    tar.into_inner().unwrap()
}

#[test]
fn what_the_image_does_not_have_is_refused_by_field_and_name() {
    let of = |user: &str, group: &str, directory: &str| json!({"user": user, "group": group, "workingDirectory": directory});
    let cases = [
        (
            of("mallory", "0", "/"),
            "app \"web\": user: \"mallory\" is not in the image's /etc/passwd",
        ),
        (
            of("redis", "mallory", "/"),
            "app \"web\": group: \"mallory\" is not in the image's /etc/group",
        ),
        (
            of("/none", "0", "/"),
            "app \"web\": user: there is no \"/none\" in the image whose owner it could be",
        ),
        (
            of("0", "/etc/none", "/"),
            "app \"web\": group: there is no \"/etc/none\" in the image whose owner it could be",
        ),
        (
            of("0", "0", "/srv/none"),
            "app \"web\": workingDirectory: \"/srv/none\" is not in the image",
        ),
        (
            of("0", "0", "/file"),
            "app \"web\": workingDirectory: \"/file\" is no directory in the image",
        ),
        (
            of("0", "0", "/file/x"),
            "app \"web\": workingDirectory: \"/file/x\" is not in the image",
        ),
    ];
    for (app, text) in cases {
        assert_eq!(refusal(app, json!([])).as_deref(), Some(text));
    }
    for good in [
        of("redis", "ssl", "/srv"),
        of("redis", "redis", "/etc"),
        of("/file", "/link", "/proc/self"),
        of("12", "34", "/link"),
        of("root", "root", "/"),
    ] {
        assert_eq!(refusal(good.clone(), json!([])), None, "{good}");
    }
}

#[test]
fn what_a_volume_covers_is_the_guest_s_to_find() {
    let mount = |path: &str| json!([{"volume": "v", "path": path}]);
    let app = |user: &str, directory: &str| json!({"user": user, "group": "0", "workingDirectory": directory});
    assert_eq!(refusal(app("mallory", "/"), mount("/etc")), None);
    assert_eq!(refusal(app("0", "/data/below"), mount("/data")), None);
    assert_eq!(refusal(app("0", "/made"), mount("/made/for/it")), None);
    assert!(refusal(app("0", "/database"), mount("/data")).is_some());
    assert!(refusal(app("mallory", "/"), mount("/data")).is_some());
}
