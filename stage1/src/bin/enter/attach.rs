//! The `attach` entrypoint: `--action=list|auto-attach|custom-attach [--tty-in=B --tty-out=B --stdin=B --stdout=B --stderr=B]
//! --app=APP [--debug=B]` (rkt, stage1 interface).
//!
//! Exit code: 0 when we have left, or the app or the pod has ended; 254 for anything else.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use bulkhead_protocol::control::{Attach, Request, Streams};
use bulkhead_protocol::plan::AppName;

use crate::client::{self, Client};
use crate::terminal::Terminal;

/// What every argument vector of ours begins with.
const ACTION: &str = "--action=";

/// Whether the words behind this one are of `attach`.
pub(crate) fn is_first(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| word.starts_with(ACTION))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    List,
    Auto,
    Custom,
}

/// What to attach to.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    action: Action,
    app: AppName,
    /// Of pipes.
    streams: Streams,
    /// Of a terminal.
    terminal: Streams,
}

impl Arguments {
    fn parse(words: impl Iterator<Item = OsString>) -> Result<Self> {
        let (mut action, mut app) = (None, None);
        let (mut streams, mut terminal) = (Streams::default(), Streams::default());
        for word in words {
            let word = word.to_string_lossy().into_owned();
            let Some((name, value)) = word.split_once('=') else {
                bail!("unknown argument {word:?}");
            };
            let flag = || {
                value
                    .parse::<bool>()
                    .with_context(|| format!("argument {word:?}"))
            };
            match name {
                "--action" => {
                    action = Some(match value {
                        "list" => Action::List,
                        "auto-attach" => Action::Auto,
                        "custom-attach" => Action::Custom,
                        _ => bail!("unknown argument {word:?}"),
                    });
                }
                "--app" => app = Some(AppName::try_from(value.to_owned()).context("--app")?),
                "--stdin" => streams.stdin = flag()?,
                "--stdout" => streams.stdout = flag()?,
                "--stderr" => streams.stderr = flag()?,
                "--tty-in" => terminal.stdin = flag()?,
                "--tty-out" => terminal.stdout = flag()?,
                "--debug" => {}
                _ => bail!("unknown argument {word:?}"),
            }
        }
        Ok(Self {
            action: action.context("--action is missing")?,
            app: app.context("--app is missing")?,
            streams,
            terminal,
        })
    }
}

/// Does what is asked for, and gives the exit code.
pub(crate) fn attach(words: impl Iterator<Item = OsString>) -> Result<u8> {
    let arguments = Arguments::parse(words)?;
    // From here on no change of the terminal's size is missed.
    let signals = client::block_signals()?;
    let mut relay = client::connect()?;
    let (offered, is_terminal) = client::offer(&mut relay, &arguments.app)?;
    let streams = match arguments.action {
        Action::List => {
            let lines: String = names(offered, is_terminal)
                .map(|name| format!("{name}\n"))
                .collect();
            io::stdout()
                .write_all(lines.as_bytes())
                .context("write to stdout")?;
            return Ok(0);
        }
        Action::Auto if offered.is_empty() => bail!("there is nothing to attach to"),
        Action::Auto => offered,
        Action::Custom => chosen(&arguments, offered, is_terminal)?,
    };
    let terminal = (is_terminal && streams.stdin)
        .then(Terminal::ours)
        .flatten();
    let request = Request::Attach(Attach {
        app: arguments.app,
        streams,
        size: terminal.as_ref().map(Terminal::size),
    });
    Client::ask(relay, &request, streams, terminal, signals)?.run()
}

/// Those that were named, if they are there.
fn chosen(arguments: &Arguments, offered: Streams, is_terminal: bool) -> Result<Streams> {
    let of_terminal = !arguments.terminal.is_empty();
    let wanted = if of_terminal {
        arguments.terminal
    } else {
        arguments.streams
    };
    if wanted.is_empty() {
        bail!("no stream is named");
    }
    if of_terminal != is_terminal || !wanted.within(offered) {
        let wanted: Vec<_> = names(wanted, of_terminal).collect();
        let offered: Vec<_> = names(offered, is_terminal).collect();
        let (wanted, offered) = (wanted.join(", "), offered.join(", "));
        bail!("cannot attach to {wanted}: there is {offered}");
    }
    Ok(wanted)
}

fn names(streams: Streams, is_terminal: bool) -> impl Iterator<Item = &'static str> {
    let names = match is_terminal {
        true => ["tty-in", "tty-out", ""],
        false => ["stdin", "stdout", "stderr"],
    };
    let all = [streams.stdin, streams.stdout, streams.stderr];
    let present = names.into_iter().zip(all);
    present.filter(|(_, there)| *there).map(|(name, _)| name)
}

#[cfg(test)]
#[path = "attach_test.rs"]
mod tests;
