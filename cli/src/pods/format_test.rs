use super::*;

#[test]
fn cells_stand_below_each_other() {
    let row = |cells: &[&str]| {
        cells
            .iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>()
    };
    let rows = [
        row(&["UUID", "APP", "STATE"]),
        row(&["0123abcd", "web", "exited garbage"]),
        row(&["", "é"]),
    ];
    assert_eq!(
        table(&rows),
        "UUID\t\tAPP\tSTATE\n0123abcd\tweb\texited garbage\n\t\té\n"
    );
    assert_eq!(table(&[]), "");
}

#[test]
fn json_is_one_line_or_indented() {
    let value = serde_json::json!({"name": "a"});
    assert_eq!(json(&value, Format::Json).unwrap(), "{\"name\":\"a\"}\n");
    assert_eq!(
        json(&value, Format::JsonPretty).unwrap(),
        "{\n\t\"name\": \"a\"\n}\n"
    );
}
