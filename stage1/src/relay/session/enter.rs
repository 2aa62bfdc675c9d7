//! From a request to a process: what a program that is started in an app later has of the app, and what of its own.

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::control::{Exec, MAX_CONNECTIONS};
use bulkhead_protocol::plan::{
    AppName, Filter, MAX_ARGUMENT, MAX_ENVIRONMENT, MAX_RESOURCE_LIMITS, Process, ProcessId,
    ResourceLimit, Stdio,
};

/// A program that will not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody of that name.
    #[error("the pod has no app {app}: it has {}", names(.apps))]
    App {
        /// The name.
        app: AppName,
        /// Those that there are.
        apps: Vec<AppName>,
    },
    /// Too many at a time.
    #[error("{MAX_CONNECTIONS} programs that entered the pod are there already")]
    TooMany,
    /// It would have no time to run.
    #[error("the pod is ending")]
    Ending,
    /// Nothing more comes from it.
    #[error("app {app} has ended")]
    Over {
        /// Which.
        app: AppName,
    },
    /// Not what it has.
    #[error("app {app} does not have these streams to attach to")]
    Streams {
        /// Which.
        app: AppName,
    },
    /// No program.
    #[error("there is no program to run")]
    NoProgram,
    /// App and request together.
    #[error("app {app} has an environment of {MAX_ENVIRONMENT} variables already")]
    Environment {
        /// Whose.
        app: AppName,
    },
}

fn names(apps: &[AppName]) -> String {
    let names: Vec<&str> = apps.iter().map(AppName::as_str).collect();
    names.join(", ")
}

/// What a program that enters an app has of it.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) app: AppName,
    environment: List<Text<MAX_ARGUMENT>, MAX_ENVIRONMENT>,
    capabilities: u64,
    no_new_privileges: bool,
    seccomp: Option<Filter>,
    oom_score_adj: i16,
    rlimits: List<ResourceLimit, MAX_RESOURCE_LIMITS>,
}

impl Surroundings {
    /// Of the app with this process. As in rkt neither capabilities nor system calls are taken from what enters it, for who may
    /// enter is root on the host; unless it is `confined`: where no machine is around it, the image's programs could then harm
    /// the host. What the app's root and control group hold back stays held back in any case.
    pub(super) fn of(process: &Process, confined: bool) -> Self {
        Self {
            app: process.app.clone(),
            environment: process.environment.clone(),
            capabilities: if confined {
                process.capabilities
            } else {
                u64::MAX
            },
            no_new_privileges: confined && process.no_new_privileges,
            seccomp: process.seccomp.clone().filter(|_| confined),
            oom_score_adj: process.oom_score_adj,
            rlimits: process.rlimits.clone(),
        }
    }

    /// As in rkt it is root, whoever the app is, and starts in `/`.
    pub(super) fn process(&self, id: ProcessId, exec: Exec) -> Result<Process, Refusal> {
        if exec.arguments.is_empty() {
            return Err(Refusal::NoProgram);
        }
        let root = || Text::try_from("0").expect("a digit is within every bound");
        Ok(Process {
            id,
            app: self.app.clone(),
            environment: self.environment(&exec)?,
            arguments: exec.arguments,
            pre_start: List::default(),
            post_stop: List::default(),
            working_directory: Text::try_from("/").expect("a slash is within every bound"),
            user: root(),
            group: root(),
            groups: List::default(),
            stdio: match exec.terminal {
                Some(size) => Stdio::Terminal { size },
                None => Stdio::Pipes { stdin: true },
            },
            capabilities: self.capabilities,
            no_new_privileges: self.no_new_privileges,
            seccomp: self.seccomp.clone(),
            oom_score_adj: self.oom_score_adj,
            rlimits: self.rlimits.clone(),
            says_ready: false,
            listeners: List::default(),
        })
    }

    /// The app's, but for the variables that the request sets.
    fn environment(
        &self,
        exec: &Exec,
    ) -> Result<List<Text<MAX_ARGUMENT>, MAX_ENVIRONMENT>, Refusal> {
        let is_set = |variable: &Text<MAX_ARGUMENT>| {
            let mut set = exec.environment.iter();
            set.any(|set| name(set) == name(variable))
        };
        let of_app = self.environment.iter().filter(|variable| !is_set(variable));
        let all: Vec<_> = of_app.chain(exec.environment.iter()).cloned().collect();
        let app = self.app.clone();
        List::try_from(all).map_err(|_| Refusal::Environment { app })
    }
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
#[path = "enter_test.rs"]
mod tests;
