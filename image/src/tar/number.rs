//! Numbers in headers: octal text, GNU base-256, and PAX decimals.

use super::Timestamp;

/// A numeric header field. An empty field is 0, as all tar programs read it.
/// `None` when it is not a number, is negative, or does not fit.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    u64::try_from(signed(field)?).ok()
}

/// A numeric header field that may be negative (base-256 only): the modification time.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

/// Octal digits, optionally padded: blanks before, NUL or blanks after.
fn octal(field: &[u8]) -> Option<i64> {
    let start = field.iter().position(|&b| b != b' ').unwrap_or(field.len());
    let field = &field[start..];
    let end = field
        .iter()
        .position(|&b| b == 0 || b == b' ')
        .unwrap_or(field.len());
    let (digits, rest) = field.split_at(end);
    if rest.iter().any(|&b| b != 0 && b != b' ') {
        return None;
    }
    digits.iter().try_fold(0i64, |sum, &digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// GNU: the top bit marks the form, the next one is the sign, the rest is big endian.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let fill = if negative { 0xff } else { 0 };
    // The mark bit becomes a copy of the sign.
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value = [fill; 8];
    let high = field.len().saturating_sub(8);
    for (i, &byte) in field.iter().enumerate() {
        let byte = if i == 0 { first } else { byte };
        if i < high {
            if byte != fill {
                return None;
            }
        } else {
            value[8 - (field.len() - i)] = byte;
        }
    }
    let value = i64::from_be_bytes(value);
    (negative == (value < 0)).then_some(value)
}

/// A PAX decimal without sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A PAX time: `[-]seconds[.fraction]`. Digits below a nanosecond are cut.
pub(super) fn pax_time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&b| b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let nanos = match parts.next() {
        None => 0,
        Some(fraction) => nanoseconds(fraction)?,
    };
    Some(match (negative, nanos) {
        (false, nanos) => Timestamp { seconds, nanos },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanos: 0,
        },
        // -1.25 is 0.75 s after -2.
        (true, nanos) => Timestamp {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

/// The digits after the decimal point, padded or cut to nine.
fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    Some(digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
#[path = "number_test.rs"]
mod tests;
