//! The project's own tasks. `cargo xtask help` lists them.

mod cache;
mod nested;
mod process;
mod setup;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a command as root where KVM can run code: here, or in a nested machine
    Nested(nested::Options),
    /// Install the Debian packages that the tasks need
    Setup,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Nested(options) => nested::run(&options),
        Task::Setup => setup::install(setup::EVERYTHING).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
