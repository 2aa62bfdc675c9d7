use super::*;

#[test]
fn modules_are_called_as_their_subjects() {
    assert_eq!(module(Path::new("image/src/tar/tests.rs")), "tar");
    assert_eq!(module(Path::new("image/src/tar/number_test.rs")), "number");
    assert_eq!(module(Path::new("tests/e2e/layers.rs")), "layers");
}

#[test]
fn rows_name_tests_that_exist() {
    let known = HashSet::from(["tar::a".to_owned()]);
    let list = "| Input | What happens | Tests |\n|---|---|---|\n| a | error | `tar::a` |\n\
                | b | error | `tar::b` |\n| c | error | later |\n| d |\n";
    assert_eq!(
        judge(list, &known),
        [
            "docs/bad-images.md:4: there is no test tar::b",
            "docs/bad-images.md:5: no test is named",
            "docs/bad-images.md:6: a row has three columns",
        ]
    );
    assert_eq!(judge("", &known), ["docs/bad-images.md: no rows"]);
}
