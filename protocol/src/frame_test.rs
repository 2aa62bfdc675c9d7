use proptest::prelude::*;

use super::*;
use crate::agent::{FromAgent, ToAgent};
use crate::bounded::Text;

#[test]
fn a_message_over_the_bound_leaves_the_buffer_as_it_was() {
    let mut out = vec![7];
    let error = encode(&[0_u8; 32], 31, &mut out).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a message of 32 bytes is over the bound of 31"
    );
    assert_eq!(out, [7]);
}

#[test]
fn an_announced_length_over_the_bound_is_refused_before_it_arrives() {
    let mut decoder = Decoder::new(8);
    decoder.push(&9_u32.to_le_bytes());
    assert!(matches!(
        decoder.take::<u8>(),
        Err(FrameError::TooLong {
            length: 9,
            bound: 8
        })
    ));
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    assert!(matches!(
        decode::<u8>(&[1, 2]),
        Err(FrameError::Trailing { extra: 1 })
    ));
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in_however_the_bytes_are_cut(
        texts in prop::collection::vec("[a-z]{0,40}", 0..8),
        cut in 1_usize..16,
    ) {
        let sent: Vec<Text<40>> = texts.iter().map(|t| Text::try_from(t.as_str()).unwrap()).collect();
        let mut wire = Vec::new();
        for message in &sent {
            encode(message, 64, &mut wire).unwrap();
        }
        let mut decoder = Decoder::new(64);
        let mut received: Vec<Text<40>> = Vec::new();
        for piece in wire.chunks(cut) {
            decoder.push(piece);
            while let Some(message) = decoder.take().unwrap() {
                received.push(message);
            }
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn rubbish_is_an_error_or_a_message_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode::<FromAgent>(&bytes);
        let _ = decode::<ToAgent>(&bytes);
        let _ = decode::<crate::vmm::FromVmm>(&bytes);
        let _ = decode::<crate::vmm::ToVmm>(&bytes);
    }
}
