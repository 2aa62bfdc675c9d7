//! The manifest of the stage1 image (App Container image specification 0.8.11), by whose annotations stage0
//! finds the entrypoints.

use serde::Serialize;

/// The specification's version that the manifest follows.
const AC_VERSION: &str = "0.8.11";
/// What the images' names begin with.
const NAME: &str = "bulkhead.dev/stage1";
/// Each annotation that stage0 reads: entrypoints are paths below the image's root.
const ANNOTATIONS: &[(&str, &str)] = &[
    ("coreos.com/rkt/stage1/run", "/run"),
    ("coreos.com/rkt/stage1/enter", "/enter"),
    // One program: its words say what is wanted of it.
    ("coreos.com/rkt/stage1/attach", "/enter"),
    ("coreos.com/rkt/stage1/stop", "/stop"),
    ("coreos.com/rkt/stage1/app/add", "/app-add"),
    ("coreos.com/rkt/stage1/app/start", "/app-start"),
    ("coreos.com/rkt/stage1/app/stop", "/app-stop"),
    ("coreos.com/rkt/stage1/app/rm", "/app-rm"),
    ("coreos.com/rkt/stage1/interface-version", "6"),
    ("bulkhead.dev/stage1/export", "/run"),
    ("bulkhead.dev/stage1/takes-block-images", "true"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageManifest<'a> {
    ac_kind: &'a str,
    ac_version: &'a str,
    name: String,
    labels: Vec<Pair<'a>>,
    annotations: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

/// The manifest's text for an image of this flavor and version, with further annotations.
pub(crate) fn json(flavor: &str, more: &[(&str, &str)], version: &str) -> String {
    let pair = |&(name, value)| Pair { name, value };
    let manifest = ImageManifest {
        ac_kind: "ImageManifest",
        ac_version: AC_VERSION,
        name: format!("{NAME}-{flavor}"),
        labels: [("version", version), ("os", "linux"), ("arch", "amd64")]
            .iter()
            .map(pair)
            .collect(),
        annotations: ANNOTATIONS.iter().chain(more).map(pair).collect(),
    };
    let mut text = serde_json::to_string_pretty(&manifest).expect("strings always serialize");
    text.push('\n');
    text
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
