//! The main program of an app.

use bulkhead_pod::manifest::{App, Argument, Event, Isolator};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::plan::{AppName, MAX_ARGUMENT, MAX_ARGUMENTS, Process, ProcessId, Stdio};

use super::environment::environment;
use super::{Input, PlanError, bound, bounded};
use super::{capabilities, resource_limits, seccomp, unsupported};

/// But for what others have to say of it: whether it says itself that it is ready, and its sockets.
pub(super) fn process(
    id: ProcessId,
    name: &AppName,
    app: &App,
    input: &Input<'_>,
    stdio: Stdio,
) -> Result<Process, PlanError> {
    unsupported::refuse_app(app, name, stdio)?;
    let whose = |what: &str| format!("app {name}: {what}");
    let handler = |event| {
        let of_event = app.event_handlers.iter().find(|h| h.name == event);
        of_event.map_or(&[][..], |handler| &handler.exec)
    };
    let environment = environment(app, name, input, stdio);
    let environment: Result<Vec<_>, _> = environment.into_iter().map(Text::try_from).collect();
    let directory = app.working_directory.as_ref();
    let directory = directory.map_or("/", |path| path.as_str());
    let capabilities = capabilities::bounding_set(app, input.insecure.capabilities);
    let filter = match input.insecure.seccomp {
        true => None,
        false => seccomp::filter(app, name, capabilities)?,
    };
    let limits = resource_limits::DEFAULT.to_vec();
    let mut isolators = app.isolators.iter();
    Ok(Process {
        id,
        app: name.clone(),
        arguments: command_line(&app.exec, whose("its arguments"))?,
        pre_start: command_line(handler(Event::PreStart), whose("its pre-start handler"))?,
        post_stop: command_line(handler(Event::PostStop), whose("its post-stop handler"))?,
        environment: bounded(
            whose("its environment"),
            environment.map_err(bound(whose("an environment variable")))?,
        )?,
        working_directory: Text::try_from(directory)
            .map_err(bound(whose("its working directory")))?,
        user: Text::try_from(app.user.as_str()).map_err(bound(whose("its user")))?,
        group: Text::try_from(app.group.as_str()).map_err(bound(whose("its group")))?,
        groups: bounded(
            whose("its supplementary groups"),
            app.supplementary_gids.clone(),
        )?,
        stdio,
        capabilities,
        no_new_privileges: isolators.any(|i| matches!(i, Isolator::NoNewPrivileges(true))),
        seccomp: filter,
        oom_score_adj: oom_score_adjust(app),
        rlimits: bounded(whose("its resource limits"), limits)?,
        says_ready: false,
        listeners: List::default(),
    })
}

fn command_line(
    words: &[Argument],
    what: String,
) -> Result<List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>, PlanError> {
    let words: Result<Vec<_>, _> = words.iter().map(|w| Text::try_from(w.as_str())).collect();
    let words = words.map_err(bound(format!("{what}: an argument")))?;
    bounded(what, words)
}

fn oom_score_adjust(app: &App) -> i16 {
    let score = |isolator: &Isolator| match isolator {
        Isolator::OomScoreAdjust(score) => Some(score.value()),
        _ => None,
    };
    app.isolators.iter().find_map(score).unwrap_or(0)
}
