//! The system calls that Debian's kernel answers and ours does not.

/// Name, x86_64 number, and the reason for its absence.
///
/// Complete: any other call that Debian's stock kernel answers without `ENOSYS` is answered here too. A
/// test calls every number from an app and compares.
pub const ABSENT: &[(&str, u64, &str)] = &[];
