use super::*;
use proptest::prelude::*;

#[test]
fn plus_and_percent_are_undone() {
    let form = Form::parse(b"content=a+b%26%3D%00&x=").unwrap();
    assert_eq!(form.field("content"), Some(&b"a b&=\0"[..]));
    assert_eq!(form.field("x"), None);
}

#[test]
fn what_is_no_form_is_refused() {
    for body in ["content", "a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%+1"] {
        assert!(Form::parse(body.as_bytes()).is_none(), "{body}");
    }
    let many: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("f{n}=1")).collect();
    assert!(Form::parse(many.join("&").as_bytes()).is_none());
}

proptest! {
    #[test]
    fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 1..200)) {
        let encoded: String = value.iter().map(|b| format!("%{b:02x}")).collect();
        let form = Form::parse(format!("content={encoded}").as_bytes()).unwrap();
        prop_assert_eq!(form.field("content"), Some(&value[..]));
    }

    #[test]
    fn no_body_panics_or_grows(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(form) = Form::parse(&body) {
            let held: usize = form.0.iter().map(|(n, v)| n.len() + v.len()).sum();
            prop_assert!(held <= body.len());
        }
    }
}
