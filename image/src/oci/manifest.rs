//! An ACI manifest that says what an OCI configuration says, as `docker2aci` maps it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Config, Execution};
use super::{name, platform};

/// The manifest of an image with this configuration.
///
/// `reference` is the name that the image goes by: `redis`, `docker.io/library/redis:7`.
pub(super) fn synthesize(config: &Config, reference: &str, config_digest: &str) -> Vec<u8> {
    let (repository, tag) = name::split_reference(reference);
    let empty = Execution::default();
    let execution = config.config.as_ref().unwrap_or(&empty);
    let mut labels = vec![
        json!({"name": "os", "value": config.os}),
        json!({"name": "arch", "value": platform::appc_architecture(&config.architecture)}),
    ];
    if let Some(tag) = tag {
        labels.push(json!({"name": "version", "value": tag}));
    }
    let manifest = json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": name::ac_identifier(repository),
        "labels": labels,
        "app": app(execution),
        "annotations": annotations(config, execution, reference, config_digest),
    });
    serde_json::to_vec(&manifest).expect("a JSON value is serializable")
}

fn app(execution: &Execution) -> Value {
    let (user, group) = user_and_group(execution.user.as_deref().unwrap_or_default());
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let exec = [words(&execution.entrypoint), words(&execution.cmd)].concat();
    let mut app = json!({
        "exec": exec,
        "user": user,
        "group": group,
        "environment": environment(execution.env.as_deref().unwrap_or_default()),
        "mountPoints": mount_points(execution.volumes.iter().flat_map(BTreeMap::keys)),
        "ports": ports(execution.exposed_ports.iter().flat_map(BTreeMap::keys)),
    });
    if let Some(directory) = execution.working_dir.as_deref().filter(|d| !d.is_empty()) {
        app["workingDirectory"] = json!(absolute(directory));
    }
    if let Some(labels) = &execution.labels {
        app["userLabels"] = json!(labels);
    }
    app
}

/// `user[:group]`; both are root's when the image says nothing, and the group goes with the user.
fn user_and_group(text: &str) -> (&str, &str) {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let user = if user.is_empty() { "0" } else { user };
    (user, if group.is_empty() { user } else { group })
}

/// `NAME=VALUE` each; the last of several values counts. Names that appc cannot say (`my:var`) are
/// left out rather than that the image cannot run.
fn environment(variables: &[String]) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for variable in variables {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if !is_variable_name(name) {
            continue;
        }
        if values.insert(name, value).is_none() {
            names.push(name);
        }
    }
    let variable = |name: &&str| json!({"name": name, "value": values[name]});
    names.iter().map(variable).collect()
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn mount_points<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<Value> {
    let mut names = UniqueNames::default();
    paths
        .map(|path| {
            let name = names.take(&name::ac_name(&format!("volume-{path}")));
            json!({"name": name, "path": absolute(path), "readOnly": false})
        })
        .collect()
}

/// A path as Docker takes it: relative to the root, `.` and `..` resolved in the text.
fn absolute(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `80`, `80/udp`, `8000-8010/tcp`. What is none of these is left out: it is documentation only.
fn ports<'a>(exposed: impl Iterator<Item = &'a String>) -> Vec<Value> {
    let mut names = UniqueNames::default();
    exposed
        .filter_map(|text| {
            let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            let known = ["tcp", "udp", "sctp"].contains(&protocol.as_str());
            if first == 0 || last < first || !known {
                return None;
            }
            let name = names.take(&name::ac_name(&format!("{range}-{protocol}")));
            Some(json!({
                "name": name,
                "protocol": protocol,
                "port": first,
                "count": u32::from(last - first) + 1,
                "socketActivated": false,
            }))
        })
        .collect()
}

fn annotations(
    config: &Config,
    execution: &Execution,
    reference: &str,
    config_digest: &str,
) -> Vec<Value> {
    let (repository, tag) = name::split_reference(reference);
    let words = |words: &Option<Vec<String>>| {
        let words = words.as_ref().filter(|words| !words.is_empty())?;
        Some(serde_json::to_string(words).expect("strings are serializable"))
    };
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let all = [
        ("created", text(&config.created)),
        ("authors", text(&config.author)),
        ("appc.io/docker/originalname", Some(reference.to_owned())),
        ("appc.io/docker/repository", Some(repository.to_owned())),
        ("appc.io/docker/tag", tag.map(str::to_owned)),
        ("appc.io/docker/imageid", Some(config_digest.to_owned())),
        ("appc.io/docker/entrypoint", words(&execution.entrypoint)),
        ("appc.io/docker/cmd", words(&execution.cmd)),
        // What the mapping above loses: whether there was a group, and the signal.
        ("bulkhead.dev/oci/user", text(&execution.user)),
        ("bulkhead.dev/oci/stop-signal", text(&execution.stop_signal)),
    ];
    let present = all.into_iter();
    present
        .filter_map(|(name, value)| Some(json!({"name": name, "value": value?})))
        .collect()
}

/// Names that were given out in one list, where each may occur once.
#[derive(Default)]
struct UniqueNames(Vec<String>);

impl UniqueNames {
    /// `wanted`, or `wanted-2` and so on when it is taken.
    fn take(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        while self.0.contains(&name) {
            number += 1;
            name = format!("{wanted}-{number}");
        }
        self.0.push(name.clone());
        name
    }
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
