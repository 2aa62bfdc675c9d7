//! The system calls that Debian's kernel answers and ours does not, and how that was found out.
//!
//! [`crate::PROBE_SOURCE`] is a program that calls every number once. Its output for Debian's kernel is
//! condensed in [`DEBIAN_ENOSYS`]; a test runs it in a pod and compares.

/// Name, x86_64 number, and the reason for its absence.
///
/// Complete: any other call that Debian's stock kernel answers without `ENOSYS` is answered here too.
pub const ABSENT: &[(&str, u64, &str)] = &[
    ("init_module", 175, NO_MODULES),
    ("delete_module", 176, NO_MODULES),
    ("kexec_load", 246, NO_KEXEC),
    ("finit_module", 313, NO_MODULES),
    ("kexec_file_load", 320, NO_KEXEC),
];

const NO_MODULES: &str =
    "nothing is loaded into a running guest kernel; container run-times deny the call as well";
const NO_KEXEC: &str = "the VMM starts kernels; a pod that wants another one is another pod";

/// The numbers up to [`LAST_PROBED`] that Debian's kernel answers with `ENOSYS`, as inclusive ranges.
///
/// Debian 12, linux-image-6.1.0-56-amd64 (6.1.192-2), as root, booted under QEMU 10.
pub const DEBIAN_ENOSYS: &[(u64, u64)] = &[
    (134, 134),
    (156, 156),
    (174, 174),
    (177, 178),
    (180, 185),
    (205, 205),
    (211, 212),
    (214, 215),
    (236, 236),
    (335, 423),
    (447, 447),
    (451, 467),
];

/// The highest number that the probe calls.
pub const LAST_PROBED: u64 = 467;

/// Whether an app may see `ENOSYS` from this call.
#[must_use]
pub fn may_be_absent(number: u64) -> bool {
    ABSENT.iter().any(|(_, absent, _)| *absent == number)
        || DEBIAN_ENOSYS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
}

#[cfg(test)]
#[path = "absent_syscalls_test.rs"]
mod tests;
