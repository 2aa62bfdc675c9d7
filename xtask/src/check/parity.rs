//! `docs/parity.md` names tests: they must exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A line for each test that the list names and `tests/e2e` does not have, and for each row that
/// has neither a test nor a reason.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>> {
    let list = root.join("docs/parity.md");
    let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    Ok(judge(&list, &tests(&root.join("tests/e2e"))?))
}

/// The names (`module::function`) of the end-to-end tests: one file a module.
fn tests(directory: &Path) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        let Some(module) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        names.extend(test_functions(&text).map(|name| format!("{module}::{name}")));
    }
    Ok(names)
}

/// Functions that stand right below a `#[test]`.
pub(super) fn test_functions(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .zip(text.lines().skip(1))
        .filter(|(attribute, _)| attribute.trim() == "#[test]")
        .filter_map(|(_, line)| line.trim().strip_prefix("fn ")?.split('(').next())
}

/// Rows have three columns: what is checked, the state, and tests or reasons. A test stands in
/// backquotes and has `::` in its name.
fn judge(list: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rows = 0;
    for (number, line) in list.lines().enumerate() {
        let number = number + 1;
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') || columns[0].starts_with("---") || columns[0] == "Behaviour" {
            continue;
        }
        rows += 1;
        let [_, state, evidence] = columns[..] else {
            complaints.push(format!("docs/parity.md:{number}: a row has three columns"));
            continue;
        };
        let named: Vec<&str> = evidence
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains("::"))
            .collect();
        for name in &named {
            if !tests.contains(*name) {
                complaints.push(format!("docs/parity.md:{number}: there is no test {name}"));
            }
        }
        match state {
            "tested" | "partly" if named.is_empty() => {
                complaints.push(format!(
                    "docs/parity.md:{number}: {state}, but no test is named"
                ));
            }
            "tested" | "partly" | "planned" | "against" => {}
            other => complaints.push(format!("docs/parity.md:{number}: unknown state {other:?}")),
        }
        if evidence.is_empty() {
            complaints.push(format!(
                "docs/parity.md:{number}: neither a test nor a reason"
            ));
        }
    }
    if rows == 0 {
        complaints.push("docs/parity.md: no rows".to_owned());
    }
    complaints
}

#[cfg(test)]
#[path = "parity_test.rs"]
mod tests;
