//! stage1's `gc` entrypoint of pods without machines: removes what the supervisor of a pod could not, because it was killed. It is
//! called as `gc [--debug] [--local-config=DIR] UUID`, when the pod is over.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_protocol::exit::CODE_RUNTIME_FAILED;
use bulkhead_stage1::arguments::check_uuid;
use bulkhead_stage1::group;

fn main() -> ExitCode {
    match collect() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stage1: {error:#}");
            ExitCode::from(CODE_RUNTIME_FAILED)
        }
    }
}

fn collect() -> Result<()> {
    let uuid = std::env::args().next_back().context("no UUID")?;
    let uuid = check_uuid(uuid)?;
    group::collect(&uuid).with_context(|| format!("remove the control group of pod {uuid}"))
}
