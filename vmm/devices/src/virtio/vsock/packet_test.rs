use proptest::prelude::*;

use super::*;

#[test]
fn fields_stand_where_the_specification_puts_them() {
    let header = Header {
        source_cid: 0x0807_0605_0403_0201,
        destination_cid: 0x100f_0e0d_0c0b_0a09,
        source_port: 0x1413_1211,
        destination_port: 0x1817_1615,
        length: 0x1c1b_1a19,
        socket_type: 0x1e1d,
        operation: Operation::Unknown(0x201f),
        flags: 0x2423_2221,
        buf_alloc: 0x2827_2625,
        fwd_cnt: 0x2c2b_2a29,
    };
    let expected: Vec<u8> = (1..=44).collect();
    assert_eq!(header.encode().as_slice(), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_and_come_back(bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES)) {
        let bytes: [u8; HEADER_BYTES] = bytes.try_into().unwrap();
        prop_assert_eq!(Header::parse(&bytes).encode(), bytes);
    }

    #[test]
    fn every_operation_number_comes_back(number in any::<u16>()) {
        prop_assert_eq!(u16::from(Operation::from(number)), number);
    }
}
