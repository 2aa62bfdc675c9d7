//! What can still be learned from a nested machine that hangs or has died.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for an answer of QEMU's monitor.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);

/// Time for the kernel to print where each processor hangs.
const PANIC_TIME: Duration = Duration::from_secs(3);

/// The last lines of a file of messages.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Registers of all processors; then makes the kernel panic, for its own view on the console.
pub(crate) fn processors(monitor: UnixStream) -> String {
    let mut report = String::new();
    let asked = ask(monitor, &mut report);
    if let Err(error) = asked {
        // The report goes into an error message: its own failure is a line of it.
        let _ = writeln!(report, "QEMU's monitor: {error}");
    }
    report
}

fn ask(monitor: UnixStream, report: &mut String) -> io::Result<()> {
    monitor.set_read_timeout(Some(MONITOR_PATIENCE))?;
    let mut answers = BufReader::new(monitor.try_clone()?);
    let mut greeting = String::new();
    answers.read_line(&mut greeting)?;
    let mut command = |request: Value| -> io::Result<String> {
        writeln!(&monitor, "{request}")?;
        answer(&mut answers)
    };
    command(json!({"execute": "qmp_capabilities"}))?;
    for line in ["info status", "info registers -a"] {
        report.push_str(&command(json!({
            "execute": "human-monitor-command",
            "arguments": {"command-line": line},
        }))?);
    }
    command(json!({"execute": "inject-nmi"}))?;
    std::thread::sleep(PANIC_TIME);
    Ok(())
}

/// The next answer that is not an event.
fn answer(answers: &mut impl BufRead) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let value: Value = serde_json::from_str(&line)?;
        if let Some(result) = value.get("return").or_else(|| value.get("error")) {
            return Ok(result
                .as_str()
                .map_or_else(|| result.to_string(), |text| text.replace('\r', "")));
        }
    }
}
