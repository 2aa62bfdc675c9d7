use proptest::prelude::*;

use super::*;
use crate::run::options::RunArguments;

fn split_words(line: &str) -> Result<Words, GrammarError> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    split(&words, &RunArguments::flags())
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn app(image: &str, flags: &[&str], arguments: &[&str]) -> AppWords {
    AppWords {
        image: image.to_owned(),
        flags: strings(flags),
        arguments: strings(arguments),
    }
}

/// A command line, and the words of its pod and of its apps.
type Case<'a> = (&'a str, &'a [&'a str], Vec<AppWords>);

fn find_their_places<const N: usize>(cases: [Case<'_>; N]) {
    for (line, pod, apps) in cases {
        let expected = Words {
            pod: strings(pod),
            every_app: Vec::new(),
            apps,
        };
        assert_eq!(split_words(line), Ok(expected), "{line}");
    }
}

#[test]
fn each_word_finds_its_place() {
    let cases: [Case<'_>; 11] = [
        ("a.aci", &[], vec![app("a.aci", &[], &[])]),
        ("a b", &[], vec![app("a", &[], &[]), app("b", &[], &[])]),
        ("a --- b", &[], vec![app("a", &[], &[]), app("b", &[], &[])]),
        (
            "a -- x -y --- b",
            &[],
            vec![app("a", &[], &["x", "-y"]), app("b", &[], &[])],
        ),
        (
            "a -- x --name=n",
            &[],
            vec![app("a", &[], &["x", "--name=n"])],
        ),
        ("a -- -- --", &[], vec![app("a", &[], &["--", "--"])]),
        ("a -- ---", &[], vec![app("a", &[], &[])]),
        ("--- a ---", &[], vec![app("a", &[], &[])]),
        (
            "a -- x --- --memory=1Gi b",
            &[],
            vec![app("a", &["--memory=1Gi"], &["x"]), app("b", &[], &[])],
        ),
        (
            "a --exec /bin/sh b",
            &[],
            vec![app("a", &["--exec=/bin/sh"], &[]), app("b", &[], &[])],
        ),
        (
            "a --exec -- -- x",
            &[],
            vec![app("a", &["--exec=--"], &["x"])],
        ),
    ];
    find_their_places(cases);
}

#[test]
fn each_flag_finds_its_pod_or_app() {
    let cases: [Case<'_>; 6] = [
        (
            "a --cap-retain CAP_KILL",
            &[],
            vec![app("a", &["--cap-retain=CAP_KILL"], &[])],
        ),
        (
            "--set-env A=b a",
            &["--set-env=A=b"],
            vec![app("a", &[], &[])],
        ),
        (
            "--interactive a",
            &["--interactive"],
            vec![app("a", &[], &[])],
        ),
        ("--net a", &["--net"], vec![app("a", &[], &[])]),
        (
            "a --debug --dir d b",
            &["--debug", "--dir=d"],
            vec![app("a", &[], &[]), app("b", &[], &[])],
        ),
        (
            "a --readonly-rootfs b -",
            &[],
            vec![
                app("a", &["--readonly-rootfs"], &[]),
                app("b", &[], &[]),
                app("-", &[], &[]),
            ],
        ),
    ];
    find_their_places(cases);
}

#[test]
fn an_empty_word_counts_among_arguments_only() {
    let words = strings(&["", "a", "", "--", "", "x", "---", ""]);
    let split = split(&words, &RunArguments::flags()).unwrap();
    assert_eq!(split.apps, [app("a", &[], &["", "x"])]);
}

#[test]
fn a_flag_without_its_value_is_left_for_clap() {
    assert_eq!(
        split_words("a --name").unwrap().apps,
        [app("a", &["--name"], &[])]
    );
    assert_eq!(split_words("--set-env").unwrap().pod, ["--set-env"]);
}

#[test]
fn unknown_flags_stay_where_they_are() {
    assert_eq!(split_words("--frob a").unwrap().pod, ["--frob"]);
    assert_eq!(
        split_words("a --frob").unwrap().apps,
        [app("a", &["--frob"], &[])]
    );
    assert_eq!(split_words("a -x").unwrap().apps, [app("a", &["-x"], &[])]);
}

#[test]
fn help_is_asked_of_the_whole_command() {
    assert_eq!(split_words("a --help").unwrap().pod, ["--help"]);
    assert_eq!(split_words("a -h").unwrap().pod, ["-h"]);
    assert_eq!(split_words("a -- --help").unwrap().pod, [""; 0]);
}

#[test]
fn refused() {
    let cases = [
        ("-- x", "an image is required before any app arguments (--)"),
        (
            "--debug -- x",
            "an image is required before any app arguments (--)",
        ),
        (
            "a -- x --- -- y",
            "only one set of app arguments (--) allowed per image, \"a\" has two",
        ),
        (
            "a b -- --- --",
            "only one set of app arguments (--) allowed per image, \"b\" has two",
        ),
        (
            "--name=x a",
            "--name is a flag of an app: it goes after the image that it is for",
        ),
        (
            "--exec /x a",
            "--exec is a flag of an app: it goes after the image that it is for",
        ),
        ("--port=80 a", "--port is not supported yet (networking)"),
        (
            "a --port=web:80",
            "--port is not supported yet (networking)",
        ),
        (
            "--port http:80 a",
            "--port is not supported yet (networking)",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(
            split_words(line).unwrap_err().to_string(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn every_flag_that_is_to_come_says_so() {
    for (name, subject) in NOT_SUPPORTED_YET {
        for line in [format!("--{name} a"), format!("a --{name}=x")] {
            let error = split_words(&line).unwrap_err();
            assert_eq!(
                error,
                GrammarError::NotSupportedYet {
                    flag: format!("--{name}"),
                    subject
                }
            );
        }
    }
}

/// Words that mean something to the grammar, and some that do not.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "--",
        "---",
        "-",
        "",
        "a",
        "b.aci",
        "--name",
        "--name=n",
        "--exec",
        "--interactive",
        "--net",
        "--net=none",
        "--set-env",
        "--debug",
        "--frob",
        "-x",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.map(str::to_owned).to_vec()),
        1 => "\\PC{0,5}",
    ]
}

proptest! {
    #[test]
    fn no_word_is_lost_or_made(words in proptest::collection::vec(word(), 0..20)) {
        let Ok(split) = split(&words, &RunArguments::flags()) else { return Ok(()) };
        let mut out = split.pod.clone();
        for app in &split.apps {
            out.push(app.image.clone());
            out.extend(app.flags.iter().chain(&app.arguments).cloned());
        }
        // Separators go, and a flag and its value become one word.
        let mut out: Vec<char> = out.concat().chars().filter(|c| !"-=".contains(*c)).collect();
        let mut input: Vec<char> = words.concat().chars().filter(|c| !"-=".contains(*c)).collect();
        out.sort_unstable();
        input.sort_unstable();
        prop_assert_eq!(out, input);
    }

    #[test]
    fn arguments_are_untouched(arguments in proptest::collection::vec("[^-].*|-{0,2}[a-z]*|-{4,6}", 0..10)) {
        prop_assume!(!arguments.iter().any(|word| word == "---"));
        let mut words = strings(&["image", "--"]);
        words.extend(arguments.iter().cloned());
        words.extend(strings(&["---", "other"]));
        let split = split(&words, &RunArguments::flags()).unwrap();
        prop_assert_eq!(&split.apps[0].arguments, &arguments);
        prop_assert_eq!(&split.apps[1].image, "other");
    }

    #[test]
    fn images_keep_their_order(count in 1usize..10) {
        let images: Vec<String> = (0..count).map(|i| format!("image{i}")).collect();
        let split = split(&images, &RunArguments::flags()).unwrap();
        let found: Vec<String> = split.apps.into_iter().map(|app| app.image).collect();
        prop_assert_eq!(found, images);
    }
}
