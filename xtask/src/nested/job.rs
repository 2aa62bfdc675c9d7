//! The command as a script that runs as PID 1 of the nested machine, over the host's file system.

use std::path::Path;

use super::{COPY, COPY_VARIABLE, Options};

/// Ports of the virtio serial device, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The command's standard output.
    Output = 1,
    /// The command's standard error.
    Error = 2,
    /// The command's standard input.
    Input = 3,
    /// The exit status as a decimal number in a line, at the very end.
    Status = 4,
}

impl Port {
    pub(crate) const ALL: [Self; 4] = [Self::Output, Self::Error, Self::Input, Self::Status];

    /// Number on the device and in the name of the guest's file.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

/// Tag of the n-th shared directory.
pub(crate) fn share_tag(index: usize) -> String {
    format!("share{index}")
}

/// The script for the command, the caller's environment and working directory.
pub(crate) fn script(
    options: &Options,
    directory: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> String {
    let mut script = String::from(PREPARATION);
    for (index, share) in options.shares.iter().enumerate() {
        script.push_str(&format!(
            "mkdir -p {path} && mount -t 9p -o rw,trans=virtio,version=9p2000.L,cache=mmap,\
             msize=262144 {tag} {path}\n",
            path = quoted(&share.to_string_lossy()),
            tag = share_tag(index),
        ));
    }
    for (name, value) in environment.filter(|(name, _)| is_identifier(name)) {
        script.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    if options.copy.is_some() {
        script.push_str(&format!("export {COPY_VARIABLE}={COPY}\n"));
    }
    script.push_str(&format!(
        "cd {} || cd /\n",
        quoted(&directory.to_string_lossy())
    ));
    script.push_str("set --");
    for word in &options.command {
        script.push(' ');
        script.push_str(&quoted(word));
    }
    script.push('\n');
    script.push_str(COMMAND);
    script
}

/// Mounts reach the command's mount namespaces as systemd would have it.
const PREPARATION: &str = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rshared /\n";
/// Moves the streams, runs `"$@"`, reports the status.
const COMMAND: &str = include_str!("command.sh");

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Shell functions that bash exports (`BASH_FUNC_x%%`) and the like cannot be set by `export`.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.is_empty()
}

#[cfg(test)]
#[path = "job_test.rs"]
mod tests;
