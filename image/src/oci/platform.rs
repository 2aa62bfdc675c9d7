//! Operating systems and architectures, in OCI's names and in appc's.

/// The architecture that this host's machines have, as OCI calls it.
pub(super) const HOST_ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    _ => std::env::consts::ARCH,
};

/// `linux/amd64`.
pub(crate) fn host() -> String {
    format!("linux/{HOST_ARCHITECTURE}")
}

/// How well an image's platform suits the host; nothing if it does not run at all. Lower is better.
pub(super) fn rank(os: &str, architecture: &str) -> Option<u8> {
    match (os, architecture) {
        ("linux", HOST_ARCHITECTURE) => Some(0),
        // The guest kernel runs 32-bit programs.
        ("linux", "386") if HOST_ARCHITECTURE == "amd64" => Some(1),
        _ => None,
    }
}

/// The `arch` label of an ACI.
pub(super) fn appc_architecture(architecture: &str) -> &str {
    match architecture {
        "386" => "i386",
        "arm64" => "aarch64",
        other => other,
    }
}

/// Whether an ACI with these labels runs here. A label that is missing fits.
pub(crate) fn suits_appc(os: Option<&str>, arch: Option<&str>) -> bool {
    let architecture = match arch {
        None => HOST_ARCHITECTURE,
        Some("i386") => "386",
        Some("aarch64") => "arm64",
        Some(other) => other,
    };
    rank(os.unwrap_or("linux"), architecture).is_some()
}
