//! What stage0 writes down of an app of a mutable pod (rkt's rule), below `rkt` in the root of the stage1 image. Of pods whose stage1
//! does so itself, as ours, nothing of it is written here.

use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::lifecycle::{PodError, create_directory, failed};
use crate::manifest::{AcName, EnvironmentVariable};

fn below(pod: &Path, directory: &str) -> PathBuf {
    pod.join("stage1/rootfs/rkt").join(directory)
}

/// The app's environment, for programs that enter it: a line a variable.
///
/// # Errors
///
/// When the file cannot be written.
pub fn environment(
    pod: &Path,
    app: &AcName,
    variables: &[EnvironmentVariable],
) -> Result<(), PodError> {
    let directory = below(pod, "env");
    create_directory(&directory)?;
    let mut text = String::new();
    for EnvironmentVariable { name, value } in variables {
        let _ = writeln!(text, "{name}={value}");
    }
    let _ = writeln!(text, "AC_APP_NAME={app}");
    let path = directory.join(app.as_str());
    fs::write(&path, text).map_err(failed("write", &path))
}

/// The app is there.
///
/// # Errors
///
/// When the file cannot be written.
pub fn added(pod: &Path, app: &AcName) -> Result<(), PodError> {
    touch(&below(pod, "status").join(format!("{app}-created")))
}

/// It is about to be started, also again: how it ended before is over.
///
/// # Errors
///
/// When a file cannot be removed or written.
pub fn started(pod: &Path, app: &AcName) -> Result<(), PodError> {
    let directory = below(pod, "status");
    let started = directory.join(format!("{app}-started"));
    for path in [&directory.join(app.as_str()), &started] {
        remove(path)?;
    }
    touch(&started)
}

/// It is gone.
///
/// # Errors
///
/// When a file cannot be removed.
pub fn removed(pod: &Path, app: &AcName) -> Result<(), PodError> {
    let status = below(pod, "status");
    for end in ["", "-created", "-started"] {
        remove(&status.join(format!("{app}{end}")))?;
    }
    remove(&below(pod, "env").join(app.as_str()))
}

fn remove(path: &Path) -> Result<(), PodError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn touch(path: &Path) -> Result<(), PodError> {
    let made = File::create(path);
    made.map(drop).map_err(failed("create", path))
}
