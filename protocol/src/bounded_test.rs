use super::*;

type Short = Text<4>;

#[test]
fn text_at_the_bound_is_taken_and_one_byte_more_is_not() {
    assert_eq!(Short::try_from("abcd").unwrap().as_str(), "abcd");
    assert_eq!(
        Short::try_from("abcde"),
        Err(BoundError::TooLong {
            length: 5,
            bound: 4
        })
    );
}

#[test]
fn text_with_nul_is_refused() {
    assert_eq!(Short::try_from("a\0b"), Err(BoundError::Nul { offset: 1 }));
}

#[test]
fn truncation_cuts_at_a_character() {
    assert_eq!(Short::truncated("abcé").as_str(), "abc");
    assert_eq!(Short::truncated("\0").as_str(), "\u{fffd}");
}

#[test]
fn decoding_checks_the_bound_of_the_receiver() {
    let long = postcard::to_stdvec(&Text::<8>::try_from("abcdefgh").unwrap()).unwrap();
    assert!(postcard::from_bytes::<Short>(&long).is_err());
    let list = postcard::to_stdvec(&List::<u8, 8>::try_from(vec![1; 8]).unwrap()).unwrap();
    assert!(postcard::from_bytes::<List<u8, 7>>(&list).is_err());
    let blob = postcard::to_stdvec(&Blob::<8>::try_from(vec![1; 8]).unwrap()).unwrap();
    assert!(postcard::from_bytes::<Blob<7>>(&blob).is_err());
}

#[test]
fn an_announced_length_without_elements_is_an_error_and_allocates_nothing() {
    // A varint that says 2^28 elements, and no element behind it.
    let announced = [0x80, 0x80, 0x80, 0x80, 0x01];
    assert!(postcard::from_bytes::<List<u64, { usize::MAX }>>(&announced).is_err());
}
