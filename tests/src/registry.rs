//! Debian's `docker-registry` on loopback, filled by skopeo.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A registry that ends with its owner.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    host: String,
    directory: TempDir,
}

impl Registry {
    /// An empty one that answers plain HTTP.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        Self::with("")
    }

    /// With more configuration, in YAML, of which the first lines are of its section `http`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn with(more: &str) -> Result<Self> {
        let directory = TempDir::new().context("make a directory for a registry")?;
        let root = directory.path().join("data");
        let host = format!("127.0.0.1:{}", free_port()?);
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: '{host}'\n{more}",
            root.display()
        );
        let configuration = directory.path().join("registry.yml");
        fs::write(&configuration, text).context("configure a registry")?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("run docker-registry: `cargo xtask test` installs it")?;
        let mut registry = Self {
            process,
            host,
            directory,
        };
        registry.wait()?;
        Ok(registry)
    }

    /// It listens when it can be connected to; nobody tells of it.
    fn wait(&mut self) -> Result<()> {
        while TcpStream::connect(&self.host).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("docker-registry: {status}");
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Its address, as names of its images begin.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A place for files, as long as the registry is there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Puts an OCI layout's image there unchanged, and returns its reference.
    ///
    /// # Errors
    /// When skopeo fails, with its words.
    pub fn push(&self, layout: &Path, name: &str) -> Result<String> {
        let reference = format!("{}/{name}", self.host);
        let pushed = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ])
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{reference}"))
            .output()
            .context("run skopeo")?;
        if !pushed.status.success() {
            bail!("skopeo copy: {}", String::from_utf8_lossy(&pushed.stderr));
        }
        Ok(reference)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
