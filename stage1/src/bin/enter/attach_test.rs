use super::*;

fn parse(words: &str) -> Result<Arguments> {
    Arguments::parse(words.split(' ').map(OsString::from))
}

#[test]
fn words_are_rkt_s() {
    let all = "--action=custom-attach --tty-in=false --tty-out=false --stdin=true --stdout=true --stderr=false --app=web --debug=false";
    let arguments = parse(all).unwrap();
    assert_eq!(arguments.action, Action::Custom);
    assert_eq!(arguments.app.as_str(), "web");
    let names: Vec<_> = names(arguments.streams, false).collect();
    assert_eq!(names, ["stdin", "stdout"]);
    assert!(arguments.terminal.is_empty());
    for wrong in [
        "--action=list",
        "--app=web",
        "--action=other --app=web",
        "--action=list --app=web --stdin=maybe",
        "--action=list --app=web more",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let offered = Streams {
        stdout: true,
        ..Streams::default()
    };
    let of = |words: &str, terminal| {
        let arguments = parse(&format!("--action=custom-attach --app=web {words}")).unwrap();
        chosen(&arguments, offered, terminal).map_err(|error| error.to_string())
    };
    assert_eq!(of("--stdout=true", false), Ok(offered));
    assert_eq!(of("--tty-out=true", true), Ok(offered));
    let error = "cannot attach to stdin, stdout: there is stdout";
    assert_eq!(
        of("--stdin=true --stdout=true", false),
        Err(error.to_owned())
    );
    let error = "cannot attach to tty-out: there is stdout";
    assert_eq!(of("--tty-out=true", false), Err(error.to_owned()));
    assert_eq!(
        of("--debug=true", false),
        Err("no stream is named".to_owned())
    );
}
