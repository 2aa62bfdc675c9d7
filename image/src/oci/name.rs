//! Names that appc accepts, made from names that it does not.

/// Longest word that comes out: an AC name is also used as a file name.
const MAX_NAME: usize = 200;

/// The AC name nearest to `text`: lower-case words with one dash between two.
pub(super) fn ac_name(text: &str) -> String {
    let mut name = words(text, |_| false);
    name.truncate(MAX_NAME);
    name.trim_end_matches('-').to_owned()
}

/// The AC identifier nearest to `text`, which keeps the separators `-._~/`; "image" when nothing is
/// left.
pub(super) fn ac_identifier(text: &str) -> String {
    let mut name = words(text, |c| "-._~/".contains(c));
    name.truncate(MAX_NAME);
    let name = name.trim_end_matches(|c| "-._~/".contains(c));
    if name.is_empty() { "image" } else { name }.to_owned()
}

/// Letters and digits in lower case; of each run of other characters, the first that may stay, or a
/// dash.
fn words(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut name = String::new();
    let mut separator = None;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if let Some(separator) = separator.take()
                && !name.is_empty()
            {
                name.push(separator);
            }
            name.push(c.to_ascii_lowercase());
        } else if separator.is_none() || (keep(c) && separator == Some('-')) {
            separator = Some(if keep(c) { c } else { '-' });
        }
    }
    name
}

/// A docker reference: what comes before the tag, the tag, neither with a digest.
pub(super) fn split_reference(reference: &str) -> (&str, Option<&str>) {
    let reference = reference.split('@').next().unwrap_or(reference);
    let last = reference.rfind('/').map_or(0, |slash| slash + 1);
    match reference[last..].find(':') {
        Some(colon) => (
            &reference[..last + colon],
            Some(&reference[last + colon + 1..]),
        ),
        None => (reference, None),
    }
}

#[cfg(test)]
#[path = "name_test.rs"]
mod tests;
