//! Which end-to-end tests run over which stage1, and on which of two machines.

use super::Options;
use super::results::Ended;

/// What is tested over the stage1 without machines too. The other modules are about images, machines, or the command line alone.
const CONTAINER_MODULES: &[&str] = &[
    "attach::",
    "cgroup::",
    "crash::",
    "dependencies::",
    "devices::",
    "ends::",
    "enter::",
    "environment::",
    "exit::",
    "export::",
    "files::",
    "full_disk::",
    "handlers::",
    "isolators::",
    "lifecycle::",
    "many::many_pods",
    "logs::",
    "metadata::",
    "other_stage0::",
    "readiness::",
    "root::",
    "sandbox::",
    "service::",
    "socket_activation::",
    "stage1_choice::",
    "stop::",
    "streams::",
    "volumes::",
];

/// Tests of those modules that are about what only a machine has: file servers, and what they close to a guest.
const MACHINE_TESTS: &[&str] = &[
    "in_a_machine",
    "file_server",
    "a_read_only_host_volume_stays_so",
    "pipes_sockets_and_devices_of_the_host",
];

/// Names of tests, by the stage1 that they run over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) over_machines: Vec<String>,
    pub(super) over_containers: Vec<String>,
}

impl Chosen {
    /// Of all tests those that the options ask for.
    pub(super) fn of(all: &[String], options: &Options) -> Self {
        let filters: Vec<&str> = options.filter.iter().map(String::as_str).collect();
        let wanted = |test: &&String| filters.is_empty() || contains_any(test, &filters);
        let over_containers = |test: &&String| {
            let modules = match filters.is_empty() {
                true => contains_any(test, CONTAINER_MODULES),
                false => options.container && contains_any(test, &filters),
            };
            modules && !contains_any(test, MACHINE_TESTS)
        };
        let over_machines = all.iter().filter(wanted).filter(|_| !options.container);
        Self {
            over_machines: over_machines.cloned().collect(),
            over_containers: all.iter().filter(over_containers).cloned().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.over_machines.is_empty() && self.over_containers.is_empty()
    }

    /// Those that have not ended.
    pub(super) fn without(mut self, ended: &Ended) -> Self {
        self.over_machines
            .retain(|test| !ended.over_machines.contains(test));
        self.over_containers
            .retain(|test| !ended.over_containers.contains(test));
        self
    }

    /// Two parts that take about as long: neighbours, which are of one module and take as long as each other, go apart.
    pub(super) fn halves(self) -> [Self; 2] {
        let [first, second] = alternating(self.over_machines);
        let [third, fourth] = alternating(self.over_containers);
        [(first, fourth), (second, third)].map(|(over_machines, over_containers)| Self {
            over_machines,
            over_containers,
        })
    }
}

fn contains_any(test: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| test.contains(part))
}

fn alternating(tests: Vec<String>) -> [Vec<String>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    for (index, test) in tests.into_iter().enumerate() {
        halves[index % 2].push(test);
    }
    halves
}

#[cfg(test)]
#[path = "chosen_test.rs"]
mod tests;
