use super::*;

fn parse<const N: usize>(words: [&str; N]) -> Result<Arguments, ArgumentError> {
    Arguments::parse(words.map(OsString::from))
}

#[test]
fn stage0_s_vector_is_understood() {
    let parsed = parse(["--pid=17", "--appname=web", "--", "ls", "-l", "--", ""]).unwrap();
    assert_eq!(parsed.app.as_str(), "web");
    let command: Vec<&str> = parsed.command.iter().map(|word| word.as_str()).collect();
    assert_eq!(command, ["ls", "-l", "--", ""]);
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    assert_eq!(parse(["--", "ls"]), Err(ArgumentError::NoApp));
    for none in [&["--appname=web"][..], &["--appname=web", "--"]] {
        let words = none.iter().map(OsString::from);
        assert_eq!(Arguments::parse(words), Err(ArgumentError::NoProgram));
    }
    let unknown = |word: &str| Err(ArgumentError::Unknown(word.to_owned()));
    assert_eq!(parse(["--appname=web", "ls"]), unknown("ls"));
    assert_eq!(parse(["--user=1", "--", "ls"]), unknown("--user=1"));
    assert!(matches!(
        parse(["--appname=../x", "--", "ls"]),
        Err(ArgumentError::App(_))
    ));
}
