use proptest::prelude::*;

use super::*;

#[test]
fn plain_paths() {
    for (path, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/a//b/./c/", "/a/b/c"),
        ("/.a/b..", "/.a/b.."),
    ] {
        assert_eq!(plain(path), expected);
    }
}

#[test]
fn below() {
    assert!(is_below("/sys", "/sys") && is_below("/sys/fs", "/sys"));
    assert!(!is_below("/system", "/sys") && !is_below("/", "/sys"));
}

proptest! {
    #[test]
    fn plain_is_plain(path in "/[a./]{0,12}") {
        let once = plain(&path);
        prop_assert_eq!(plain(&once), once.clone());
        prop_assert!(once.starts_with('/') && !once.contains("//"));
        prop_assert!(once == "/" || !once.ends_with('/'));
    }
}
