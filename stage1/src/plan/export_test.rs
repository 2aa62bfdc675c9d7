use bulkhead_pod::manifest::ImageManifest;

use super::super::tests::of_blocks;
use super::*;

fn images() -> [Image; 2] {
    [1, 2].map(|blocks| Image {
        manifest: ImageManifest::parse(
            br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web"}"#,
        )
        .unwrap(),
        json: Vec::new(),
        root: of_blocks(blocks),
    })
}

fn pod() -> PodManifest {
    let id = "a".repeat(128);
    let app = |name: &str, fields: &str| {
        format!(r#"{{"name":"{name}","image":{{"id":"sha512-{id}"}}{fields}}}"#)
    };
    let read_only = r#","readOnlyRootFS":true,"mounts":[{"volume":"v","path":"/v"}]"#;
    let json = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{},{}],
            "volumes":[{{"name":"v","kind":"empty"}}]}}"#,
        app("first", ""),
        app("second", read_only)
    );
    PodManifest::parse(json.as_bytes()).unwrap()
}

#[test]
fn it_is_the_one_app_alone_with_nothing_in_its_root() {
    let planned = export(&pod(), &images(), "second", 1 << 30).unwrap();
    let plan = &planned.plan;
    let [app] = &plan.apps[..] else {
        panic!("{:?}", plan.apps);
    };
    assert!(app.exported);
    assert_eq!(app.name.as_str(), "second");
    assert!(app.mounts.is_empty() && plan.empty_volumes.is_empty());
    assert_eq!(planned.image_apps, [1]);
    assert_eq!(plan.images[0].verity.data_blocks(), 2);
    assert_eq!(app.scratch.length, 1 << 30);
    assert_eq!(planned.processes[0].app, app.name);
}

#[test]
fn an_app_that_the_pod_does_not_have_is_named() {
    let error = export(&pod(), &images(), "third", 1 << 30).unwrap_err();
    assert_eq!(error.to_string(), "the pod has no app \"third\"");
}
