use super::*;

#[test]
fn crc32c_matches_the_published_check_value() {
    assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
}
