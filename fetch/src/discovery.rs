//! What a page says of images: its `meta` elements that are for discovery.

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::fetch::{MAX_METAS, Meta, MetaKind};
use html5gum::{Token, Tokenizer};

/// Reads a page. What is no such element, or says nothing that could be one, does not count, and what is beyond the bound neither.
pub(crate) fn metas(page: &[u8]) -> List<Meta, MAX_METAS> {
    let tokens = Tokenizer::new(page).map_while(Result::ok);
    let metas = tokens.filter_map(|token| match token {
        Token::StartTag(tag) if &*tag.name == b"meta" => {
            let attribute = |name: &[u8]| tag.attributes.get(name).map(|value| &***value);
            meta(attribute(b"name")?, attribute(b"content")?)
        }
        _ => None,
    });
    List::try_from(metas.take(MAX_METAS).collect::<Vec<_>>()).expect("no more than the bound")
}

/// `<meta name="ac-discovery" content="PREFIX TEMPLATE">`
fn meta(name: &[u8], content: &[u8]) -> Option<Meta> {
    let kind = match name {
        b"ac-discovery" => MetaKind::Image,
        b"ac-discovery-pubkeys" => MetaKind::Keys,
        _ => return None,
    };
    let content = std::str::from_utf8(content).ok()?;
    let (prefix, template) = content.trim().split_once(char::is_whitespace)?;
    Some(Meta {
        kind,
        prefix: Text::try_from(prefix).ok()?,
        template: Text::try_from(template.trim()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &str) -> Vec<String> {
        let metas = metas(page.as_bytes());
        let texts = metas
            .iter()
            .map(|meta| format!("{:?} {} {}", meta.kind, meta.prefix, meta.template));
        texts.collect()
    }

    #[test]
    fn elements_for_discovery_are_found_wherever_they_stand() {
        let page = "<!doctype html><html><head><title>A</title>
            <META content='example.com  https://a/{name}&amp;b' NAME=ac-discovery />
            <meta name=\"ac-discovery-pubkeys\" content=\" example.com/app https://a/key \">
            <meta name=description content='example.com https://no'>
            </head><body><p>and<meta name=ac-discovery content='b https://b'>";
        let found = [
            "Image example.com https://a/{name}&b",
            "Keys example.com/app https://a/key",
            "Image b https://b",
        ];
        assert_eq!(shown(page), found);
    }

    #[test]
    fn what_is_no_element_or_says_nothing_does_not_count() {
        for page in [
            "",
            "<meta",
            "<!-- <meta name=ac-discovery content='a b'> -->",
            "<meta name=ac-discovery content=alone>",
            "<meta content='a b'>",
            "<title><meta name=ac-discovery-pubkeys></title>",
            "\u{0}<<<>",
        ] {
            assert_eq!(shown(page), [""; 0], "{page}");
        }
        let long = format!("<meta name=ac-discovery content='a {}'>", "b".repeat(5000));
        assert_eq!(shown(&long), [""; 0]);
        let many = "<meta name=ac-discovery content='a b'>".repeat(1000);
        assert_eq!(shown(&many).len(), MAX_METAS);
    }
}
