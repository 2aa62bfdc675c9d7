use super::*;

#[test]
fn sizes_are_rounded_down_to_what_people_read() {
    let sizes = [
        (0, "0B"),
        (1023, "1023B"),
        (4096, "4.0KiB"),
        (10 * 1024, "10KiB"),
        (1024 * 1024 - 1, "1023KiB"),
        (12 * 1024 * 1024 + 5, "12MiB"),
        (3 << 29, "1.5GiB"),
    ];
    for (bytes, expected) in sizes {
        assert_eq!(size(bytes), expected, "{bytes}");
    }
    assert_eq!(size(u64::MAX), "16383PiB");
}
