//! `docs/bad-images.md` names tests of all kinds: they must exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::parity::test_functions;

const LIST: &str = "docs/bad-images.md";

/// Where the tests of images are.
const DIRECTORIES: [&str; 4] = ["image/src", "image/tests", "cli/tests/it", "tests/e2e"];

/// A line for each test that the list names and that is not there, and for each row without one.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>> {
    let list = root.join(LIST);
    let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    let mut tests = HashSet::new();
    for directory in DIRECTORIES {
        collect(&root.join(directory), &mut tests)?;
    }
    Ok(judge(&list, &tests))
}

fn collect(directory: &Path, tests: &mut HashSet<String>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, tests)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let module = module(&path);
            tests.extend(test_functions(&text).map(|name| format!("{module}::{name}")));
        }
    }
    Ok(())
}

/// What a file's tests are called by: `tar` for `tar/tests.rs`, `number` for `number_test.rs`.
fn module(path: &Path) -> &str {
    match stem(path) {
        Some("tests") => path.parent().and_then(stem).unwrap_or_default(),
        Some(name) => name.strip_suffix("_test").unwrap_or(name),
        None => "",
    }
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem()?.to_str()
}

/// Rows have three columns, the last of which has the tests, in backquotes and with `::` in their names.
fn judge(list: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rows = 0;
    for (number, line) in (1..).zip(list.lines()) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') || columns[0].starts_with("---") || columns[0] == "Input" {
            continue;
        }
        rows += 1;
        let [_, _, evidence] = columns[..] else {
            complaints.push(format!("{LIST}:{number}: a row has three columns"));
            continue;
        };
        let quoted = evidence.split('`').skip(1).step_by(2);
        let named: Vec<&str> = quoted.filter(|name| name.contains("::")).collect();
        if named.is_empty() {
            complaints.push(format!("{LIST}:{number}: no test is named"));
        }
        let missing = named.iter().filter(|name| !tests.contains(**name));
        complaints.extend(missing.map(|name| format!("{LIST}:{number}: there is no test {name}")));
    }
    if rows == 0 {
        complaints.push(format!("{LIST}: no rows"));
    }
    complaints
}

#[cfg(test)]
#[path = "bad_images_test.rs"]
mod tests;
