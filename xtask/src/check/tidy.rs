//! Source files stay small enough to be read whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::output;

/// Longest source file: beyond it a file has more than one subject.
const MOST_LINES: usize = 500;

/// Longest function: what a screen shows.
const MOST_FUNCTION_LINES: usize = 70;

/// A line for each file or function that is too long.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in sources(root)? {
        let text = fs::read_to_string(root.join(&file))
            .with_context(|| format!("read {}", file.display()))?;
        complaints.extend(
            examine(&text)
                .into_iter()
                .map(|complaint| format!("{}: {complaint}", file.display())),
        );
    }
    Ok(complaints)
}

/// The Rust files that git knows and that are still there.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let list = output(
        Command::new("git")
            .current_dir(root)
            .args(["ls-files", "*.rs"]),
    )?;
    Ok(list
        .lines()
        .map(PathBuf::from)
        .filter(|file| root.join(file).exists())
        .collect())
}

/// Functions are found by their indentation, which rustfmt guarantees.
fn examine(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MOST_LINES {
        complaints.push(format!("{} lines, at most {MOST_LINES}", lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        let length = lines[start..]
            .iter()
            .position(|line| *line == end)
            .map_or(1, |at| at + 1);
        if length > MOST_FUNCTION_LINES {
            complaints.push(format!(
                "line {}: function {name} has {length} lines, at most {MOST_FUNCTION_LINES}",
                start + 1
            ));
        }
    }
    complaints
}

/// The name of the function that a line begins, if its body follows on later lines.
fn function_name(line: &str) -> Option<&str> {
    const QUALIFIERS: [&str; 6] = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "unsafe",
        "async",
    ];
    if line.ends_with(';') || line.ends_with('}') {
        return None;
    }
    let mut words = line
        .split_whitespace()
        .skip_while(|word| QUALIFIERS.contains(word));
    if words.next() != Some("fn") {
        return None;
    }
    words.next()?.split(['(', '<']).next()
}

#[cfg(test)]
#[path = "tidy_test.rs"]
mod tests;
