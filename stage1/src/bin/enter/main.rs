//! stage1's `enter` entrypoint: runs a program in an app of the running pod, with our streams; and its `attach` entrypoint, which
//! reads and writes those of an app ([`attach`]).
//!
//! It is exec'd by stage0 in the pod's directory, and asks the pod's relay by the socket there ([`bulkhead_protocol::control`]).
//! The relay never has our streams, which may be a terminal and belong to others too: they are pumped through pipes. When
//! standard input and output are a terminal, and we are in its foreground, the program has one of its own in the guest.
//!
//! Exit code: the program's, 128 and its number for a signal; 203 for a program that could not be run; 254 for anything else.

mod arguments;
mod attach;
mod client;
mod escape;
mod pumps;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::control::{Exec, Request, Streams};
use bulkhead_protocol::exit::CODE_RUNTIME_FAILED;
use bulkhead_stage1::relay::readable;

use arguments::Arguments;
use client::Client;
use terminal::Terminal;

/// What the program finds when our terminal has no name, as in rkt.
const TERM: &str = "vt100";

/// Longest `TERM` that is passed on.
const TERM_MAX: usize = 64;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    let attaches = words.peek().is_some_and(|word| attach::is_first(word));
    let (name, ended) = match attaches {
        true => ("attach", attach::attach(words)),
        false => ("enter", enter(words)),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(name, &format!("{error:#}"));
            ExitCode::from(CODE_RUNTIME_FAILED)
        }
    }
}

/// One line, whatever the guest wrote into it.
fn say(name: &str, text: &str) {
    eprintln!("{name}: {}", readable::line(text));
}

fn enter(arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    let arguments = Arguments::parse(arguments)?;
    // From here on no change of the terminal's size is missed.
    let signals = client::block_signals()?;
    let terminal = Terminal::ours();
    let streams = Streams {
        stdin: true,
        stdout: true,
        stderr: terminal.is_none(),
    };
    let exec = Exec {
        app: arguments.app,
        arguments: arguments.command,
        environment: environment()?,
        terminal: terminal.as_ref().map(Terminal::size),
    };
    let request = Request::Exec(Box::new(exec));
    Client::ask(client::connect()?, &request, streams, terminal, signals)?.run()
}

fn environment<const MAX: usize, const COUNT: usize>() -> Result<List<Text<MAX>, COUNT>> {
    let term = std::env::var("TERM").ok();
    let plain = |t: &String| t.len() <= TERM_MAX && t.bytes().all(|b| b.is_ascii_graphic());
    let term = term.filter(plain).unwrap_or_else(|| TERM.to_owned());
    let variable = Text::try_from(format!("TERM={term}")).context("TERM")?;
    List::try_from(vec![variable]).context("the program's environment")
}
