//! The images of the store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_error, list};
use crate::pods::{call, exited, succeeds, text, uuid};

/// Puts an image into the store, and gives its id.
fn fetched(fixture: &Fixture, name: &str, version: &str) -> String {
    let image = fixture.aci(name, |manifest| {
        let version = json!({"name": "version", "value": version});
        manifest["labels"].as_array_mut().unwrap().push(version);
    });
    let id = succeeds(&call(fixture, &["fetch", "--full", &image]));
    id.trim().to_owned()
}

fn entry(fixture: &Fixture, id: &str) -> PathBuf {
    fixture.path("data/cas/images").join(id)
}

fn cells(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split('\t').filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn a_list_has_a_row_for_each_image() {
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1.2");
    let table = succeeds(&call(&fixture, &["image", "list"]));
    let rows = cells(&table);
    assert_eq!(rows[0], ["ID", "NAME", "IMPORT TIME", "LAST USED", "SIZE"]);
    assert_eq!(rows[1][..2], [&id[..19], "example.com/web:1.2"]);
    assert!(rows[1][4].ends_with("KiB"), "{table}");

    let full = ["image", "list", "--full", "--no-legend", "--fields=size,id"];
    let table = succeeds(&call(&fixture, &full));
    let files = list(&entry(&fixture, &id));
    let blocks: u64 = files
        .iter()
        .map(|file| fs::metadata(file).unwrap().blocks())
        .sum();
    assert_eq!(cells(&table), [[(blocks * 512).to_string().as_str(), &id]]);
}

#[test]
fn a_list_is_sorted_as_asked() {
    let fixture = Fixture::new();
    for name in ["b", "c", "a"] {
        fetched(&fixture, name, "1");
    }
    let names = |flags: &[&str]| {
        let words = ["image", "list", "--no-legend", "--fields=name"];
        let table = succeeds(&call(&fixture, &[&words, flags].concat()));
        table.replace("example.com/", "").replace(":1\n", " ")
    };
    assert_eq!(names(&[]), "b c a ");
    assert_eq!(names(&["--sort=NAME"]), "a b c ");
    assert_eq!(names(&["--sort=name,size", "--order=desc"]), "c b a ");
}

#[test]
fn a_list_as_json_is_rkt_s() {
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1.2");
    let text = succeeds(&call(&fixture, &["image", "list", "--format=json"]));
    let listed: Value = serde_json::from_str(&text).unwrap();
    let image = listed[0].as_object().unwrap();
    let keys: Vec<&str> = image.keys().map(String::as_str).collect();
    let mut expected = ["id", "name", "import_time", "last_used_time", "size"];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(image["id"], *id);
    assert_eq!(image["name"], "example.com/web:1.2");
}

#[test]
fn a_list_of_no_store_is_its_legend_and_makes_nothing() {
    let fixture = Fixture::new();
    let table = succeeds(&call(&fixture, &["image", "list", "--fields=id,name"]));
    assert_eq!(table, "ID\tNAME\n");
    let json = succeeds(&call(&fixture, &["image", "list", "--format=json"]));
    assert_eq!(json, "[]\n");
    assert!(!fixture.path("data").exists());
    let twice = call(&fixture, &["image", "list", "--fields=id,ID"]);
    assert_error(&twice, "image list: --fields has the field ID twice\n");
}

#[test]
fn a_manifest_is_printed_of_an_id_a_beginning_and_a_name() {
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1.2");
    let stored: Value =
        serde_json::from_slice(&fs::read(entry(&fixture, &id).join("manifest")).unwrap()).unwrap();
    for name in [&id, &id[..19], "example.com/web", "example.com/web:1.2"] {
        let text = succeeds(&call(&fixture, &["image", "cat-manifest", name]));
        assert!(text.starts_with("{\n\t\"ac"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), stored);
    }
    let words = ["image", "cat-manifest", "--pretty-print=false", &id];
    assert_eq!(succeeds(&call(&fixture, &words)).lines().count(), 1);
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let fixture = Fixture::new();
    let error =
        "image cat-manifest: no image in the store has the id or name \"example.com/web\"\n";
    let words = ["image", "cat-manifest", "example.com/web"];
    assert_error(&call(&fixture, &words), error);
    assert!(!fixture.path("data").exists());
    fetched(&fixture, "db", "1");
    assert_error(&call(&fixture, &words), error);
    let short = call(&fixture, &["image", "cat-manifest", "sha512-a"]);
    let error = "image cat-manifest: \"sha512-a\" is not the id of an image, \
                 sha512- and two hexadecimal digits or more\n";
    assert_error(&short, error);
}

fn images(fixture: &Fixture) -> usize {
    list(&fixture.path("data/cas/images")).len()
}

#[test]
fn images_are_removed_by_id_and_name_and_one_that_is_named_twice_once() {
    let fixture = Fixture::new();
    let web = fetched(&fixture, "web", "1");
    let db = fetched(&fixture, "db", "1");
    let words = ["image", "rm", &web[..19], "example.com/web", &db];
    let said = |id: &str| format!("successfully removed aci for image: \"{id}\"\n");
    let output = succeeds(&call(&fixture, &words));
    assert_eq!(output, said(&web) + &said(&db));
    assert_eq!(images(&fixture), 0);
    fetched(&fixture, "web", "1");
    assert_eq!(images(&fixture), 1, "it can be imported again");
}

#[test]
fn what_cannot_be_removed_is_said_and_the_others_are_removed() {
    let fixture = Fixture::new();
    let web = fetched(&fixture, "web", "1");
    let output = call(&fixture, &["image", "rm", "example.com/none", &web]);
    let expected = "image rm: no image in the store has the id or name \"example.com/none\"\n\
                    image rm: failed to remove 1 image\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(254));
    assert_eq!(images(&fixture), 0);
}

#[test]
fn a_pod_has_its_image_after_that_is_removed() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let root = pod.join("stage1/rootfs/opt/stage2/web/rootfs.erofs");
    let before = fs::read(&root).unwrap();
    succeeds(&call(
        &fixture,
        &["image", "rm", "example.com/web", "example.com/db"],
    ));
    assert_eq!(images(&fixture), 0);
    assert_eq!(fs::read(&root).unwrap(), before);
    assert!(succeeds(&call(&fixture, &["list"])).contains("example.com/web:1.2"));
}

