use super::*;

#[test]
fn needs_are_loaded_before_the_module() {
    let dependencies =
        "fs/ext4/ext4.ko: lib/crc16.ko fs/mbcache.ko fs/jbd2/jbd2.ko\nlib/crc16.ko:\n";
    assert_eq!(
        loading_order(dependencies, "ext4").unwrap(),
        [
            "fs/jbd2/jbd2.ko",
            "fs/mbcache.ko",
            "lib/crc16.ko",
            "fs/ext4/ext4.ko"
        ]
    );
}

#[test]
fn a_missing_module_is_named() {
    let error = loading_order("lib/crc16.ko:\n", "overlay").unwrap_err();
    assert_eq!(error.to_string(), "no module overlay in modules.dep");
}

#[test]
fn a_short_image_is_an_error() {
    let error = unpack(&[0; 0x200]).unwrap_err();
    assert_eq!(error.to_string(), "too short for a setup header");
}
