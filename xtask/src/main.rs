//! The project's own tasks. `cargo xtask help` lists them.

mod bench;
mod cache;
mod check;
mod demo;
mod fuzz;
mod nested;
mod process;
mod setup;
mod share;
mod stage1;
mod test;
mod virtiofsd;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure starts, boots against peers, memory and sizes
    Bench(bench::Options),
    /// Check formatting, lints, licences, sizes and the parity list
    Check,
    /// From nothing to a pod that runs: build everything, run it, say what ran where
    Demo,
    /// Feed mutated input to what reads untrusted bytes
    Fuzz(fuzz::Options),
    /// Build the test images (or find them in the cache) and print their directory
    Images,
    /// Build the guest kernel (or find it in the cache) and tell its size
    Kernel,
    /// Run a command as root where KVM can run code: here, or in a nested machine
    Nested(nested::Options),
    /// Install the Debian packages that the tasks need
    Setup,
    /// Build every program and assemble target/dist
    Stage1,
    /// Run every test; the end-to-end tests run on real KVM, in the nested machine where there is none
    Test(test::Options),
}

fn main() -> ExitCode {
    perform(Arguments::parse().task).unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Bench(options) => return bench::run(&options),
        Task::Check => check::all()?,
        Task::Demo => return demo::run(),
        Task::Fuzz(options) => fuzz::all(&options)?,
        Task::Images => {
            setup::install(&[setup::IMAGES])?;
            println!(
                "{}",
                bulkhead_tests::images::prepare(&mut process::progress)?.display()
            );
        }
        Task::Kernel => {
            setup::install(&[setup::STAGE1])?;
            println!("{}", stage1::kernel()?);
        }
        Task::Nested(options) => return nested::run(&options),
        Task::Setup => setup::install(&setup::EVERYTHING)?,
        Task::Stage1 => {
            setup::install(&[setup::STAGE1, setup::FILE_SERVER])?;
            println!("{}", stage1::build(&stage1::kernel()?)?.display());
        }
        Task::Test(options) => return test::all(&options),
    }
    Ok(ExitCode::SUCCESS)
}
