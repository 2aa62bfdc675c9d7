use super::*;

#[test]
fn quotes_survive_the_shell() {
    assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
}

#[test]
fn exported_bash_functions_are_left_out() {
    assert!(is_identifier("PATH_2"));
    assert!(!is_identifier("BASH_FUNC_x%%"));
    assert!(!is_identifier("2x"));
    assert!(!is_identifier(""));
}
