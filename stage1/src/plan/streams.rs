//! The standard streams of an app: the caller's, or what its modes say.

use bulkhead_pod::manifest::RuntimeApp;
use bulkhead_pod::streams::{InputMode, OutputMode, STDERR, STDIN, STDOUT, mode};
use bulkhead_protocol::plan::{AppName, Stdio, WindowSize};
use bulkhead_protocol::relay::{Destination, Outputs};

use super::PlanError;

/// Of a terminal to which nobody is attached yet: as large as the first ones were.
const SIZE: WindowSize = WindowSize {
    rows: 24,
    columns: 80,
};

/// What the app gets, where its caller gives it these streams.
pub(super) fn of(
    app: &RuntimeApp,
    name: &AppName,
    callers: Stdio,
) -> Result<(Stdio, Outputs), PlanError> {
    let wrong = |problem: String| PlanError::Streams {
        app: name.clone(),
        problem,
    };
    let stdin: Option<InputMode> = mode(app, STDIN).map_err(|e| wrong(e.to_string()))?;
    let stdout: Option<OutputMode> = mode(app, STDOUT).map_err(|e| wrong(e.to_string()))?;
    let stderr: Option<OutputMode> = mode(app, STDERR).map_err(|e| wrong(e.to_string()))?;
    let interactive = callers != Stdio::Pipes { stdin: false };
    if interactive {
        if stdin.is_some() || stdout.is_some() || stderr.is_some() {
            return Err(wrong(
                "those of an interactive app are its caller's".to_owned(),
            ));
        }
        let to = match callers {
            Stdio::Terminal { .. } => Destination::Stream,
            Stdio::Pipes { .. } => Destination::Log,
        };
        return Ok((callers, Outputs::both(to)));
    }
    let is_terminal = [stdout, stderr].contains(&Some(OutputMode::Tty));
    if is_terminal || stdin == Some(InputMode::Tty) {
        let all = stdin.is_none_or(|mode| mode == InputMode::Tty)
            && [stdout, stderr]
                .into_iter()
                .flatten()
                .all(|mode| mode == OutputMode::Tty);
        if !all {
            return Err(wrong("a terminal is all three, or none of them".to_owned()));
        }
        let terminal = Stdio::Terminal { size: SIZE };
        return Ok((terminal, Outputs::both(Destination::Attached)));
    }
    let pipes = Stdio::Pipes {
        stdin: stdin == Some(InputMode::Stream),
    };
    let outputs = Outputs {
        stdout: destination(stdout),
        stderr: destination(stderr),
    };
    Ok((pipes, outputs))
}

fn destination(mode: Option<OutputMode>) -> Destination {
    match mode {
        None | Some(OutputMode::Log) => Destination::Log,
        Some(OutputMode::Stream) => Destination::Stream,
        Some(OutputMode::Null) => Destination::Null,
        Some(OutputMode::Tty) => Destination::Attached,
    }
}

#[cfg(test)]
#[path = "streams_test.rs"]
mod tests;
