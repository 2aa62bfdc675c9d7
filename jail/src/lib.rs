//! One specification of a confined process, applied between fork and exec.
