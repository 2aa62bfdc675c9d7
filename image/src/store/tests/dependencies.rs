use std::collections::BTreeMap;

use super::*;
use crate::limits::MAX_DEPENDENCIES;
use crate::test_archive::{Fields, aci_with};

/// An ACI of this name.
fn named(name: &str, dependencies: Value, tree: Tar) -> Vec<u8> {
    let mut manifest = crate::test_archive::manifest();
    manifest["name"] = json!(name);
    manifest["dependencies"] = dependencies;
    aci_with(&manifest, tree)
}

fn of_version(name: &str, version: &str, tree: Tar) -> Vec<u8> {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "labels": [{"name": "version", "value": version}],
    });
    aci_with(&manifest, tree)
}

fn needs(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({"imageName": name}))
        .collect()
}

fn file(path: &str, content: &str) -> Tar {
    Tar::default().file(format!("rootfs/{path}"), content)
}

fn shown(image: &StoredImage) -> BTreeMap<String, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let contents = contents_of(&image.erofs_path).into_iter();
    contents
        .map(|(name, content)| (text(name), text(content)))
        .filter(|(_, content)| !content.is_empty())
        .collect()
}

#[track_caller]
fn assert_has(image: &StoredImage, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(a, b)| ((*a).into(), (*b).into()));
    assert_eq!(shown(image), expected.collect());
}

impl Bench {
    fn put(&self, name: &str, dependencies: Value, tree: Tar) -> StoredImage {
        self.import(&self.write(&format!("{name}.aci"), &named(name, dependencies, tree)))
    }
}

#[test]
fn later_dependencies_are_over_earlier_ones_and_the_image_is_over_all() {
    let bench = Bench::new();
    let three = |name: &str, first: &str, second: &str| {
        file(first, name)
            .file(format!("rootfs/{second}"), name)
            .file(format!("rootfs/of/{name}"), name)
    };
    bench.put("base", json!([]), three("base", "all", "low"));
    bench.put("below", json!([]), three("below", "all", "mid"));
    bench.put(
        "above",
        needs(&["below"]),
        file("all", "above").file("rootfs/mid", "above"),
    );
    let image = bench.put("app", needs(&["base", "above"]), file("all", "app"));
    let expected = [
        ("all", "app"),
        ("low", "base"),
        ("mid", "above"),
        ("of/base", "base"),
        ("of/below", "below"),
    ];
    assert_has(&image, &expected);
    let turned = bench.put("turned", needs(&["above", "base"]), file("x", "x"));
    assert_eq!(shown(&turned)["all"], "base");
    bench.store.verify(&image.id).unwrap();
}

#[test]
fn what_is_above_hides_what_has_its_name() {
    let bench = Bench::new();
    let base = file("a/in", "base")
        .file("rootfs/b", "base")
        .file("rootfs/first", "twice")
        .hard_link("rootfs/second", "rootfs/first")
        .symlink("rootfs/lib", "usr/lib")
        .dir("rootfs/usr/lib");
    bench.put("base", json!([]), base);
    let own = file("a", "app")
        .file("rootfs/b/in", "app")
        .file("rootfs/lib/x", "app");
    let image = bench.put("app", needs(&["base"]), own);
    let expected = [
        ("a", "app"),
        ("b/in", "app"),
        ("first", "twice"),
        ("lib/x", "app"),
        ("second", "twice"),
    ];
    assert_has(&image, &expected);
}

#[test]
fn a_directory_without_an_entry_is_as_the_dependency_has_it() {
    let bench = Bench::new();
    let owned = Fields {
        uid: 7,
        ..Fields::of("rootfs/d", b'5')
    };
    let base = Tar::default().entry(&owned, b"").file("rootfs/d/a", "a");
    bench.put("base", json!([]), base);
    let image = bench.put("app", needs(&["base"]), file("d/b", "b"));
    let files = crate::Filesystem::open(&image.erofs_path).unwrap();
    assert_eq!(files.lookup("/d").unwrap().found().unwrap().uid, 7);
    let named = bench.put("named", needs(&["base"]), Tar::default().dir("rootfs/d"));
    let files = crate::Filesystem::open(&named.erofs_path).unwrap();
    assert_eq!(files.lookup("/d").unwrap().found().unwrap().uid, 0);
}

#[test]
fn a_white_list_is_for_dependencies_too() {
    let bench = Bench::new();
    let mut manifest = crate::test_archive::manifest();
    manifest["name"] = json!("base");
    manifest["pathWhitelist"] = json!(["/a", "/b"]);
    let base = file("a", "a").file("rootfs/b", "b").file("rootfs/c", "c");
    bench.import(&bench.write("base.aci", &aci_with(&manifest, base)));
    manifest["name"] = json!("app");
    manifest["dependencies"] = needs(&["base"]);
    manifest["pathWhitelist"] = json!(["/a", "/c", "/own"]);
    let own = file("own", "own").file("rootfs/other", "other");
    let image = bench.import(&bench.write("app.aci", &aci_with(&manifest, own)));
    assert_has(&image, &[("a", "a"), ("own", "own")]);
}

