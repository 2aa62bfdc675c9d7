//! `bulkhead image list`.

use std::cmp::Ordering;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use bulkhead_image::{ImageEntry, Store};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::arguments::GlobalOptions;
use crate::pods::{Format, absolute, json, relative, table, zone};
use crate::report;

/// Characters of an id that tell images apart for most.
const SHORT_ID: usize = 19;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Field {
    Id,
    Name,
    ImportTime,
    LastUsed,
    Size,
}

impl Field {
    fn title(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Name => "NAME",
            Self::ImportTime => "IMPORT TIME",
            Self::LastUsed => "LAST USED",
            Self::Size => "SIZE",
        }
    }
}

/// What images can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Key {
    Name,
    ImportTime,
    LastUsed,
    Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Asc,
    Desc,
}

/// Options of `image list`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Show these columns
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        ignore_case = true,
        default_value = "id,name,importtime,lastused,size"
    )]
    fields: Vec<Field>,

    /// Sort by these, the first before the others
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        ignore_case = true,
        default_value = "importtime"
    )]
    sort: Vec<Key>,

    /// Sort upwards or downwards
    #[arg(long, value_name = "ORDER", default_value = "asc")]
    order: Order,

    /// Show whole ids and times, and sizes in bytes
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    full: bool,

    /// Leave out the line that names the columns
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    no_legend: bool,

    /// Print JSON instead of a table
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Prints every image of the store.
pub(crate) fn list(global: &GlobalOptions, options: &ListOptions) -> Result<ExitCode> {
    for (index, field) in options.fields.iter().enumerate() {
        if options.fields[..index].contains(field) {
            bail!("--fields has the field {} twice", field.title());
        }
    }
    let mut images = match Store::open_existing(&global.dir) {
        Some(store) => store.list()?,
        None => Vec::new(),
    };
    images.sort_by(|one, other| compare(one, other, options));
    let text = match options.format {
        Some(format) => {
            let images: Vec<_> = images.iter().map(ImageJson::of).collect();
            json(&images, format).context("make JSON of the images")?
        }
        None => rows(&images, options),
    };
    report::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn compare(one: &ImageEntry, other: &ImageEntry, options: &ListOptions) -> Ordering {
    let by = |key: &Key| match key {
        Key::Name => one.image.full_name().cmp(&other.image.full_name()),
        Key::ImportTime => one.imported.cmp(&other.imported),
        Key::LastUsed => one.last_used.cmp(&other.last_used),
        Key::Size => one.disk_bytes.cmp(&other.disk_bytes),
    };
    let order = options
        .sort
        .iter()
        .map(by)
        .fold(Ordering::Equal, Ordering::then);
    match options.order {
        Order::Asc => order,
        Order::Desc => order.reverse(),
    }
}

fn rows(images: &[ImageEntry], options: &ListOptions) -> String {
    let view = View {
        full: options.full,
        now: SystemTime::now(),
        zone: zone(),
    };
    let titles = options.fields.iter().map(|field| field.title().to_owned());
    let mut rows = Vec::new();
    rows.extend((!options.no_legend).then(|| titles.collect()));
    rows.extend(images.iter().map(|image| {
        let fields = options.fields.iter();
        fields.map(|field| view.cell(image, *field)).collect()
    }));
    table(&rows)
}

/// How images are shown.
struct View {
    full: bool,
    now: SystemTime,
    zone: TimeZone,
}

impl View {
    fn cell(&self, entry: &ImageEntry, field: Field) -> String {
        match field {
            Field::Id if self.full => entry.image.id.to_string(),
            Field::Id => entry.image.id.as_str().chars().take(SHORT_ID).collect(),
            Field::Name => entry.image.full_name(),
            Field::ImportTime => self.time(entry.imported),
            Field::LastUsed => self.time(entry.last_used),
            Field::Size if self.full => entry.disk_bytes.to_string(),
            Field::Size => size(entry.disk_bytes),
        }
    }

    fn time(&self, time: SystemTime) -> String {
        match self.full {
            true => absolute(time, &self.zone),
            false => relative(time, self.now),
        }
    }
}

/// In the largest unit that leaves a whole number, with one digit behind the point below ten: `12MiB`, `4.0KiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match tenths {
        0..100 => format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{}{}", tenths / 10, UNITS[unit]),
    }
}

/// An image, as rkt's `image list` writes it; times in nanoseconds since 1970.
#[derive(Debug, Serialize)]
struct ImageJson<'a> {
    id: &'a str,
    name: String,
    import_time: i64,
    last_used_time: i64,
    size: u64,
}

impl<'a> ImageJson<'a> {
    fn of(entry: &'a ImageEntry) -> Self {
        Self {
            id: entry.image.id.as_str(),
            name: entry.image.full_name(),
            import_time: nanoseconds(entry.imported),
            last_used_time: nanoseconds(entry.last_used),
            size: entry.disk_bytes,
        }
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "list_test.rs"]
mod tests;
