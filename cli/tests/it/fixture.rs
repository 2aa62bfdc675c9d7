//! A data directory, images, and a stage1 of a few lines of shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Writes what it was called with to `$RECORD`, and ends with 42.
///
/// It asks for the pod's lock as an observer does, through a descriptor of its own: 1 from flock
/// means that somebody holds it. Its own, handed-on descriptor must be the open pod directory.
const STAGE1: &str = r#"#!/bin/sh
{
    printf 'program %s\n' "$0"
    for word in "$@"; do printf 'argument %s\n' "$word"; done
    printf 'directory %s\n' "$(pwd -P)"
    printf 'lock-directory %s\n' "$(readlink "/proc/$$/fd/$RKT_LOCK_FD")"
    flock --shared --nonblock . true; printf 'observer %s\n' "$?"
    printf 'trace %s\n' "$BULKHEAD_TRACE"
    printf 'variable %s\n' "$KEPT"
} > "$RECORD"
exit 42
"#;

/// The other entrypoints: each adds a line to `$RECORD` and ends with `$CODE`, or 0. Those that are called with an environment of
/// their own read both in files of the pod's directory.
const ENTRYPOINT: &str = r#"#!/bin/sh
if [ -z "$RECORD" ]; then
    RECORD=./record
    env | grep RKT_ | sort >> ./environment
    CODE="$(cat "./code-${0##*/}" 2>/dev/null)"
fi
printf '%s in %s:' "${0##*/}" "$(pwd -P)" >> "$RECORD"
printf ' %s' "$@" >> "$RECORD"
printf '\n' >> "$RECORD"
exit "${CODE:-0}"
"#;

/// Everything a test needs, deleted with it.
pub(crate) struct Fixture {
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self {
            directory: TempDir::new().expect("make a temporary directory"),
        };
        fixture.make_stage1(STAGE1);
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make_stage1(&self, script: &str) {
        let rootfs = self.path("stage1/rootfs");
        fs::create_dir_all(rootfs.join("rkt/status")).unwrap();
        fs::create_dir_all(rootfs.join("opt/stage2")).unwrap();
        let others = [
            "attach",
            "enter",
            "stop",
            "gc",
            "app-add",
            "app-start",
            "app-stop",
            "app-rm",
        ];
        let others = others.map(|name| (name, ENTRYPOINT));
        for (name, script) in [("run", script)].into_iter().chain(others) {
            fs::write(rootfs.join(name), script).unwrap();
            fs::set_permissions(rootfs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let manifest = json!({
            "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "bulkhead.dev/stage1-test",
            "annotations": [
                {"name": "coreos.com/rkt/stage1/run", "value": "/run"},
                {"name": "coreos.com/rkt/stage1/attach", "value": "/attach"},
                {"name": "coreos.com/rkt/stage1/enter", "value": "/enter"},
                {"name": "coreos.com/rkt/stage1/stop", "value": "/stop"},
                {"name": "coreos.com/rkt/stage1/gc", "value": "/gc"},
                {"name": "coreos.com/rkt/stage1/app/add", "value": "/app-add"},
                {"name": "coreos.com/rkt/stage1/app/start", "value": "/app-start"},
                {"name": "coreos.com/rkt/stage1/app/stop", "value": "/app-stop"},
                {"name": "coreos.com/rkt/stage1/app/rm", "value": "/app-rm"},
                {"name": "coreos.com/rkt/stage1/interface-version", "value": "6"},
                {"name": "bulkhead.dev/stage1/takes-block-images", "value": "true"}
            ]
        });
        fs::write(self.path("stage1/manifest"), manifest.to_string()).unwrap();
    }

    /// Changes the stage1's manifest.
    pub(crate) fn change_stage1(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("stage1/manifest");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(path, manifest.to_string()).unwrap();
    }

    /// The stage1 as one file of this name.
    pub(crate) fn pack_stage1(&self, name: &str) -> PathBuf {
        let file = self.path(name);
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(self.path("stage1"))
            .arg("-czf")
            .arg(&file);
        let status = tar.args(["manifest", "rootfs"]).status().expect("run tar");
        assert!(status.success(), "tar: {status}");
        file
    }

    /// Writes a configuration file below the directory `name`.
    pub(crate) fn configure(&self, name: &str, fields: &Value) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let kinds = [
            ("/paths.d/", "paths"),
            ("/auth.d/", "dockerAuth"),
            ("/registries.d/", "registry"),
            ("/policy.d/", "imagePolicy"),
        ];
        let kind = kinds.iter().find(|(part, _)| name.contains(part));
        let kind = kind.map_or("stage1", |(_, kind)| kind);
        let mut file = json!({"rktKind": kind, "rktVersion": "v1"});
        let fields = fields.as_object().unwrap().clone();
        file.as_object_mut().unwrap().extend(fields);
        fs::write(&path, file.to_string()).unwrap();
        path
    }

    /// An ACI that runs `/bin/app from-image`, with `change` applied to its manifest.
    pub(crate) fn aci(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut manifest = json!({
            "acKind": "ImageManifest", "acVersion": "0.8.11",
            "name": format!("example.com/{name}"),
            "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
            "app": {
                "exec": ["/bin/app", "from-image"], "user": "0", "group": "0",
                "environment": [
                    {"name": "FROM", "value": "image"}, {"name": "KEPT", "value": "image"}
                ],
                "isolators": [{"name": "resource/memory", "value": {"limit": "1Gi"}}]
            },
            "annotations": [{"name": "example.com/note", "value": "kept"}]
        });
        change(&mut manifest);
        let tree = self.path(&format!("{name}.d"));
        for directory in ["rootfs/bin", "rootfs/etc", "rootfs/srv"] {
            fs::create_dir_all(tree.join(directory)).unwrap();
        }
        let passwd = "nobody:x:65534:65534::/nonexistent:/bin/false\n";
        fs::write(tree.join("rootfs/etc/passwd"), passwd).unwrap();
        fs::write(tree.join("rootfs/bin/app"), format!("program of {name}")).unwrap();
        fs::write(tree.join("manifest"), manifest.to_string()).unwrap();
        let file = self.path(&format!("{name}.aci"));
        let mut tar = Command::new("tar");
        // Made again it is the same image, however long that takes.
        tar.arg("--mtime=@0")
            .arg("-C")
            .arg(&tree)
            .arg("-cf")
            .arg(&file);
        let status = tar.args(["manifest", "rootfs"]).status().expect("run tar");
        assert!(status.success(), "tar: {status}");
        file.display().to_string()
    }

    /// `bulkhead` with the fixture's data directory, and its stage1 when it makes a pod.
    pub(crate) fn bulkhead(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        match arguments {
            [subcommand @ ("run" | "prepare"), rest @ ..] => command
                .arg(subcommand)
                .arg("--stage1")
                .arg(self.path("stage1"))
                .args(rest),
            _ => command.args(arguments),
        };
        without_warnings_of_signatures(command.output().expect("run bulkhead"))
    }

    /// The same, without the stage1. Its images are not signed.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.strict_command();
        command.arg("--insecure-options=image");
        command
    }

    /// The same, that takes only signed images.
    pub(crate) fn strict_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command
            .current_dir(self.directory.path())
            .arg("--dir")
            .arg(self.path("data"));
        command
            .env("RECORD", self.path("record"))
            .env("KEPT", "caller");
        command
    }

    /// The same, with the configuration of the directory `local`.
    pub(crate) fn configured_command(&self) -> Command {
        let mut command = self.strict_command();
        command.arg("--local-config").arg(self.path("local"));
        command
    }

    /// The same again, for which a server of this host is the whole web.
    pub(crate) fn proxied_command(&self, proxy: &str) -> Command {
        let mut command = self.configured_command();
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            command.env(variable, format!("http://{proxy}"));
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        command
    }

    /// The lines of one kind that stage1 wrote down.
    pub(crate) fn recorded(&self, kind: &str) -> Vec<String> {
        let record = fs::read_to_string(self.path("record")).expect("stage1 was executed");
        let prefix = format!("{kind} ");
        let lines = record.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(str::to_owned).collect()
    }

    /// Where every pod lies: `run/UUID`.
    pub(crate) fn pods(&self) -> Vec<String> {
        let mut pods = Vec::new();
        for phase in list(&self.path("data/pods")) {
            pods.extend(list(&phase).iter().map(|pod| {
                let phase = phase.file_name().unwrap().display();
                format!("{phase}/{}", pod.file_name().unwrap().display())
            }));
        }
        pods
    }

    /// The one pod's directory.
    pub(crate) fn pod(&self) -> PathBuf {
        let pods = self.pods();
        let [pod] = pods.as_slice() else {
            panic!("one pod, not {pods:?}")
        };
        self.path("data/pods").join(pod)
    }

    /// The one pod's manifest.
    pub(crate) fn pod_manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.pod().join("pod")).unwrap()).unwrap()
    }

    /// The one app of the one pod's manifest.
    pub(crate) fn app(&self) -> Value {
        self.pod_manifest()["apps"][0]["app"].clone()
    }
}

/// What is said but for that no signature is looked at, which is said of every ACI here.
pub(crate) fn without_warnings_of_signatures(output: Output) -> Output {
    let warning = b"warning: image signature verification has been disabled\n";
    let lines = output.stderr.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.ends_with(warning));
    Output {
        stderr: lines.flatten().copied().collect(),
        ..output
    }
}

/// The entries of a directory, sorted; none when there is no such directory.
pub(crate) fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What an error looks like: nothing on stdout, 254, and this on stderr.
#[track_caller]
pub(crate) fn assert_error(output: &Output, expected: &str) {
    let output = without_warnings_of_signatures(output.clone());
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(254));
    assert!(output.stdout.is_empty());
}
