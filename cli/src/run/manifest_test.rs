use serde_json::json;

use super::*;
use crate::arguments::{self, Request};

/// The app section of `run image WORDS…`.
fn request(words: &str) -> AppRequest {
    let line = format!("run image {words}");
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match arguments::parse(&words) {
        Ok(Request::Run(_, mut request)) => request.pod.apps.remove(0),
        other => panic!("{line}: {other:?}"),
    }
}

fn image_manifest(name: &str, os: &str, arch: &str) -> ImageManifest {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "labels": [{"name": "os", "value": os}, {"name": "arch", "value": arch}],
        "app": {
            "exec": ["/bin/app"], "user": "1", "group": "2",
            "isolators": [
                {"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_KILL"]}},
                {"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}}
            ]
        }
    });
    ImageManifest::parse(manifest.to_string().as_bytes()).unwrap()
}

static NOBODY: std::sync::LazyLock<Accounts> = std::sync::LazyLock::new(Accounts::default);

fn pod(images: &[(ImageManifest, AppRequest)]) -> Result<PodManifest, String> {
    let images: Vec<ImageForApp<'_>> = images
        .iter()
        .map(|(manifest, request)| ImageForApp {
            id: format!("sha512-{}", "ab".repeat(64)).parse().unwrap(),
            manifest: manifest.clone(),
            accounts: &NOBODY,
            request,
        })
        .collect();
    let Ok(Request::Run(_, request)) = arguments::parse(&["run".into(), "image".into()]) else {
        panic!("run image");
    };
    pod_manifest(&images, &request.pod, &PodEnvironment::default())
        .map_err(|error| error.to_string())
}

fn linux(name: &str) -> ImageManifest {
    image_manifest(name, "linux", "amd64")
}

#[test]
fn names_come_from_the_image_unless_given() {
    let names = |images: &[(&str, &str)]| -> Vec<String> {
        let images: Vec<_> = images
            .iter()
            .map(|(name, words)| (linux(name), request(words)))
            .collect();
        pod(&images)
            .unwrap()
            .apps
            .iter()
            .map(|app| app.name.to_string())
            .collect()
    };
    assert_eq!(names(&[("redis", "")]), ["redis"]);
    assert_eq!(names(&[("example.com/a/web_app.v2", "")]), ["web-app-v2"]);
    assert_eq!(names(&[("a", ""), ("a", "--name=b")]), ["a", "b"]);
    let twice = [(linux("x/a"), request("")), (linux("y/a"), request(""))];
    assert_eq!(
        pod(&twice).unwrap_err(),
        "two apps are called \"a\": give one of them another name with --name"
    );
}

#[test]
fn other_systems_are_refused() {
    let error = |os, arch| pod(&[(image_manifest("a", os, arch), request(""))]).unwrap_err();
    let text = "image \"image\" is for linux on aarch64, not for linux on amd64 or i386";
    assert_eq!(error("linux", "aarch64"), text);
    let text = "image \"image\" is for freebsd on amd64, not for linux on amd64 or i386";
    assert_eq!(error("freebsd", "amd64"), text);
    assert!(pod(&[(image_manifest("a", "linux", "i386"), request(""))]).is_ok());
    let json = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a"});
    let unlabelled = ImageManifest::parse(json.to_string().as_bytes()).unwrap();
    let text = "image \"image\" is for unknown on unknown, not for linux on amd64 or i386";
    assert_eq!(
        pod(&[(unlabelled, request("--exec=/x"))]).unwrap_err(),
        text
    );
}

#[test]
fn a_flags_isolator_replaces_its_kind_and_no_other() {
    let names = |words: &str| -> Vec<String> {
        let pod = pod(&[(linux("a"), request(words))]).unwrap();
        let app = pod.apps[0].app.as_ref().unwrap();
        app.isolators
            .iter()
            .map(|isolator| isolator.name().to_owned())
            .collect()
    };
    let (remove, retain) = (
        "os/linux/capabilities-remove-set",
        "os/linux/capabilities-retain-set",
    );
    let (allow, forbid) = ("os/linux/seccomp-retain-set", "os/linux/seccomp-remove-set");
    assert_eq!(names(""), [remove, allow]);
    assert_eq!(names("--caps-retain=CAP_CHOWN"), [allow, retain]);
    assert_eq!(names("--caps-remove=CAP_CHOWN"), [allow, remove]);
    assert_eq!(names("--seccomp=mode=remove,reboot"), [remove, forbid]);
    assert_eq!(names("--memory=1Gi"), [remove, allow, "resource/memory"]);
}

#[test]
fn the_last_of_two_annotations_counts() {
    let words = "--annotation=a=1 --annotation=b=2 --annotation=a=3 --user-label=x=y=z";
    let pod = pod(&[(linux("a"), request(words))]).unwrap();
    let notes: Vec<_> = pod.apps[0]
        .annotations
        .iter()
        .map(|n| format!("{}={}", n.name, n.value.as_str()))
        .collect();
    assert_eq!(notes, ["a=3", "b=2"]);
    let labels = &pod.apps[0].app.as_ref().unwrap().user_labels;
    assert_eq!(labels[&"x".parse::<Text>().unwrap()].as_str(), "y=z");
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let error = pod(&[(linux("a"), request("--cpu=0"))]).unwrap_err();
    assert_eq!(error, "app \"a\": --cpu");
}

#[test]
fn what_is_written_is_read_again() {
    let pod = pod(&[(linux("a"), request("--memory=64Mi --name=b -- x"))]).unwrap();
    assert_eq!(PodManifest::parse(&pod.to_json()), Ok(pod));
}
