use super::*;

#[test]
fn the_configuration_is_the_padded_tag_and_the_number_of_request_queues() {
    let mut read = [0xff; 48];
    info("data").config.read(0, &mut read);
    assert_eq!(&read[..5], b"data\0");
    assert_eq!(&read[5..36], [0; 31]);
    assert_eq!(read[36..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_tag_never_reaches_the_number_of_queues() {
    assert_eq!(config(&"t".repeat(40)).len(), 40);
}
