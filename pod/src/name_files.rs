//! The files by which stage0 tells stage1 what apps are to know of names (rkt, stage1 interface version 4).

/// Takes the place of an app's `/etc/resolv.conf`; below the stage1 image's root.
pub const RESOLV_CONF: &str = "etc/rkt-resolv.conf";

/// Takes the place of an app's `/etc/hosts`; below the stage1 image's root. Without the pod's own name, which stage1 adds.
pub const HOSTS: &str = "etc/rkt-hosts";

/// Longest of them, and of the host's files that stand in for them, in bytes.
pub const NAME_FILE_BYTES_MAX: usize = 64 << 10;
