//! Labels, annotations and the user's own maps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::AcIdentifier;
use super::text::Text;

/// A user map (`userAnnotations`, `userLabels`): never changes how anything runs.
pub type TextMap = BTreeMap<Text, Text>;

/// One of an image's labels: what tells it from others of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Unique in its list, and not `name`.
    pub name: AcIdentifier,
    /// The label's value.
    pub value: Text,
}

/// A key and value that an executor may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Unique in its list.
    pub name: AcIdentifier,
    /// The annotation's value.
    pub value: Text,
}

/// Adds an annotation, or replaces the one of the same name.
pub fn set_annotation(annotations: &mut Vec<Annotation>, name: AcIdentifier, value: Text) {
    match annotations
        .iter_mut()
        .find(|annotation| annotation.name == name)
    {
        Some(annotation) => annotation.value = value,
        None => annotations.push(Annotation { name, value }),
    }
}

/// Annotations as a JSON list: what a metadata service answers.
///
/// # Panics
/// Never: two strings always have a JSON form.
pub fn annotations_json(annotations: &[Annotation]) -> Vec<u8> {
    serde_json::to_vec(annotations).expect("strings have a JSON form")
}