#[test]
fn another_version_of_a_dependency_makes_another_image() {
    let bench = Bench::new();
    bench.import(&bench.write("1.aci", &of_version("base", "1", file("v", "one"))));
    let archive = bench.write("app.aci", &named("app", needs(&["base"]), file("x", "x")));
    let first = bench.import(&archive);
    assert_eq!(bench.import(&archive), first);
    bench.import(&bench.write("2.aci", &of_version("base", "2", file("v", "two"))));
    let second = bench.import(&archive);
    assert_ne!(second.id, first.id);
    assert_eq!(shown(&first)["v"], "one");
    assert_eq!(shown(&second)["v"], "two");
    // A label decides which one it is.
    let version = json!([{"name": "version", "value": "1"}]);
    let old = json!([{"imageName": "base", "labels": version}]);
    assert_eq!(shown(&bench.put("old", old, file("x", "x")))["v"], "one");
    // The same images make the same bytes.
    let other = Bench::new();
    other.import(&other.write("2.aci", &of_version("base", "2", file("v", "two"))));
    let again = other.put("app", needs(&["base"]), file("x", "x"));
    assert_eq!(again.id, second.id);
    let bytes = |image: &StoredImage| fs::read(&image.erofs_path).unwrap();
    assert!(bytes(&again) == bytes(&second));
}

#[test]
fn an_image_goes_by_its_own_archive_s_id_and_stays_when_its_dependencies_go() {
    let bench = Bench::new();
    let base = bench.put("base", json!([]), file("v", "one"));
    let archive = named("app", needs(&["base"]), file("x", "x"));
    let image = bench.import(&bench.write("app.aci", &archive));
    let own = ImageId::of(&archive);
    assert_ne!(own, image.id);
    assert_eq!(bench.store.find(own.as_str()).unwrap().image.id, image.id);
    assert!(bench.store.remove(&base.id).unwrap());
    assert_eq!(bench.store.find("app").unwrap().image.id, image.id);
    bench.store.verify(&image.id).unwrap();
    let parts = bench.store.image(&image.id).join("parts");
    fs::remove_file(&parts).unwrap();
    assert!(bench.store.verify(&image.id).unwrap_err().is_damage());
}

#[test]
fn the_id_of_a_dependency_is_its_archive_s() {
    let bench = Bench::new();
    let by_id = |id: &ImageId| json!([{"imageName": "mid", "imageID": id.as_str()}]);
    bench.put("base", json!([]), file("v", "one"));
    let archive = named("mid", needs(&["base"]), file("m", "m"));
    bench.import(&bench.write("mid.aci", &archive));
    let image = bench.put("app", by_id(&ImageId::of(&archive)), file("x", "x"));
    assert_has(&image, &[("m", "m"), ("v", "one"), ("x", "x")]);
    let wrong = named("app", by_id(&ImageId::of(b"other")), file("x", "x"));
    bench.refuses_file(
        "wrong.aci",
        &wrong,
        "its dependency aci://mid: it is not in the store, or signed by nobody who is trusted, and may not be fetched",
    );
}

#[test]
fn dependencies_that_cannot_be_are_refused() {
    let bench = Bench::new();
    let not_there =
        ": it is not in the store, or signed by nobody who is trusted, and may not be fetched";
    bench.put("base", json!([]), file("v", "one"));
    let cases = [
        (
            needs(&["base", "missing"]),
            format!("its dependency aci://missing{not_there}"),
        ),
        (
            json!([{"imageName": "base", "labels": [{"name": "version", "value": "1"}]}]),
            format!("its dependency aci://base:1{not_there}"),
        ),
        (
            needs(&["app"]),
            "its dependency aci://app: it depends on itself, by way of app".to_owned(),
        ),
        (
            json!(vec![json!({"imageName": "base"}); MAX_DEPENDENCIES + 1]),
            "manifest: 65 dependencies, and an image can have 64".to_owned(),
        ),
    ];
    for (dependencies, expected) in cases {
        bench.refuses_file(
            "app.aci",
            &named("app", dependencies, file("x", "x")),
            &expected,
        );
    }
}

#[test]
fn a_damaged_dependency_gets_into_no_image() {
    let bench = Bench::new();
    let base = bench.put("base", json!([]), file("v", "one"));
    fs::remove_file(&base.erofs_path).unwrap();
    fs::write(
        &base.erofs_path,
        vec![0; usize::try_from(base.size).unwrap()],
    )
    .unwrap();
    let error =
        bench.try_import(&bench.write("app.aci", &named("app", needs(&["base"]), file("x", "x"))));
    let error = error.unwrap_err();
    let expected = format!(
        "image {}, which it is put together from: DIR/cas/images/{}/rootfs.erofs is damaged",
        base.id, base.id
    );
    assert!(error.contains(&expected), "{error}");
}
