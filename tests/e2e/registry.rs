//! Images of a registry: Debian's `docker-registry`, filled by skopeo.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bulkhead_tests::images::busybox_oci;
use tempfile::TempDir;

use crate::bulkhead::pod;

/// A registry on loopback, ended with the test.
struct Registry {
    process: Child,
    host: String,
    _directory: TempDir,
}

impl Registry {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let root = directory.path().join("data");
        let configuration = directory.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n",
            root.display()
        );
        fs::write(&configuration, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("run docker-registry");
        // It listens when it can be connected to; nobody tells of it.
        while TcpStream::connect(&host).is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry: {ended:?}");
            std::thread::yield_now();
        }
        Self {
            process,
            host,
            _directory: directory,
        }
    }

    fn push(&self, layout: &Path, name: &str) -> String {
        let image = format!("docker://{}/{name}", self.host);
        let pushed = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
            ])
            .args([&format!("oci:{}", layout.display()), &image])
            .status()
            .expect("run skopeo");
        assert!(pushed.success(), "{pushed}");
        image
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_image_of_a_registry_runs() {
    let registry = Registry::start();
    let image = registry.push(&busybox_oci(), "team/busybox:v1");
    pod(Path::new(&image))
        .shell("echo from a registry")
        .run()
        .exits(0)
        .shows("from a registry\n");
}
