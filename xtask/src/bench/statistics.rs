//! What is said of repeated measurements.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Measured values by name, in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct Series {
    order: Vec<String>,
    values: BTreeMap<String, Vec<f64>>,
}

/// Of one name's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) runs: usize,
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Series {
    pub(super) fn add(&mut self, name: &str, value: f64) {
        if !self.values.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.values.entry(name.to_owned()).or_default().push(value);
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = (&str, Summary)> {
        let of = |name: &'_ String| summary(&self.values[name]);
        self.order.iter().map(move |name| (name.as_str(), of(name)))
    }

    pub(super) fn to_json(&self) -> Value {
        let entries = self.summaries().map(|(name, s)| {
            let value = json!({"runs": s.runs, "min": s.min, "median": s.median, "p99": s.p99, "max": s.max});
            (name.to_owned(), value)
        });
        Value::Object(entries.collect())
    }
}

/// Nearest-rank percentiles: each figure is one that was measured.
fn summary(values: &[f64]) -> Summary {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
    Summary {
        runs: sorted.len(),
        min: rank(0),
        median: rank(50),
        p99: rank(99),
        max: rank(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let s = summary(&values);
        assert_eq!((s.min, s.median, s.p99, s.max), (1.0, 100.0, 198.0, 200.0));
        let one = summary(&[7.0]);
        assert_eq!(
            (one.min, one.median, one.p99, one.max),
            (7.0, 7.0, 7.0, 7.0)
        );
    }

    #[test]
    fn names_keep_their_order() {
        let mut series = Series::default();
        series.add("z", 1.0);
        series.add("a", 2.0);
        series.add("z", 3.0);
        let names: Vec<_> = series.summaries().map(|(name, s)| (name, s.runs)).collect();
        assert_eq!(names, [("z", 2), ("a", 1)]);
    }
}
