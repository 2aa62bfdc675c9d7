//! Tables for people, JSON for programs.

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

/// Columns begin at multiples of this, as tab stops do.
const TAB: usize = 8;

/// A form of output that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// On one line.
    Json,
    /// Indented.
    JsonPretty,
}

/// A value as JSON, with a newline.
pub(crate) fn json(value: &impl Serialize, format: Format) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    match format {
        Format::Json => serde_json::to_writer(&mut bytes, value)?,
        Format::JsonPretty => {
            let indented = PrettyFormatter::with_indent(b"\t");
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indented);
            value.serialize(&mut serializer)?;
        }
    }
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Rows with their cells below each other, separated by tabs alone: cells have spaces in them.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        (longest + 1).next_multiple_of(TAB)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let tabs = (widths[column] - cell.chars().count()).div_ceil(TAB);
                text.push_str(&"\t".repeat(tabs));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "format_test.rs"]
mod tests;
