use super::*;

#[test]
fn a_long_function_is_named() {
    let body = "        step();\n".repeat(MOST_FUNCTION_LINES);
    let text = format!("impl Thing {{\n    pub(crate) fn work<T>(t: T) {{\n{body}    }}\n}}\n");
    assert_eq!(
        examine(&text),
        [format!(
            "line 2: function work has {} lines, at most 70",
            MOST_FUNCTION_LINES + 2
        )]
    );
}

#[test]
fn declarations_and_one_liners_are_no_functions() {
    assert_eq!(function_name("fn a();"), None);
    assert_eq!(function_name("fn a() {}"), None);
    assert_eq!(function_name("pub const fn a("), Some("a"));
}

#[test]
fn a_long_file_is_a_complaint() {
    assert_eq!(examine(&"\n".repeat(501)), ["501 lines, at most 500"]);
}
