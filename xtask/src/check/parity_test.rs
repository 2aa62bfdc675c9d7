use super::*;

fn known() -> HashSet<String> {
    HashSet::from(["exit::zero".to_owned()])
}

#[test]
fn a_missing_test_is_named_with_its_line() {
    let list = "| Behaviour | State | Test |\n|---|---|---|\n| codes | tested | `exit::one` |\n";
    assert_eq!(
        judge(list, &known()),
        ["docs/parity.md:3: there is no test exit::one"]
    );
}

#[test]
fn tests_and_reasons_satisfy() {
    let list = "| a | tested | `exit::zero` |\n| b | planned | networking |\n";
    assert!(judge(list, &known()).is_empty());
}

#[test]
fn a_row_needs_evidence_and_a_known_state() {
    let list = "| a | tested | later |\n| b | soon | x |\n| c | against | |\n";
    assert_eq!(
        judge(list, &known()),
        [
            "docs/parity.md:1: tested, but no test is named",
            "docs/parity.md:2: unknown state \"soon\"",
            "docs/parity.md:3: neither a test nor a reason",
        ]
    );
}

#[test]
fn an_empty_list_is_a_complaint() {
    assert_eq!(judge("# Parity\n", &known()), ["docs/parity.md: no rows"]);
}

#[test]
fn functions_below_the_attribute_are_tests() {
    let text = "#[test]\nfn a() {}\n\nfn b() {}\n    #[test]\n    fn c() {}\n";
    assert_eq!(test_functions(text).collect::<Vec<_>>(), ["a", "c"]);
}
