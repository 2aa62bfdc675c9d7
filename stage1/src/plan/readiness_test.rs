use bulkhead_pod::manifest::PodManifest;

use super::*;

fn annotations(value: Option<&str>) -> String {
    let one = |value| format!(r#","annotations":[{{"name":"{ANNOTATION}","value":"{value}"}}]"#);
    value.map(one).unwrap_or_default()
}

fn says_so(of_pod: Option<&str>, of_image: Option<&str>) -> Result<bool, String> {
    let id = format!("sha512-{}", "0f".repeat(64));
    let pod = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{{
            "name":"web","image":{{"id":"{id}"}}{}}}]}}"#,
        annotations(of_pod)
    );
    let image = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web"{}}}"#,
        annotations(of_image)
    );
    let pod = PodManifest::parse(pod.as_bytes()).unwrap();
    let image = ImageManifest::parse(image.as_bytes()).unwrap();
    let name = AppName::try_from("web".to_owned()).unwrap();
    is_said(&pod.apps[0], &image, &name).map_err(|error| error.to_string())
}

#[test]
fn an_image_says_whether_its_app_does_and_the_pod_says_it_better() {
    assert_eq!(says_so(None, None), Ok(false));
    assert_eq!(says_so(None, Some("true")), Ok(true));
    assert_eq!(says_so(Some("true"), None), Ok(true));
    assert_eq!(says_so(Some("false"), Some("true")), Ok(false));
}

#[test]
fn it_says_yes_or_no() {
    let message = format!("app web: annotation {ANNOTATION}: \"1\" is neither true nor false");
    assert_eq!(says_so(None, Some("1")), Err(message));
}
