use super::*;

#[test]
fn three_in_a_row_within_a_second_end_it() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let ends = |pieces: &[(&[u8], u64)]| {
        let mut escape = Escape::default();
        pieces
            .iter()
            .any(|(bytes, ms)| escape.is_in(bytes, at(*ms)))
    };
    assert!(ends(&[(b"ls\x1d\x1d\x1d", 0)]));
    assert!(ends(&[(b"\x1d", 0), (b"\x1d", 400), (b"\x1d", 1000)]));
    assert!(!ends(&[(b"\x1d", 0), (b"\x1d", 400), (b"\x1d", 1001)]));
    assert!(!ends(&[(b"\x1d\x1da\x1d", 0)]));
    assert!(!ends(&[(b"\x1d", 0), (b"\x1d", 5000), (b"\x1d", 5001)]));
}
