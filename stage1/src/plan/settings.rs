//! Kernel parameters: the isolator `os/unix/sysctl` of the pod and of its apps. The machine has one kernel, so all apps see all of them.
//! On the host's kernel a pod has those of its own namespaces alone.

use std::collections::BTreeMap;

use bulkhead_pod::manifest::{Isolator, TextMap};
use bulkhead_protocol::bounded::List;
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::plan::{MAX_SETTINGS, Setting};

use super::{PlanError, bound, bounded};

const ISOLATOR: &str = "os/unix/sysctl";

/// The parameters of the isolators that come with the name of whose they are.
pub(super) fn of<'a>(
    isolators: impl Iterator<Item = (String, &'a Isolator)>,
    shares_kernel: bool,
) -> Result<List<Setting, MAX_SETTINGS>, PlanError> {
    let mut all: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for (whose, isolator) in isolators {
        let Isolator::Sysctl(parameters) = isolator else {
            continue;
        };
        add(&mut all, &whose, parameters, shares_kernel)?;
    }
    let settings: Result<Vec<_>, _> = all
        .into_iter()
        .map(|(path, (value, whose))| setting(path, value, &whose))
        .collect();
    bounded("the pod's kernel parameters", settings?)
}

fn add<'a>(
    all: &mut BTreeMap<String, (&'a str, String)>,
    whose: &str,
    parameters: &'a TextMap,
    shares_kernel: bool,
) -> Result<(), PlanError> {
    for (name, value) in parameters {
        let refuse = |problem| PlanError::Isolator {
            whose: whose.to_owned(),
            isolator: ISOLATOR,
            problem,
        };
        let (name, value) = (name.as_str(), value.as_str());
        let path = path(name)
            .ok_or_else(|| refuse(format!("{name:?} is not the name of a kernel parameter")))?;
        if shares_kernel && !is_of_namespaces(&path) {
            let problem = format!("{name} is the host's own, and the pod runs on its kernel");
            return Err(refuse(problem));
        }
        match all.get(&path) {
            Some((other, by)) if *other != value => {
                let problem = format!("{name} cannot be {value:?}: {by} has it as {other:?}");
                return Err(refuse(problem));
            }
            Some(_) => {}
            None => {
                all.insert(path, (value, whose.to_owned()));
            }
        }
    }
    Ok(())
}

/// Whether each pod has its own: `net` in its network namespace (what is not, is not seen there), the rest in that of System V IPC.
fn is_of_namespaces(path: &str) -> bool {
    const OF_IPC: [&str; 9] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shm_rmid_forced",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/auto_msgmni",
    ];
    path.starts_with("net/") || path.starts_with("fs/mqueue/") || OF_IPC.contains(&path)
}

/// Words of a name are joined by dots, or by slashes where a word has a dot itself (`sysctl(8)`).
fn path(name: &str) -> Option<String> {
    let by_slashes = name.contains('/');
    let separator = if by_slashes { '/' } else { '.' };
    let is_word = |word: &str| {
        let of_word =
            |b: u8| b.is_ascii_alphanumeric() || b"_-:@".contains(&b) || b == b'.' && by_slashes;
        !word.is_empty() && word != "." && word != ".." && word.bytes().all(of_word)
    };
    let words: Vec<&str> = name.split(separator).collect();
    (words.len() > 1 && words.iter().all(|word| is_word(word))).then(|| words.join("/"))
}

fn setting(path: String, value: &str, whose: &str) -> Result<Setting, PlanError> {
    let what = || format!("{whose}: isolator {ISOLATOR}: {path}");
    let value = Text::try_from(value).map_err(bound(what()))?;
    let too_long = bound(what());
    Ok(Setting {
        path: Text::try_from(path).map_err(too_long)?,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::{is_of_namespaces, path};

    #[test]
    fn a_pod_on_the_host_s_kernel_has_the_parameters_of_its_namespaces() {
        for own in ["net/core/somaxconn", "fs/mqueue/msg_max", "kernel/shmmax"] {
            assert!(is_of_namespaces(own), "{own}");
        }
        for host in ["kernel/core_pattern", "vm/overcommit_memory", "fs/file-max"] {
            assert!(!is_of_namespaces(host), "{host}");
        }
    }

    #[test]
    fn names_stay_below_proc_sys() {
        assert_eq!(path("net.core.somaxconn").unwrap(), "net/core/somaxconn");
        assert_eq!(
            path("net/ipv4/conf/eth0.1/rp_filter").unwrap(),
            "net/ipv4/conf/eth0.1/rp_filter"
        );
        for bad in [
            "",
            ".",
            "kernel",
            "kernel..x",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a. b",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
