use bulkhead_pod::log::{Content, Output, Record};

use super::*;

fn record(stream: Output, text: &[u8]) -> Record {
    Record {
        time: "2026-11-28T06:00:00.000000005Z".parse().unwrap(),
        stream,
        content: Content::Text(text.to_vec()),
    }
}

fn layout(format: LogFormat) -> Layout {
    Layout {
        format,
        labels: true,
        timestamps: false,
        for_terminal: false,
        open: None,
    }
}

fn render(layout: &mut Layout, records: &[(&str, Output, &[u8])]) -> String {
    let records = records.iter();
    let bytes = records.flat_map(|(app, stream, text)| {
        layout.render(&app.parse().unwrap(), &record(*stream, text))
    });
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn parts_of_a_line_are_put_together_and_never_with_another_s() {
    let text = render(
        &mut layout(LogFormat::Text),
        &[
            ("web", Output::Stdout, b"one "),
            ("web", Output::Stdout, b"line\n"),
            ("web", Output::Stdout, b"half"),
            ("db", Output::Stderr, b"other\n"),
            ("web", Output::Stdout, b"rest"),
        ],
    );
    assert_eq!(text, "web: one line\nweb: half\ndb: other\nweb: rest");
}

#[test]
fn a_terminal_obeys_no_app() {
    let mut layout = layout(LogFormat::Text);
    let hostile: &[u8] = b"\x1b]0;title\x07a\tb\xffc\r\n";
    let records = [("web", Output::Stdout, hostile)];
    layout.for_terminal = true;
    assert_eq!(
        render(&mut layout, &records),
        "web: \u{fffd}]0;title\u{fffd}a\tb\u{fffd}c\n"
    );
    layout.for_terminal = false;
    let bytes = layout.render(&"web".parse().unwrap(), &record(Output::Stdout, hostile));
    assert_eq!(
        bytes,
        [b"web: ", hostile].concat(),
        "a file gets what it was"
    );
}

#[test]
fn times_and_json_have_nanoseconds() {
    let records: [(&str, Output, &[u8]); 1] = [("web", Output::Stderr, b"one\n")];
    let mut text = layout(LogFormat::Text);
    text.timestamps = true;
    assert_eq!(
        render(&mut text, &records),
        "2026-11-28T06:00:00.000000005Z web: one\n"
    );
    assert_eq!(
        render(&mut layout(LogFormat::Json), &records),
        "{\"time\":\"2026-11-28T06:00:00.000000005Z\",\"app\":\"web\",\"stream\":\"stderr\",\"log\":\"one\\n\"}\n"
    );
}
