//! What a user sees while an image comes: a bar for each layer or file on a terminal, and nothing elsewhere.

use std::collections::HashMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};

use bulkhead_image::Transfer;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Digits of a digest, or letters of a file's name, that are shown.
const SHOWN: usize = 12;

const TEMPLATE: &str =
    "{prefix} {bar:30} {binary_bytes:>11} of {binary_total_bytes} {binary_bytes_per_sec}";

/// Takes what is told of blobs on their way.
pub(crate) fn bars() -> impl Fn(Transfer<'_>) + Send + Sync {
    let bars = stderr().is_terminal().then(Bars::new);
    move |transfer| {
        if let Some(bars) = &bars {
            bars.show(transfer);
        }
    }
}

struct Bars {
    all: MultiProgress,
    by_name: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            by_name: Mutex::default(),
        }
    }

    fn show(&self, transfer: Transfer<'_>) {
        let mut bars = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars
            .entry(transfer.what.to_owned())
            .or_insert_with(|| self.add(transfer));
        bar.set_position(transfer.bytes);
        if transfer.size.is_some_and(|size| transfer.bytes >= size) {
            bar.finish();
        }
    }

    fn add(&self, transfer: Transfer<'_>) -> ProgressBar {
        let bar = self.all.add(match transfer.size {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        });
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is valid");
        bar.set_style(style);
        bar.set_prefix(shown(transfer.what));
        bar
    }
}

/// The begin of a digest's digits, or of an address's last part.
fn shown(what: &str) -> String {
    let name = what.rsplit(['/', ':']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    format!("{name:SHOWN$}")
}
