//! What can still be learned from a nested machine that hangs or has died.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::process::{disk_available_mib, memory_available_mib};

/// Longest wait for an answer of QEMU's monitor.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);

/// Time for the kernel to print where each processor hangs.
const PANIC_TIME: Duration = Duration::from_secs(3);

/// Lines of messages that a failure shows.
const LINES: usize = 80;

/// Every guest's kernel looks for a counter that KVM does not have, and KVM says so each time.
const NOISE: &str = "Unhandled WRMSR";

/// A file of messages.
pub(crate) fn whole(file: &Path) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

/// The last lines of a file of messages.
pub(crate) fn tail(file: &Path) -> String {
    let text = whole(file);
    let said: Vec<&str> = text.lines().filter(|line| !line.contains(NOISE)).collect();
    said[said.len().saturating_sub(LINES)..].join("\n")
}

/// What can be seen of a machine that stands still, in few lines: the host's room, QEMU's threads, where the processors are. Then
/// makes the kernel panic, for its own view on the console.
pub(crate) fn state(qemu: Pid, scratch: &Path, monitor: UnixStream) -> String {
    let mut report = room(scratch) + &threads(qemu);
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
        let answer = command(json!({
            "execute": "human-monitor-command",
            "arguments": {"command-line": line},
        }))?;
        for line in answer.lines().filter(|line| says_where(line)) {
            let _ = writeln!(report, "{line}");
        }
    }
    command(json!({"execute": "inject-nmi"}))?;
    std::thread::sleep(PANIC_TIME);
    Ok(())
}

/// Of all registers those that say where a processor is, and whether it is halted.
fn says_where(line: &str) -> bool {
    ["VM status", "CPU#", "RIP="]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Free space where the machine's disk lies, and free memory.
fn room(scratch: &Path) -> String {
    let disk = disk_available_mib(scratch);
    let memory = memory_available_mib();
    format!("MiB free on the host's disk: {disk:?}, in its memory: {memory:?}\n")
}

/// Name, state and place in the kernel of each thread.
fn threads(process: Pid) -> String {
    let mut report = String::new();
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        let read = |name: &str| {
            let text = std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        let stat = read("stat");
        // State, and times in user and kernel mode: fields 3, 14 and 15 of proc(5), behind the name in parentheses.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
        let field = |number: usize| fields.get(number - 2).copied().unwrap_or("?");
        let _ = writeln!(
            report,
            "QEMU's thread {}: {} in {}, {} + {} ticks",
            read("comm"),
            field(3),
            read("wchan"),
            field(14),
            field(15)
        );
    }
    report
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
