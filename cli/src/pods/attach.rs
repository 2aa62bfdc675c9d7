//! `bulkhead attach`.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::str::FromStr;

use anyhow::{Context, Result};
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use clap::Args;

use super::crossing;
use super::enter::enterable;
use super::name::PodName;
use crate::arguments::GlobalOptions;

/// Options of `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachOptions {
    #[command(flatten)]
    pod: PodName,

    /// The app, where the pod has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// list, auto, or some of stdin,stdout,stderr or of tty,tty-in,tty-out
    #[arg(long, value_name = "MODE", default_value = "auto")]
    mode: Mode,
}

/// What to attach to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    List,
    Auto,
    /// By the names of stage1's flags.
    Some(Vec<&'static str>),
}

/// The flags of stage1 for streams, and for a terminal.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];
const TERMINAL: [&str; 2] = ["tty-in", "tty-out"];

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "list" => return Ok(Self::List),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let mut flags = Vec::new();
        for word in text.split(',') {
            let known = STREAMS.iter().chain(&TERMINAL).find(|flag| **flag == word);
            match known {
                Some(flag) => flags.push(*flag),
                None if word == "tty" => flags.extend(TERMINAL),
                None => return Err(format!("{word:?} is no mode")),
            }
        }
        let of_terminal = |flag: &&str| TERMINAL.contains(flag);
        if flags.iter().any(of_terminal) && !flags.iter().all(of_terminal) {
            return Err("a terminal and streams exclude each other".to_owned());
        }
        Ok(Self::Some(flags))
    }
}

impl Mode {
    /// Stage1's words for it.
    fn words(&self) -> Vec<String> {
        let action = |action| vec![format!("--action={action}")];
        match self {
            Self::List => action("list"),
            Self::Auto => action("auto-attach"),
            Self::Some(flags) => {
                let all = TERMINAL.into_iter().chain(STREAMS);
                let words = all.map(|flag| format!("--{flag}={}", flags.contains(&flag)));
                action("custom-attach").into_iter().chain(words).collect()
            }
        }
    }
}

/// Returns only when something failed: otherwise this process has become the `attach` entrypoint of the pod's stage1.
pub(crate) fn attach(global: &GlobalOptions, options: &AttachOptions) -> Result<Infallible> {
    let pod = options.pod.find(&global.dir)?;
    let (pod, app) = enterable(global, pod, options.app.as_deref())?;
    let uuid = pod.uuid();
    let stage1 = Stage1Image::open(&pod.path().join("stage1"))?;
    let pid = crossing::process(&global.dir, &pod)?;
    let command = crossing::command(&pod, &stage1, Entrypoint::Attach, pid);
    let mut command = command
        .context("its stage1 cannot attach to apps")
        .with_context(|| format!("pod {uuid}"))?;
    let error = command
        .args(options.mode.words())
        .arg(format!("--app={app}"))
        .arg(format!("--debug={}", global.debug))
        .exec();
    let program = command.get_program().display().to_string();
    Err(error).with_context(|| format!("execute {program}"))
}