#[test]
fn a_collection_removes_what_no_pod_has_and_nobody_used_for_long_enough() {
    let fixture = Fixture::new();
    exited(&fixture);
    let unused = fetched(&fixture, "unused", "1");
    assert_eq!(succeeds(&call(&fixture, &["image", "gc"])), "");
    assert_eq!(images(&fixture), 3);

    let all = ["image", "gc", "--grace-period=0"];
    let said = format!("successfully removed aci for image: \"{unused}\"\n");
    assert_eq!(succeeds(&call(&fixture, &all)), said);
    assert_eq!(images(&fixture), 2);

    succeeds(&call(&fixture, &["rm", &uuid(&fixture.pod())]));
    succeeds(&call(&fixture, &["image", "gc", "--grace-period=1h"]));
    assert_eq!(images(&fixture), 2, "a pod had them a moment ago");
    succeeds(&call(&fixture, &all));
    assert_eq!(images(&fixture), 0);
}

#[test]
fn a_collection_without_a_store_makes_none() {
    let fixture = Fixture::new();
    assert_eq!(succeeds(&call(&fixture, &["image", "gc"])), "");
    assert!(!fixture.path("data").exists());
}

#[test]
fn a_damaged_image_is_named_removed_and_made_anew() {
    let fixture = Fixture::new();
    let (web, db) = (fetched(&fixture, "web", "1"), fetched(&fixture, "db", "1"));
    let sound = |name: &str, id: &str| {
        format!("successfully verified checksum for image: \"{name}\" (\"{id}\")\n")
    };
    let verify = ["image", "verify", "example.com/web", &db];
    let both = sound("example.com/web", &web) + &sound(&db, &db);
    assert_eq!(succeeds(&call(&fixture, &verify)), both);

    let file = entry(&fixture, &web).join("rootfs.erofs");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096] ^= 0x10;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let output = call(&fixture, &verify);
    let expected = format!(
        "image verify: image {web} is damaged and was removed: fetch it again\n  \
         └─{} is damaged\nimage verify: failed to verify 1 image\n",
        file.display()
    );
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(text(&output.stdout), sound(&db, &db));
    assert_eq!(output.status.code(), Some(254));

    assert_eq!(fetched(&fixture, "web", "1"), web);
    assert_eq!(succeeds(&call(&fixture, &verify)), both);
}

#[test]
fn an_image_that_lost_a_file_is_removed_by_its_id() {
    let fixture = Fixture::new();
    for words in [["image", "verify"], ["image", "rm"]] {
        let id = fetched(&fixture, "web", "1");
        fs::remove_file(entry(&fixture, &id).join("rootfs.erofs")).unwrap();
        call(&fixture, &[&words[..], &[&id]].concat());
        assert_eq!(images(&fixture), 0, "{words:?}");
    }
}

