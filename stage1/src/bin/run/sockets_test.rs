use super::*;

#[test]
fn each_descriptor_has_the_name_at_its_place() {
    let cases: [(&str, &[Option<&str>]); 4] = [
        ("", &[None]),
        ("http", &[Some("http")]),
        ("http::admin", &[Some("http"), None, Some("admin")]),
        (":http:", &[None, Some("http"), None]),
    ];
    for (variable, expected) in cases {
        let names: Vec<_> = names_of(variable).collect();
        let names: Vec<_> = names.iter().map(Option::as_deref).collect();
        assert_eq!(names, expected, "{variable:?}");
    }
}
