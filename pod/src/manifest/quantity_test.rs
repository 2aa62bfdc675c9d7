use proptest::prelude::*;

use super::*;

fn milli(text: &str) -> u128 {
    text.parse::<Quantity>().unwrap().milli_units()
}

fn units(text: &str) -> u64 {
    text.parse::<Quantity>().unwrap().units()
}

#[test]
fn suffixes() {
    let cases: [(&str, u64); 21] = [
        ("0", 0),
        ("1", 1),
        ("007", 7),
        ("1.5", 2),
        (".5", 1),
        ("2.", 2),
        ("50m", 1),
        ("1500m", 2),
        ("1k", 1000),
        ("1K", 1000),
        ("3M", 3_000_000),
        ("1G", 1_000_000_000),
        ("1T", 1_000_000_000_000),
        ("1P", 1_000_000_000_000_000),
        ("1E", 1_000_000_000_000_000_000),
        ("1Ki", 1024),
        ("42Mi", 42 << 20),
        ("0.5Gi", 1 << 29),
        ("1Ti", 1 << 40),
        ("1Pi", 1 << 50),
        ("1e3", 1000),
    ];
    for (text, expected) in cases {
        assert_eq!(units(text), expected, "{text}");
    }
    assert_eq!(milli("900m"), 900);
    assert_eq!(milli("0.1"), 100);
    assert_eq!(milli("25e-1"), 2500);
    assert_eq!(milli("1E2"), 100_000);
    // What is too fine is rounded up, never down to nothing.
    assert_eq!(milli("0.0001"), 1);
    assert_eq!(milli("1e-27"), 1);
    assert_eq!(milli(&format!("0.{}1", "0".repeat(50))), 1);
}

#[test]
fn refused() {
    for text in [
        "", ".", "-1", "+1", "1,5", "1.2.3", "16mi", "1Kib", "0x10", " 1", "1 ", "m", "e3", "1e",
        "1e99", "∞",
    ] {
        assert!(text.parse::<Quantity>().is_err(), "{text:?}");
    }
    let error = "16mi".parse::<Quantity>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"16mi\" is not a quantity (as 2, 0.5, 500m, 16Mi)"
    );
    for text in ["8Ei", "9223372036854775808", "99E", &"9".repeat(60), "1e27"] {
        let error = text.parse::<Quantity>().unwrap_err().to_string();
        assert_eq!(error, format!("{text} is outside 0..9223372036854775807"));
    }
    assert_eq!(units("9223372036854775807"), i64::MAX.unsigned_abs());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,70}|[0-9.]{0,40}[eE]?[-+]?[a-zA-Z0-9]{0,4}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            prop_assert!(u128::from(quantity.units()) * MILLI >= quantity.milli_units());
            prop_assert_eq!(String::from(quantity), text);
        }
    }

    #[test]
    fn whole_numbers_are_themselves(value in 0..=i64::MAX) {
        prop_assert_eq!(units(&value.to_string()), value.unsigned_abs());
    }

    #[test]
    fn a_decimal_is_its_thousandths(whole in 0u32.., thousandths in 0u32..1000) {
        let text = format!("{whole}.{thousandths:03}");
        prop_assert_eq!(milli(&text), u128::from(whole) * 1000 + u128::from(thousandths));
    }

    #[test]
    fn larger_suffix_larger_amount(value in 1u32..1000) {
        let series = ["m", "", "k", "Ki", "M", "Mi", "G", "Gi", "T", "Ti", "P", "Pi"];
        let amounts: Vec<_> = series.iter().map(|suffix| milli(&format!("{value}{suffix}"))).collect();
        prop_assert!(amounts.is_sorted_by(|a, b| a < b), "{amounts:?}");
    }
}
