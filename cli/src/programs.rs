//! The programs that `bulkhead` runs beside stage1's.

use std::env;
use std::path::{Path, PathBuf};

/// Where packages install them.
const SYSTEM_DIRECTORY: &str = "/usr/lib/bulkhead";
/// The same from the directory of the program, for installations elsewhere.
const RELATIVE_DIRECTORY: &str = "../lib/bulkhead";

/// What reads images.
pub(crate) fn importer() -> PathBuf {
    find("import")
}

/// What speaks to registries.
pub(crate) fn fetcher() -> PathBuf {
    find("fetch")
}

/// The program `NAME` of `lib/bulkhead`, or `bulkhead-NAME` in the directory of this one, where cargo builds it; the place where it
/// should be when it is nowhere.
fn find(name: &str) -> PathBuf {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let candidates = [
        beside.map(|bin| bin.join(RELATIVE_DIRECTORY).join(name)),
        beside.map(|bin| bin.join(format!("bulkhead-{name}"))),
    ];
    let found = candidates.into_iter().flatten().find(|path| path.is_file());
    found.unwrap_or_else(|| Path::new(SYSTEM_DIRECTORY).join(name))
}
