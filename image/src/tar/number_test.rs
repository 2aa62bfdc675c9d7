use proptest::prelude::*;

use super::*;

#[test]
fn octal_fields_as_tar_programs_write_them() {
    assert_eq!(unsigned(b"0000644\0"), Some(0o644));
    assert_eq!(unsigned(b"   644 \0"), Some(0o644));
    assert_eq!(unsigned(b"77777777777 "), Some(0o77_777_777_777));
    assert_eq!(unsigned(b"\0\0\0\0\0\0\0\0"), Some(0));
    assert_eq!(unsigned(b"0000648\0"), None);
    assert_eq!(unsigned(b"644\0junk"), None);
    assert_eq!(unsigned(b"-000001\0"), None);
}

#[test]
fn base256_with_sign_and_overflow() {
    assert_eq!(unsigned(&[0x80, 0, 0, 0, 0, 1, 0x11, 0x70]), Some(70_000));
    assert_eq!(signed(&[0xff; 12]), Some(-1));
    assert_eq!(unsigned(&[0xff; 12]), None);
    let mut large = [0; 12];
    large[0] = 0x80;
    large[3] = 1;
    assert_eq!(unsigned(&large), None, "more than 64 bits");
    large[3] = 0;
    large[4] = 0x80;
    assert_eq!(unsigned(&large), None, "no room for the sign");
}

#[test]
fn pax_times_keep_all_nine_digits() {
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    assert_eq!(
        pax_time(b"1700000000.69630322"),
        at(1_700_000_000, 696_303_220)
    );
    assert_eq!(pax_time(b"5"), at(5, 0));
    assert_eq!(pax_time(b"5."), at(5, 0));
    assert_eq!(pax_time(b"1.0000000019"), at(1, 1));
    assert_eq!(pax_time(b"-1.25"), at(-2, 750_000_000));
    assert_eq!(pax_time(b"-3"), at(-3, 0));
    for bad in [
        &b""[..],
        b"-",
        b"1.2.3",
        b"1,2",
        b"99999999999999999999",
        b".5",
    ] {
        assert_eq!(pax_time(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_field_panics(field in proptest::collection::vec(any::<u8>(), 1..16)) {
        let _ = unsigned(&field);
        let _ = signed(&field);
        let _ = pax_time(&field);
    }

    #[test]
    fn base256_round_trips(value in any::<i64>()) {
        let fill = if value < 0 { 0xff } else { 0 };
        let mut field = [fill; 12];
        field[4..].copy_from_slice(&value.to_be_bytes());
        field[0] |= 0x80;
        prop_assert_eq!(signed(&field), Some(value));
    }
}
