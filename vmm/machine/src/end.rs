//! How the VMM process ends: one reason, told once.

use std::error::Error;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};

use bulkhead_devices::ConsoleRing;
use bulkhead_protocol::bounded::{Blob, Text};
use bulkhead_protocol::vmm::{ExitReason, FromVmm};

use crate::control::Control;

/// The exit code for each reason. 101 would be a panic before there was anybody to tell.
pub fn code(reason: &ExitReason) -> u8 {
    match reason {
        ExitReason::GuestReset => 0,
        ExitReason::Failed { .. } => 1,
        ExitReason::Stopped => 2,
        ExitReason::TripleFault => 3,
        ExitReason::KvmInternalError { .. } => 4,
        ExitReason::EntryFailed { .. } => 5,
    }
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Who is told how the machine ended.
pub struct Report {
    control: Arc<Control>,
    ring: Arc<ConsoleRing>,
}

impl Report {
    /// For the process's only machine.
    pub fn new(control: Arc<Control>, ring: Arc<ConsoleRing>) -> Self {
        Self { control, ring }
    }

    /// Tells why, with the tail of the console. Nobody may listen any more.
    pub fn send(&self, reason: &ExitReason) {
        let console = Blob::try_from(self.ring.tail()).unwrap_or_default();
        let message = FromVmm::Exited {
            reason: reason.clone(),
            console,
        };
        let _ = self.control.send_last(&message);
    }
}

static REPORT: OnceLock<Report> = OnceLock::new();

/// From now on a panic in any thread ends the process with a report: no half of a machine goes on.
pub fn report_panics(report: Report) {
    if REPORT.set(report).is_ok() {
        std::panic::set_hook(Box::new(on_panic));
    }
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let reason = failure(&format!("thread {name}: {info}").replace('\n', " "));
    let _ = writeln!(std::io::stderr(), "vmm: {reason}");
    if let Some(report) = REPORT.get() {
        report.send(&reason);
    }
    std::process::exit(code(&reason).into());
}

/// A failure of the host or of the specification.
pub fn failure(text: &str) -> ExitReason {
    ExitReason::Failed {
        message: Text::truncated(text),
    }
}

/// Tells the reason and ends the process, whatever its threads do. Standard error gets a line for what is a failure.
pub fn finish(report: Option<&Report>, reason: &ExitReason) -> ! {
    if let Some(report) = report {
        report.send(reason);
    }
    if let ExitReason::Failed { .. } = reason {
        let _ = writeln!(std::io::stderr(), "vmm: {reason}");
    }
    std::process::exit(code(reason).into())
}