/// What `fixture.aci` has below `rootfs`.
#[track_caller]
fn assert_is_tree_of_web(root: &Path) {
    let app = fs::read_to_string(root.join("bin/app")).unwrap();
    assert_eq!(app, "program of web");
    let names: Vec<_> = list(root)
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["bin", "etc", "srv"]);
}

#[test]
fn an_exported_image_is_one_that_can_be_imported() {
    if !geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1");
    let file = fixture.path("out.aci").display().to_string();
    let export = ["image", "export", "example.com/web", &file];
    succeeds(&call(&fixture, &export));
    assert!(list(&fixture.path("data/cas/tmp")).is_empty());
    let listed = Command::new("tar").args(["-tf", &file]).output().unwrap();
    assert!(text(&listed.stdout).starts_with("manifest\nrootfs/\nrootfs/bin/\nrootfs/bin/app\n"));

    assert_error(
        &call(&fixture, &export),
        &format!("image export: {file} is there already; --overwrite replaces it\n"),
    );
    succeeds(&call(&fixture, &[&export[..], &["--overwrite"]].concat()));

    let manifest = succeeds(&call(&fixture, &["image", "cat-manifest", &id]));
    succeeds(&call(&fixture, &["image", "rm", &id]));
    succeeds(&call(&fixture, &["fetch", &file]));
    let again = ["image", "cat-manifest", "example.com/web:1"];
    assert_eq!(succeeds(&call(&fixture, &again)), manifest);
}

#[test]
fn an_image_is_extracted_and_rendered_with_its_manifest_or_without() {
    if !geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1");
    for command in ["extract", "render"] {
        let directory = fixture.path(command).display().to_string();
        let words = ["image", command, &id, &directory];
        succeeds(&call(&fixture, &words));
        let directory = Path::new(&directory);
        assert_eq!(
            list(directory),
            ["manifest", "rootfs"].map(|name| directory.join(name))
        );
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(
            fs::read(directory.join("manifest")).unwrap(),
            fs::read(entry(&fixture, &id).join("manifest")).unwrap()
        );
        assert_is_tree_of_web(&directory.join("rootfs"));

        fs::write(directory.join("other"), "").unwrap();
        let error = format!(
            "image {command}: {} is there already; --overwrite replaces it\n",
            directory.display()
        );
        assert_error(&call(&fixture, &words), &error);
        assert!(directory.join("other").exists());

        let flags = ["--overwrite", "--rootfs-only"];
        succeeds(&call(&fixture, &[&words[..], &flags].concat()));
        assert_is_tree_of_web(directory);
    }
}

#[test]
fn a_failed_extraction_leaves_everything_as_it_was() {
    if !geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1");
    let file = entry(&fixture, &id).join("rootfs.erofs");
    fs::remove_file(&file).unwrap();
    fs::write(&file, vec![0; 8192]).unwrap();
    let directory = fixture.path("parent/out");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("kept"), "").unwrap();
    let target = directory.display().to_string();
    let output = call(&fixture, &["image", "extract", "--overwrite", &id, &target]);
    assert_eq!(output.status.code(), Some(254));
    let expected = format!("image extract: cannot extract image {id}\n");
    assert!(text(&output.stderr).starts_with(&expected), "{output:?}");
    assert_eq!(
        list(&fixture.path("parent")),
        std::slice::from_ref(&directory)
    );
    assert_eq!(list(&directory), [directory.join("kept")]);

    let archive = fixture.path("parent/out.aci").display().to_string();
    let output = call(&fixture, &["image", "export", &id, &archive]);
    assert_eq!(output.status.code(), Some(254));
    assert_eq!(list(&fixture.path("parent")), [directory]);
}

#[test]
fn the_root_and_what_is_no_directory_are_not_replaced() {
    if !geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let id = fetched(&fixture, "web", "1");
    let error = |target: &str| {
        let output = call(&fixture, &["image", "extract", "--overwrite", &id, target]);
        assert_eq!(output.status.code(), Some(254));
        text(&output.stderr)
    };
    assert_eq!(error("/"), "image extract: / is the root of this host\n");
    assert!(error("web.aci").ends_with("web.aci is there, and is no directory\n"));
    assert!(error("data/..").ends_with("is no name of a directory\n"));
}
