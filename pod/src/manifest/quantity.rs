//! Amounts of a resource, written as Kubernetes writes them: `2`, `0.5`, `500m`, `16Mi`, `1e3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bounds::QUANTITY_BYTES_MAX;
use super::error::ValueError;

const EXPECTED: &str = "a quantity (as 2, 0.5, 500m, 16Mi)";
/// Thousandths of a unit in a unit.
const MILLI: u128 = 1000;
/// The largest amount, in units. Kubernetes has the same bound: nothing that a host has is larger,
/// and sums of a pod's apps stay far from overflow.
const UNITS_MAX: u128 = i64::MAX as u128;
/// A decimal exponent beyond this is out of range or rounds to nothing.
const EXPONENT_MAX: u32 = 27;

/// A non-negative amount, kept as written and in thousandths of its unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    /// Rounded up, so that a request for something is never a request for nothing.
    milli: u128,
}

impl Quantity {
    /// Whole units, rounded up: bytes of memory, operations.
    #[must_use]
    pub fn units(&self) -> u64 {
        u64::try_from(self.milli.div_ceil(MILLI)).expect("parsing bounds it by i64::MAX units")
    }

    /// Thousandths of a unit: of a CPU core, for instance.
    #[must_use]
    pub fn milli_units(&self) -> u128 {
        self.milli
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Quantity {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        ValueError::bounded(text, "a quantity", QUANTITY_BYTES_MAX)?;
        let wrong = || ValueError::form(text, EXPECTED);
        let number_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(wrong());
        }
        let scale = Scale::from_suffix(suffix).ok_or_else(wrong)?;
        let out_of_range = || ValueError::Range {
            value: text.to_owned(),
            range: "0..9223372036854775807",
        };
        // whole.fraction = digits / 10^len(fraction)
        let digits: u128 = match format!("{whole}{fraction}").trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().map_err(|_| out_of_range())?,
        };
        let fraction_digits = u32::try_from(fraction.len()).map_err(|_| out_of_range())?;
        let milli = scale
            .milli(digits, fraction_digits)
            .ok_or_else(out_of_range)?;
        if milli > UNITS_MAX * MILLI {
            return Err(out_of_range());
        }
        Ok(Self {
            text: text.to_owned(),
            milli,
        })
    }
}

/// What a suffix multiplies by: `factor * 10^exponent`.
struct Scale {
    factor: u128,
    exponent: i32,
}

impl Scale {
    fn from_suffix(suffix: &str) -> Option<Self> {
        let decimal = |exponent| {
            Some(Self {
                factor: 1,
                exponent,
            })
        };
        let binary = |power: u32| {
            Some(Self {
                factor: 1 << (10 * power),
                exponent: 0,
            })
        };
        match suffix {
            "" => decimal(0),
            "m" => decimal(-3),
            // Kubernetes writes k, the appc specification writes K.
            "k" | "K" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(1),
            "Mi" => binary(2),
            "Gi" => binary(3),
            "Ti" => binary(4),
            "Pi" => binary(5),
            "Ei" => binary(6),
            _ => decimal(exponent(suffix)?),
        }
    }

    /// `digits / 10^fraction_digits` times this scale, in thousandths, rounded up. None: too large.
    fn milli(&self, digits: u128, fraction_digits: u32) -> Option<u128> {
        let amount = digits.checked_mul(self.factor)?.checked_mul(MILLI)?;
        let exponent = self
            .exponent
            .checked_sub(i32::try_from(fraction_digits).ok()?)?;
        let power = 10u128.checked_pow(exponent.unsigned_abs());
        match power {
            Some(power) if exponent >= 0 => amount.checked_mul(power),
            Some(power) => Some(amount.div_ceil(power)),
            None if exponent >= 0 => (amount == 0).then_some(0),
            // Fewer than a thousandth by far, but not nothing.
            None => Some(u128::from(amount != 0)),
        }
    }
}

/// `e3`, `E-2`: the decimal exponent form.
fn exponent(suffix: &str) -> Option<i32> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent = digits.parse::<u32>().ok().filter(|e| *e <= EXPONENT_MAX)?;
    let exponent = i32::try_from(exponent).ok()?;
    Some(if negative { -exponent } else { exponent })
}

impl TryFrom<String> for Quantity {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> String {
        quantity.text
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[path = "quantity_test.rs"]
mod tests;
