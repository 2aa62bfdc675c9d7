//! Text from a guest, for a person's terminal: no control characters, no endless lines.
//!
//! This is for what *bulkhead* says about a guest. What an app writes to its own output goes through unchanged.

/// Characters of one line.
const LINE_MAX: usize = 400;

/// Lines of the console that are shown.
const CONSOLE_LINES: usize = 40;

/// One line of any text.
pub fn line(text: &str) -> String {
    let printable = |c: char| {
        if c.is_control() || is_formatting(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    let mut line: String = text
        .trim_end()
        .chars()
        .take(LINE_MAX)
        .map(printable)
        .collect();
    if text.trim_end().chars().count() > LINE_MAX {
        line.push('…');
    }
    line
}

/// The last lines of a console.
pub fn console(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').map(|l| line(&l.replace('\r', "")));
    let lines: Vec<String> = lines.filter(|l| !l.is_empty()).collect();
    let first = lines.len().saturating_sub(CONSOLE_LINES);
    lines[first..].to_vec()
}

/// Characters that reorder or hide text: directional marks and overrides, and those of no width.
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{console, line};

    #[test]
    fn escapes_and_endless_lines_do_not_reach_the_terminal() {
        assert_eq!(
            line("a\x1b[31mb\x07\u{202e}c\r\n"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c"
        );
        assert_eq!(line(&"x".repeat(1000)).chars().count(), 401);
    }

    #[test]
    fn a_console_is_its_last_lines() {
        let text: String = (0..100).map(|n| format!("line {n}\r\n")).collect();
        let lines = console(text.as_bytes());
        assert_eq!(lines.len(), 40);
        assert_eq!(lines[0], "line 60");
        assert_eq!(lines[39], "line 99");
        assert_eq!(console(b"\xff\x00"), ["\u{fffd}\u{fffd}"]);
    }
}
