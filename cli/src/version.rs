//! `bulkhead version`: what this program is, and what it implements.

use bulkhead_pod::manifest::APPC_VERSION;
use bulkhead_pod::stage1_image::INTERFACE_VERSION;

/// The text that `version` prints.
pub(crate) fn text() -> String {
    format!(
        "bulkhead {}\nappc {APPC_VERSION}\ntarget {}-{}\nstage1 interface {INTERFACE_VERSION}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}
