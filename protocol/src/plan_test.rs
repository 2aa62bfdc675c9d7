use super::AppName;

#[test]
fn app_names_are_words_joined_by_dashes() {
    for good in ["a", "redis", "web-1", "0"] {
        assert!(AppName::try_from(good.to_owned()).is_ok(), "{good}");
    }
    for bad in [
        "",
        "-",
        "a-",
        "-a",
        "a--b",
        "A",
        "a/b",
        "..",
        "a b",
        "é",
        &"a".repeat(256),
    ] {
        assert!(AppName::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}
