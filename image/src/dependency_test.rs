use serde_json::{Value, json};

use super::*;

fn parse(dependencies: Value) -> Result<Vec<Dependency>, String> {
    let manifest = json!({"name": "example.com/app", "dependencies": dependencies});
    let parsed = Dependency::all_of(manifest.to_string().as_bytes());
    parsed.map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })
}

#[test]
fn what_cannot_be_a_dependency_is_an_error() {
    let labelled = |name: &str, value: &str| json!([{"imageName": "a", "labels": [{"name": name, "value": value}]}]);
    let many: Vec<Value> = (0..=MAX_DEPENDENCIES)
        .map(|_| json!({"imageName": "a"}))
        .collect();
    let cases = [
        (json!([{}]), "missing field `imageName`"),
        (json!([{"imageName": "a:1"}]), "dependencies[0].imageName"),
        (json!([{"imageName": "a,b=c"}]), "dependencies[0].imageName"),
        (json!([{"imageName": "../a"}]), "dependencies[0].imageName"),
        (labelled("name", "a"), "a label has another name"),
        (labelled("version", "1,os=x"), "the value of a label has"),
        (labelled("version", ""), "the value of a label has"),
        (
            json!([{"imageName": "a", "imageID": "sha512-00"}]),
            "dependencies[0].imageID",
        ),
        (json!([{"imageName": "a", "size": -1}]), "invalid value"),
        (json!(many), "65 dependencies, and an image can have 64"),
    ];
    for (dependencies, expected) in cases {
        let error = parse(dependencies.clone()).expect_err("it is refused");
        assert!(error.contains(expected), "{dependencies}: {error}");
    }
    assert_eq!(parse(json!(null)).unwrap(), []);
}

#[test]
fn an_image_is_meant_by_its_name_and_its_id_or_its_labels() {
    let manifest = br#"{"name": "a", "labels": [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}]}"#;
    let (id, other) = (ImageId::of(b"one"), ImageId::of(b"other"));
    let meets = |dependency: Value| {
        let dependency = &parse(json!([dependency])).unwrap()[0];
        dependency.is_met_by(&id, manifest)
    };
    let version = |version: &str| json!([{"name": "version", "value": version}]);
    assert!(meets(json!({"imageName": "a"})));
    assert!(!meets(json!({"imageName": "b"})));
    assert!(meets(json!({"imageName": "a", "labels": version("1")})));
    assert!(!meets(json!({"imageName": "a", "labels": version("2")})));
    let flavor = json!([{"name": "flavor", "value": "x"}]);
    assert!(!meets(json!({"imageName": "a", "labels": flavor})));
    assert!(meets(json!({"imageName": "a", "imageID": id.as_str()})));
    assert!(!meets(json!({"imageName": "a", "imageID": other.as_str()})));
    // The id says all that labels could.
    assert!(meets(
        json!({"imageName": "a", "imageID": id.as_str(), "labels": version("2")})
    ));
    assert!(!meets(json!({"imageName": "b", "imageID": id.as_str()})));
}
