//! What a pod's processes note of its phases.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// `phase NAME NANOSECONDS` and `count NAME VALUE` lines.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) phases: BTreeMap<String, u64>,
    pub(super) counts: Vec<(String, f64)>,
}

impl Trace {
    /// Takes the file.
    pub(super) fn take(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).context("read the trace of a pod")?;
        fs::remove_file(file)?;
        Ok(Self::parse(&text))
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut trace = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["phase", name, time] => {
                    if let Ok(time) = time.parse() {
                        // The first app's is the one that counts.
                        trace.phases.entry(name.to_owned()).or_insert(time);
                    }
                }
                ["count", name, value] => {
                    if let Ok(value) = value.parse() {
                        trace.counts.push((name.to_owned(), value));
                    }
                }
                _ => {}
            }
        }
        trace
    }

    pub(super) fn phase(&self, name: &str) -> Result<u64> {
        self.phases
            .get(name)
            .copied()
            .with_context(|| format!("the trace has no phase {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_read_line_by_line() {
        let trace =
            Trace::parse("phase app-exec 5\nphase app-exec 9\ncount kvm.exits 12\nrubbish\n");
        assert_eq!(trace.phase("app-exec").unwrap(), 5);
        assert_eq!(trace.counts, [("kvm.exits".to_owned(), 12.0)]);
        assert!(trace.phase("pod-done").is_err());
    }
}
