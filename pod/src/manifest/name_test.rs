use super::*;

#[test]
fn ac_names() {
    for name in [
        "a",
        "0",
        "redis",
        "my-app-2",
        &"x".repeat(AC_NAME_BYTES_MAX),
    ] {
        assert_eq!(name.parse::<AcName>().unwrap().as_str(), name);
    }
    for name in [
        "", "-", "a-", "-a", "a--b", "Foo", "a_b", "a/b", "a.b", "é", "a\0", "../x",
    ] {
        assert!(name.parse::<AcName>().is_err(), "{name:?}");
    }
    let error = "Foo".parse::<AcName>().unwrap_err();
    assert_eq!(error.to_string(), "\"Foo\" is not an AC name");
    let error = "x"
        .repeat(AC_NAME_BYTES_MAX + 1)
        .parse::<AcName>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "an AC name of 201 bytes is longer than 200"
    );
}

#[test]
fn ac_identifiers() {
    for name in [
        "a",
        "example.com/reduce-worker",
        "a~b",
        "x_y",
        "localhost/a.b/c-d",
    ] {
        assert!(name.parse::<AcIdentifier>().is_ok(), "{name:?}");
    }
    for name in ["", "/a", "a/", "a//b", "a.-b", "A", "a:b", "a b"] {
        assert!(name.parse::<AcIdentifier>().is_err(), "{name:?}");
    }
}

#[test]
fn a_long_wrong_value_is_cut_in_its_error() {
    let error = "é"
        .repeat(500)
        .parse::<AcIdentifier>()
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!("\"{}…\" is not an AC identifier", "é".repeat(80))
    );
}

#[test]
fn image_ids() {
    let whole = format!("sha512-{}", "0123456789abcdef".repeat(8));
    assert!(whole.parse::<ImageId>().is_ok());
    assert!(whole[..7 + 32].parse::<ImageId>().is_ok());
    for id in [
        "",
        "sha512-",
        "sha512-abc",
        &whole[..7 + 31],
        &whole[7..],
        &format!("{whole}0"),
    ] {
        assert!(id.parse::<ImageId>().is_err(), "{id:?}");
    }
    let upper = whole.to_uppercase().replace("SHA", "sha");
    assert!(upper.parse::<ImageId>().is_err());
    assert!(
        "sha256-0123456789abcdef0123456789abcdef"
            .parse::<ImageId>()
            .is_err()
    );
}

#[test]
fn versions() {
    for version in [
        "0.8.11",
        "1.30.0",
        "0.8.11+git",
        "1.0.0-rc.1+build.5",
        "1.0.0-a-b",
    ] {
        assert!(version.parse::<AcVersion>().is_ok(), "{version:?}");
    }
    for version in [
        "", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.3-", "1.2.3+", "1..3",
    ] {
        assert!(version.parse::<AcVersion>().is_err(), "{version:?}");
    }
}

#[test]
fn sanitized_names() {
    let cases = [
        ("redis", "redis"),
        ("My_App.v2", "my-app-v2"),
        ("--x--", "x"),
        ("a~~b", "a-b"),
    ];
    for (text, name) in cases {
        assert_eq!(AcName::sanitized(text).unwrap().as_str(), name);
    }
    assert_eq!(AcName::sanitized("___"), None);
    assert_eq!(AcName::sanitized(""), None);
    let long = format!("{}-b", "a".repeat(AC_NAME_BYTES_MAX - 1));
    assert_eq!(
        AcName::sanitized(&long).unwrap().as_str().len(),
        AC_NAME_BYTES_MAX - 1
    );
}

proptest::proptest! {
    #[test]
    fn a_sanitized_name_is_its_own_sanitization(text in ".{0,300}") {
        if let Some(name) = AcName::sanitized(&text) {
            proptest::prop_assert_eq!(AcName::sanitized(name.as_str()), Some(name));
        }
    }

    #[test]
    fn no_name_leads_out_of_a_directory(text in "\\PC{0,40}|[a-z./-]{0,12}") {
        if let Ok(name) = text.parse::<AcName>() {
            proptest::prop_assert!(!name.as_str().contains(['/', '.', '\0']));
        }
    }
}
