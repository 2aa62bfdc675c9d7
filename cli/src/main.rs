//! The bulkhead command: arguments in, one call, printing and exit code out.
//!
//! It knows images and pods; what a VM is, only stage1 knows. The one exception is `doctor`, which
//! asks whether this host's KVM can run code at all.

mod app;
mod arguments;
mod doctor;
mod generated;
mod pods;
mod report;
mod run;
mod stage1;
mod trace;
mod version;

use std::process::ExitCode;

use anyhow::anyhow;

use crate::arguments::Request;
use crate::report::{EXIT_ERROR, EXIT_NO_SUBCOMMAND, UsageError};

fn main() -> ExitCode {
    let start = trace::now();
    let words: Result<Vec<String>, _> = std::env::args_os()
        .skip(1)
        .map(std::ffi::OsString::into_string)
        .collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => return fail("bulkhead", &anyhow!("argument {word:?} is not UTF-8")),
    };
    match arguments::parse(&words) {
        Ok(Request::Run(global, request)) => match run::run(&global, &request, start) {
            Ok(never) => match never {},
            Err(error) => fail("run", &error),
        },
        Ok(Request::Doctor(global, options)) => match doctor::doctor(&global, &options) {
            Ok((text, usable)) => print(
                &text,
                if usable {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(EXIT_ERROR)
                },
            ),
            Err(error) => fail("doctor", &error),
        },
        Ok(Request::Prepare(global, request)) => match run::prepare(&global, &request) {
            Ok(uuid) => print(&format!("{uuid}\n"), ExitCode::SUCCESS),
            Err(error) => fail("prepare", &error),
        },
        Ok(Request::RunPrepared(global, options)) => {
            match run::run_prepared(&global, &options, start) {
                Ok(never) => match never {},
                Err(error) => fail("run-prepared", &error),
            }
        }
        Ok(Request::Pods(global, command)) => match command.run(&global) {
            Ok(code) => code,
            Err(error) => fail(command.name(), &error),
        },
        Ok(Request::App(global, command)) => match command.run(&global, start) {
            Ok(code) => code,
            Err(error) => fail(command.name(), &error),
        },
        Ok(Request::AddApp(global, request)) => match request.run(&global) {
            Ok(code) => code,
            Err(error) => fail("app add", &error),
        },
        Ok(Request::Completion(options)) => print(&options.text(), ExitCode::SUCCESS),
        Ok(Request::ManPages(options)) => match options.write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail("man-pages", &error),
        },
        Ok(Request::Version) => print(&version::text(), ExitCode::SUCCESS),
        Err(UsageError::Help(text)) => print(&text, ExitCode::SUCCESS),
        Err(UsageError::NoSubcommand(text)) => {
            eprint!("{text}");
            ExitCode::from(EXIT_NO_SUBCOMMAND)
        }
        Err(UsageError::Wrong(text)) => {
            eprint!("{text}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn fail(command: &str, error: &anyhow::Error) -> ExitCode {
    eprint!("{}", report::tree(command, error));
    ExitCode::from(EXIT_ERROR)
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    match report::print(text) {
        Err(error) => fail("bulkhead", &error),
        Ok(()) => code,
    }
}
