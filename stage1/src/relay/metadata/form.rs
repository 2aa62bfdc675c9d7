//! `application/x-www-form-urlencoded`: what an HTML form sends.

use std::collections::BTreeMap;

/// Fields of one form: more than any request has.
const MAX_FIELDS: usize = 8;

/// The fields of a form, decoded.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<Vec<u8>, Vec<u8>>);

impl Form {
    /// `None` for what is not a form, has a field twice, or more than [`MAX_FIELDS`].
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|b| *b == b'=')?;
            let (name, value) = (decode(&pair[..equals])?, decode(&pair[equals + 1..])?);
            // Which of two would have been meant is a guess, and a signature must not rest on one.
            if fields.len() == MAX_FIELDS || fields.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// A field that is there and not empty.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let value = self.0.get(name.as_bytes())?;
        (!value.is_empty()).then_some(value.as_slice())
    }
}

/// Undoes `+` and `%XX`. Never longer than `encoded`.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            other => *other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
#[path = "form_test.rs"]
mod tests;
