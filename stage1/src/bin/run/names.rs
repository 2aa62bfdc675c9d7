//! The pod's own files of names: what stage0 wrote for it, or the host's.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_pod::name_files::{HOSTS, NAME_FILE_BYTES_MAX, RESOLV_CONF};
use bulkhead_protocol::plan::{MAX_NAME_FILE, NameFileBytes, NameFiles};
use bulkhead_stage1::arguments::{Arguments, NameSource};
use bulkhead_stage1::hosts;

use crate::files::ROOTFS;

const _: () = assert!(NAME_FILE_BYTES_MAX <= MAX_NAME_FILE);

/// The host's files.
const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";
const HOST_HOSTS: &str = "/etc/hosts";

/// Reads those that the pod is to have. What stage0 wrote into `hosts` gets the pod's name; the host's stays as it is.
pub(crate) fn read(arguments: &Arguments) -> Result<NameFiles> {
    let resolv_conf = read_one(arguments.resolv_conf, HOST_RESOLV_CONF, RESOLV_CONF)?;
    let mut hosts = read_one(arguments.hosts, HOST_HOSTS, HOSTS)?;
    if arguments.hosts == NameSource::Stage0 {
        hosts = hosts.map(|bytes| hosts::with_name(&bytes, &arguments.pod_name()));
    }
    Ok(NameFiles {
        hosts: bounded("/etc/hosts", hosts)?,
        resolv_conf: bounded("/etc/resolv.conf", resolv_conf)?,
    })
}

fn read_one(source: NameSource, of_host: &str, of_stage0: &str) -> Result<Option<Vec<u8>>> {
    let path = match source {
        NameSource::Default => return Ok(None),
        NameSource::Host => PathBuf::from(of_host),
        NameSource::Stage0 => Path::new(ROOTFS).join(of_stage0),
    };
    read_bounded(&path).map(Some)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("read {}", path.display());
    let file = File::open(path).with_context(context)?;
    let most = u64::try_from(NAME_FILE_BYTES_MAX).expect("a constant of some kibibytes");
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(context)?;
    if bytes.len() > NAME_FILE_BYTES_MAX {
        bail!("{} is longer than {most} bytes", path.display());
    }
    Ok(bytes)
}

fn bounded(what: &str, bytes: Option<Vec<u8>>) -> Result<Option<NameFileBytes>> {
    let bytes = bytes.map(NameFileBytes::try_from).transpose();
    bytes.with_context(|| format!("the pod's {what}"))
}
