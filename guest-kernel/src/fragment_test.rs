use super::*;
use proptest::prelude::*;

fn fragment(name: &str, text: &str) -> Fragment {
    Fragment {
        name: name.into(),
        text: text.into(),
    }
}

#[test]
fn settings_are_read_with_their_kinds() {
    let text = "# Why.\n\nCONFIG_A=y\n# of B\nCONFIG_B=n\nCONFIG_C=64\nCONFIG_D=\"\"\nCONFIG_E=0x1000000\nCONFIG_F=-1\n";
    let settings: Vec<_> = fragment("f", text)
        .requests()
        .unwrap()
        .into_iter()
        .map(|request| (request.option, request.setting))
        .collect();
    let value = |text: &str| Setting::Value(text.into());
    assert_eq!(
        settings,
        [
            ("CONFIG_A".into(), value("y")),
            ("CONFIG_B".into(), Setting::Off),
            ("CONFIG_C".into(), value("64")),
            ("CONFIG_D".into(), value("\"\"")),
            ("CONFIG_E".into(), value("0x1000000")),
            ("CONFIG_F".into(), value("-1")),
        ]
    );
}

#[test]
fn a_fragment_says_why_it_exists() {
    let error = fragment("f", "CONFIG_A=y\n").requests().unwrap_err();
    assert_eq!(
        error.to_string(),
        "fragment f does not begin with a comment that says why it exists"
    );
}

#[test]
fn other_lines_are_refused_with_their_place() {
    for line in [
        "CONFIG_A",
        "A=y",
        "CONFIG_=y",
        "CONFIG_A=m",
        "CONFIG_A=yes",
        " CONFIG_A=y",
        "CONFIG_A=\"",
        "CONFIG_A B=y",
    ] {
        let error = fragment("f", &format!("# Why.\n{line}\n"))
            .requests()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("fragment f, line 2: expected `CONFIG_NAME=value`, found `{line}`")
        );
    }
}

#[test]
fn an_option_has_one_place() {
    let fragments = [
        fragment("a", "# Why.\nCONFIG_A=y\n"),
        fragment("b", "# Why.\nCONFIG_A=n\n"),
    ];
    let error = merge(&fragments).unwrap_err();
    assert_eq!(error.to_string(), "CONFIG_A is set twice: in a and in b");
}

#[test]
fn the_fragments_of_this_checkout_are_usable() {
    let fragments = Fragment::read_dir(Path::new(crate::FRAGMENT_DIR)).unwrap();
    let requests = merge(&fragments).unwrap();
    for option in ["CONFIG_MODULES", "CONFIG_PCI", "CONFIG_ACPI"] {
        let request = requests
            .iter()
            .find(|request| request.option == option)
            .unwrap();
        assert_eq!(request.setting, Setting::Off, "{option}");
    }
}

#[test]
fn a_directory_without_fragments_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("README"), "no fragment").unwrap();
    let error = Fragment::read_dir(dir.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no fragment in {}", dir.path().display())
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = fragment("f", &format!("# Why.\n{text}")).requests();
    }

    #[test]
    fn what_is_accepted_is_a_whole_line(name in "[A-Z0-9_]{1,20}", number in any::<i64>()) {
        let line = format!("CONFIG_{name}={number}");
        let requests = fragment("f", &format!("# Why.\n{line}\n")).requests().unwrap();
        prop_assert_eq!(&requests[0].option, &format!("CONFIG_{name}"));
        prop_assert_eq!(&requests[0].setting, &Setting::Value(number.to_string()));
    }
}
