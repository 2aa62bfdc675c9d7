//! The bulkhead command: arguments in, one call, printing and exit code out.
//!
//! It knows images and pods; what a VM is, only stage1 knows. The one exception is `doctor`, which
//! asks whether this host's KVM can run code at all.

mod app;
mod arguments;
mod configuration;
mod doctor;
mod examples;
mod fetch;
mod generated;
mod image;
mod pods;
mod programs;
mod progress;
mod registries;
mod report;
mod run;
mod stage1;
mod trace;
mod trust;
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
    let mut request = match arguments::parse(&words) {
        Ok(request) => request,
        Err(error) => return refuse(&error),
    };
    match request.configure() {
        Ok(()) => execute(request, start),
        Err(error) => fail("bulkhead", &error.into()),
    }
}

fn execute(request: Request, start: i128) -> ExitCode {
    match request {
        Request::Run(global, request) => match run::run(&global, &request, start) {
            Ok(never) => match never {},
            Err(error) => fail("run", &error),
        },
        Request::Config(global, options) => match options.text(&global) {
            Ok(text) => print(&text, ExitCode::SUCCESS),
            Err(error) => fail("config", &error),
        },
        Request::Fetch(global, options) => match options.run(&global) {
            Ok(text) => print(&text, ExitCode::SUCCESS),
            Err(error) => fail("fetch", &error),
        },
        Request::Trust(global, options) => match options.run(&global) {
            Ok(code) => code,
            Err(error) => fail("trust", &error),
        },
        Request::Doctor(global, options) => match doctor::doctor(&global, &options) {
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
        Request::Prepare(global, request) => match run::prepare(&global, &request) {
            Ok(uuid) => print(&format!("{uuid}\n"), ExitCode::SUCCESS),
            Err(error) => fail("prepare", &error),
        },
        Request::RunPrepared(global, options) => {
            match run::run_prepared(&global, &options, start) {
                Ok(never) => match never {},
                Err(error) => fail("run-prepared", &error),
            }
        }
        Request::Pods(global, command) => match command.run(&global) {
            Ok(code) => code,
            Err(error) => fail(command.name(), &error),
        },
        Request::App(global, command) => match command.run(&global, start) {
            Ok(code) => code,
            Err(error) => fail(command.name(), &error),
        },
        Request::Image(global, command) => match command.run(&global) {
            Ok(code) => code,
            Err(error) => fail(command.name(), &error),
        },
        Request::AddApp(global, request) => match request.run(&global) {
            Ok(code) => code,
            Err(error) => fail("app add", &error),
        },
        Request::Completion(options) => print(&options.text(), ExitCode::SUCCESS),
        Request::ManPages(options) => match options.write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail("man-pages", &error),
        },
        Request::Version => print(&version::text(), ExitCode::SUCCESS),
    }
}

fn refuse(error: &UsageError) -> ExitCode {
    match error {
        UsageError::Help(text) => print(text, ExitCode::SUCCESS),
        UsageError::NoSubcommand(text) => {
            eprint!("{text}");
            ExitCode::from(EXIT_NO_SUBCOMMAND)
        }
        UsageError::Wrong(text) => {
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
