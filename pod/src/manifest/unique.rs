//! Rules between the entries of a list.

use std::collections::HashSet;
use std::hash::Hash;

use super::error::{Document, ManifestError};
use super::metadata::{Annotation, Label};

/// Fails at the first entry whose key an earlier one has. `path` names the list.
pub(super) fn unique<T, K: Hash + Eq + std::fmt::Display>(
    document: Document,
    path: &str,
    list: &[T],
    field: &str,
    key: impl Fn(&T) -> K,
) -> Result<(), ManifestError> {
    let mut seen = HashSet::new();
    for (index, entry) in list.iter().enumerate() {
        let key = key(entry);
        let text = key.to_string();
        if !seen.insert(key) {
            let problem = format!("{text:?} occurs twice");
            return Err(ManifestError::new(
                document,
                format!("{path}[{index}].{field}"),
                problem,
            ));
        }
    }
    Ok(())
}

pub(super) fn unique_annotations(
    document: Document,
    path: &str,
    annotations: &[Annotation],
) -> Result<(), ManifestError> {
    unique(document, path, annotations, "name", |annotation| {
        annotation.name.as_str().to_owned()
    })
}

pub(super) fn unique_labels(
    document: Document,
    path: &str,
    labels: &[Label],
) -> Result<(), ManifestError> {
    if let Some(index) = labels
        .iter()
        .position(|label| label.name.as_str() == "name")
    {
        let problem = "a label must not be called \"name\"";
        return Err(ManifestError::new(
            document,
            format!("{path}[{index}].name"),
            problem,
        ));
    }
    unique(document, path, labels, "name", |label| {
        label.name.as_str().to_owned()
    })
}
