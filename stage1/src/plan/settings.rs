//! Kernel parameters: the isolator `os/unix/sysctl` of the pod and of its apps. The machine has one kernel, so all apps see all of them.

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
) -> Result<List<Setting, MAX_SETTINGS>, PlanError> {
    let mut all: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for (whose, isolator) in isolators {
        let Isolator::Sysctl(parameters) = isolator else {
            continue;
        };
        add(&mut all, &whose, parameters)?;
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
    use super::path;

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
