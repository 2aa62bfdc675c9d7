use super::*;

#[test]
fn header_has_thirteen_fields_and_everything_is_padded_to_four() {
    let mut archive = Archive::default();
    archive.add("abc", 0o100_644, b"hello");
    let bytes = archive.bytes;
    assert_eq!(&bytes[..6], b"070701");
    assert_eq!(&bytes[54..62], b"00000005", "size");
    assert_eq!(
        &bytes[94..102],
        b"00000004",
        "size of the name with its zero"
    );
    assert_eq!(&bytes[110..114], b"abc\0");
    assert_eq!(&bytes[116..121], b"hello");
    assert_eq!(bytes.len(), 124);
}
