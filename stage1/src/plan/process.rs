//! The main program of an app.

use bulkhead_pod::manifest::App;
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::plan::{AppName, Process, ProcessId};

use super::environment::environment;
use super::{Input, PlanError, bound, bounded};

pub(super) fn process(
    id: ProcessId,
    name: &AppName,
    app: &App,
    input: &Input<'_>,
) -> Result<Process, PlanError> {
    let whose = |what: &str| format!("app {name}: {what}");
    let arguments = app.exec.iter();
    let arguments: Result<Vec<_>, _> = arguments.map(|a| Text::try_from(a.as_str())).collect();
    let environment = environment(app, name, input.stdio, input.terminal);
    let environment: Result<Vec<_>, _> = environment.into_iter().map(Text::try_from).collect();
    let directory = app.working_directory.as_ref();
    let directory = directory.map_or("/", |path| path.as_str());
    Ok(Process {
        id,
        app: name.clone(),
        arguments: bounded(
            whose("its arguments"),
            arguments.map_err(bound(whose("an argument")))?,
        )?,
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
        stdio: input.stdio,
    })
}
