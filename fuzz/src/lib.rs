//! What reads untrusted bytes, driven by libFuzzer (`cargo xtask fuzz`): a function a target, and what it begins with.
//!
//! A target panics where something is wrong. Time and memory are bounded by libFuzzer's own limits, so that what takes too much of
//! either is found too.

mod signatures;

pub use self::signatures::signatures;
use bulkhead_image::fuzzing;
pub use bulkhead_image::fuzzing::{archive, documents, erofs, layer};
use bulkhead_pod::manifest::{ImageManifest, PodManifest};
use bulkhead_protocol::agent::{FromAgent, ToAgent};
use bulkhead_protocol::control::{Reply, Request};
use bulkhead_protocol::fetch::{FromFetcher, ToFetcher};
use bulkhead_protocol::frame;
use bulkhead_protocol::import::{FromImporter, ToImporter};
use bulkhead_protocol::vmm::{FromVmm, ToVmm};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// All targets by their names, each with inputs to begin with.
#[must_use]
pub fn targets() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let [archives, layers, documents, images] = fuzzing::seeds();
    vec![
        ("archive", archives),
        ("layer", layers),
        ("documents", documents),
        ("erofs", images),
        ("manifests", manifest_seeds()),
        ("messages", message_seeds()),
        ("signatures", signatures::seeds()),
    ]
}

/// Manifests of images and pods: what is taken says the same when it is written and read again.
pub fn manifests(bytes: &[u8]) {
    if let Ok(manifest) = ImageManifest::parse(bytes) {
        let again = ImageManifest::parse(&manifest.to_json());
        assert_eq!(again.ok(), Some(manifest));
    }
    if let Ok(manifest) = PodManifest::parse(bytes) {
        let again = PodManifest::parse(&manifest.to_json());
        assert_eq!(again.ok(), Some(manifest));
    }
}

/// Messages between all processes, those of the agent, the importer and the fetcher among them: the first byte says of which kind.
pub fn messages(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 10 {
        0 => message::<FromAgent>(bytes),
        1 => message::<ToAgent>(bytes),
        2 => message::<Request>(bytes),
        3 => message::<Reply>(bytes),
        4 => message::<FromFetcher>(bytes),
        5 => message::<ToFetcher>(bytes),
        6 => message::<FromImporter>(bytes),
        7 => message::<ToImporter>(bytes),
        8 => message::<FromVmm>(bytes),
        _ => message::<ToVmm>(bytes),
    }
}

/// What was read is what comes of reading it again.
fn message<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = frame::decode::<M>(bytes) {
        let packet =
            frame::encode_packet(&message, usize::MAX).expect("what was read can be written");
        assert_eq!(frame::decode::<M>(&packet).ok(), Some(message));
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let id = "0f".repeat(64);
    let app = r#"{"exec":["/bin/a"],"user":"0","group":"0","environment":[{"name":"A","value":"1"}],
        "isolators":[{"name":"resource/memory","value":{"limit":"1G"}}],
        "mountPoints":[{"name":"data","path":"/data"}],"ports":[{"name":"www","protocol":"tcp","port":80}]}"#;
    let image = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
            "labels":[{{"name":"os","value":"linux"}},{{"name":"arch","value":"amd64"}}],"app":{app}}}"#
    );
    let pod = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{{"name":"a","image":{{"id":"sha512-{id}"}},
            "app":{app},"mounts":[{{"volume":"v","path":"/v"}}]}}],
            "volumes":[{{"name":"v","kind":"host","source":"/srv","readOnly":true}}]}}"#
    );
    vec![image.into_bytes(), pod.into_bytes()]
}

fn message_seeds() -> Vec<Vec<u8>> {
    (0..10).map(|kind| vec![kind, 0, 0, 0]).collect()
}
