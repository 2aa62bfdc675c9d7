use super::*;

#[test]
fn version_and_variant() {
    assert_eq!(
        Uuid::version_4([0; 16]).to_string(),
        "00000000-0000-4000-8000-000000000000"
    );
    assert_eq!(
        Uuid::version_4([0xff; 16]).to_string(),
        "ffffffff-ffff-4fff-bfff-ffffffffffff"
    );
}

#[test]
fn two_are_not_the_same() {
    assert_ne!(Uuid::random().unwrap(), Uuid::random().unwrap());
}

#[test]
fn text() {
    let text = "01234567-89ab-4cde-8f01-23456789abcd";
    assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
    for wrong in [
        "",
        "01234567",
        "01234567-89AB-4cde-8f01-23456789abcd",
        "0123456789ab4cde8f0123456789abcd",
        "01234567-89ab-4cde-8f01-23456789abcd-",
        "+1234567-89ab-4cde-8f01-23456789abcd",
        "../../..-....-....-....-............",
    ] {
        assert!(wrong.parse::<Uuid>().is_err(), "{wrong:?}");
    }
    assert_eq!(
        "x".parse::<Uuid>().unwrap_err().to_string(),
        "\"x\" is not a UUID"
    );
}
