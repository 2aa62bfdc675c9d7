use super::*;
use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use std::io::Read;

/// A part of the content: bytes, or so many zeros.
fn parts() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let lengths = prop_oneof![
        0..10u64,
        (MEMBER_BYTES as u64 - 5)..(2 * MEMBER_BYTES as u64 + 5)
    ];
    proptest::collection::vec(
        (proptest::collection::vec(any::<u8>(), 0..20), lengths),
        0..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn content_comes_back_and_zeros_may_be_written_either_way(parts in parts()) {
        let mut short = Writer::new(Vec::new()).unwrap();
        let mut content = Vec::new();
        for (bytes, zeros) in &parts {
            short.write_all(bytes).unwrap();
            short.write_zeros(*zeros).unwrap();
            content.extend_from_slice(bytes);
            content.resize(content.len() + usize::try_from(*zeros).unwrap(), 0);
        }
        let short = short.finish().unwrap();
        let mut long = Writer::new(Vec::new()).unwrap();
        long.write_all(&content).unwrap();
        prop_assert!(short == long.finish().unwrap());
        let mut back = Vec::new();
        MultiGzDecoder::new(&short[..]).read_to_end(&mut back).unwrap();
        prop_assert!(back == content);
    }
}

#[test]
fn zeros_shrink_by_a_thousand() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.write_zeros(1 << 30).unwrap();
    let size = writer.finish().unwrap().len();
    assert!(size < (1 << 30) / 990, "{size}");
}
