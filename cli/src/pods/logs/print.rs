//! Records as lines of text or JSON on standard output.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use bulkhead_pod::log::{Content, Output, Record};
use bulkhead_pod::manifest::AcName;

use super::merge::Merger;
use super::{LogFormat, LogsOptions};

pub(super) struct Printer {
    stdout: BufWriter<Stdout>,
    layout: Layout,
}

impl Printer {
    pub(super) fn new(options: &LogsOptions, labels: bool) -> Self {
        let stdout = io::stdout();
        Self {
            layout: Layout {
                format: options.format,
                labels,
                timestamps: options.timestamps,
                for_terminal: stdout.is_terminal(),
                open: None,
            },
            stdout: BufWriter::new(stdout),
        }
    }

    /// Whether lines from now on carry the names of their apps.
    pub(super) fn label(&mut self, labels: bool) {
        self.layout.labels = labels;
    }

    pub(super) fn print(&mut self, app: &AcName, record: &Record) -> io::Result<()> {
        let text = self.layout.render(app, record);
        if self.layout.format == LogFormat::Text
            && let Content::Lost(count) = record.content
        {
            self.stdout.flush()?;
            eprintln!("logs: app {app}: {count} bytes are missing here");
        }
        self.stdout.write_all(&text)
    }

    /// All that there is was printed, for now.
    pub(super) fn end_of_turn(&mut self, merger: &mut Merger) -> io::Result<()> {
        self.stdout.flush()?;
        for complaint in merger.take_complaints() {
            eprintln!("logs: {complaint}");
        }
        Ok(())
    }
}

/// What records look like.
struct Layout {
    format: LogFormat,
    labels: bool,
    timestamps: bool,
    for_terminal: bool,
    /// Whose line has not ended.
    open: Option<(AcName, Output)>,
}

impl Layout {
    fn render(&mut self, app: &AcName, record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        match (&record.content, self.format) {
            (_, LogFormat::Json) => record.write_with_app(&mut bytes, app),
            (Content::Lost(_), LogFormat::Text) => {}
            (Content::Text(text), LogFormat::Text) => {
                let source = (app.clone(), record.stream);
                if self.open.as_ref() != Some(&source) {
                    bytes = self.start_of_line(app, record);
                }
                if self.for_terminal {
                    bytes.extend_from_slice(harmless(text).as_bytes());
                } else {
                    bytes.extend_from_slice(text);
                }
                self.open = Some(source).filter(|_| !text.ends_with(b"\n"));
            }
        }
        bytes
    }

    fn start_of_line(&self, app: &AcName, record: &Record) -> Vec<u8> {
        let mut start = String::new();
        if self.open.is_some() {
            start.push('\n');
        }
        if self.timestamps {
            start.push_str(&format!("{:.9} ", record.time));
        }
        if self.labels {
            start.push_str(&format!("{app}: "));
        }
        start.into_bytes()
    }
}

/// Text that a terminal shows and does not obey: whoever reads a log may not have run the app.
fn harmless(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = match text.strip_suffix("\r\n") {
        Some(line) => format!("{line}\n"),
        None => text.into_owned(),
    };
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
#[path = "print_test.rs"]
mod tests;
