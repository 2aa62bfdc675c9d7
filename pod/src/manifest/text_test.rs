use super::*;

#[test]
fn absolute_paths() {
    for path in ["/", "/a/b", "/a//b/", "/a/..b/c..", "/with space", "/é"] {
        assert!(path.parse::<AbsolutePath>().is_ok(), "{path:?}");
    }
    for path in [
        "",
        "a",
        "./a",
        "/a/../b",
        "/..",
        "/a\0b",
        &format!("/{}", "a".repeat(PATH_BYTES_MAX)),
    ] {
        assert!(path.parse::<AbsolutePath>().is_err(), "{path:?}");
    }
    let error = "a/b".parse::<AbsolutePath>().unwrap_err();
    assert_eq!(error.to_string(), "\"a/b\" is not an absolute path");
}

#[test]
fn environment_names() {
    for name in ["PATH", "_", "a1", "my.var-2"] {
        assert!(name.parse::<EnvironmentName>().is_ok(), "{name:?}");
    }
    for name in ["", "1a", "a=b", "a b", "-a", "a\0"] {
        assert!(name.parse::<EnvironmentName>().is_err(), "{name:?}");
    }
}

#[test]
fn principals() {
    let form = |text: &str| text.parse::<Principal>().map(|p| format!("{:?}", p.form()));
    assert_eq!(form("0").unwrap(), "Id(0)");
    assert_eq!(form("4294967295").unwrap(), "Id(4294967295)");
    assert_eq!(form("redis").unwrap(), "Name(\"redis\")");
    assert_eq!(form("-1").unwrap(), "Name(\"-1\")");
    assert_eq!(form("/etc/owner").unwrap(), "OwnerOf(\"/etc/owner\")");
    for text in ["", "4294967296", "a:b", "a\nb", "a/b", "/a/../b", "a\0"] {
        assert!(form(text).is_err(), "{text:?}");
    }
    assert_eq!(Principal::root().form(), PrincipalForm::Id(0));
    assert_eq!(Principal::id(7).as_str(), "7");
}

#[test]
fn arguments_are_what_execve_takes() {
    assert!("".parse::<Argument>().is_ok());
    assert!("a\nb é".parse::<Argument>().is_ok());
    assert!("a\0".parse::<Argument>().is_err());
    assert!("x".repeat(ARGUMENT_BYTES_MAX).parse::<Argument>().is_ok());
    assert!(
        "x".repeat(ARGUMENT_BYTES_MAX + 1)
            .parse::<Argument>()
            .is_err()
    );
}
