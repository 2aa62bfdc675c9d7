//! What the kernel knows of this process, as the one that made it left it.

use std::fs;
use std::io;

/// Fields of `/proc/self/status`, in its order.
const STATUS: [&str; 16] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
];

/// Files that hold one value.
const VALUES: [&str; 6] = [
    "/proc/self/oom_score_adj",
    "/proc/self/personality",
    "/proc/self/timerslack_ns",
    "/proc/self/cgroup",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
];

const LINKS: [&str; 3] = ["/proc/self/exe", "/proc/self/cwd", "/proc/self/root"];

pub(crate) fn report() -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    lines.extend(std::env::args().map(|argument| format!("argument {argument}")));
    lines.extend(std::env::vars().map(|(name, value)| format!("variable {name}={value}")));
    for link in LINKS {
        lines.push(format!("{link} {}", fs::read_link(link)?.display()));
    }
    let status = fs::read_to_string("/proc/self/status")?;
    lines.extend(fields(&status, &STATUS));
    lines.push(session(&fs::read_to_string("/proc/self/stat")?)?);
    for file in VALUES {
        lines.push(format!("{file} {}", fs::read_to_string(file)?.trim_end()));
    }
    lines.extend(descriptors()?);
    let limits = fs::read_to_string("/proc/self/limits")?;
    lines.extend(limits.lines().skip(1).map(squeeze));
    Ok(lines)
}

/// `NAME VALUE` of each field that is named.
fn fields(status: &str, names: &[&str]) -> Vec<String> {
    let of = |line: &str| {
        let (name, value) = line.split_once(':')?;
        names
            .contains(&name)
            .then(|| squeeze(&format!("{name} {value}")))
    };
    status.lines().filter_map(of).collect()
}

/// From `/proc/self/stat`: what follows the name, which may have any bytes (`proc_pid_stat(5)`).
fn session(stat: &str) -> io::Result<String> {
    let short = || io::Error::other(format!("/proc/self/stat is too short: {stat}"));
    let id = stat.split(' ').next().ok_or_else(short)?;
    let after: Vec<&str> = stat
        .rsplit_once(')')
        .ok_or_else(short)?
        .1
        .split_whitespace()
        .collect();
    let (&[_, _, group, session, terminal], Some(nice), Some(policy)) = (
        after.first_chunk::<5>().ok_or_else(short)?,
        after.get(16),
        after.get(38),
    ) else {
        return Err(short());
    };
    let own = |number: &str| if number == id { "own" } else { "another's" };
    Ok(format!(
        "session {} group {} terminal {terminal} nice {nice} policy {policy}",
        own(session),
        own(group)
    ))
}

/// Open descriptors and what kind of thing each is; the one that reads the list is not among them.
fn descriptors() -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?;
        let target = target.to_string_lossy();
        if target.starts_with("/proc/") {
            continue;
        }
        // `pipe:[17]`: the number says nothing.
        let kind = target.split(':').next().unwrap_or(&target);
        found.push(format!(
            "descriptor {} {kind}",
            entry.file_name().to_string_lossy()
        ));
    }
    found.sort();
    Ok(found)
}

/// With one space where there are several.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nFSUid:\t5\nGroups:\t \n";
        assert_eq!(
            fields(status, &["Uid", "Groups"]),
            ["Uid 1 2 3 4", "Groups"]
        );
    }

    #[test]
    fn a_name_with_a_parenthesis_does_not_confuse_the_rest() {
        let mut fields = ["0"; 50];
        fields[..5].copy_from_slice(&["S", "1", "7", "7", "0"]);
        (fields[16], fields[38]) = ("19", "3");
        let rest = fields.join(" ");
        assert_eq!(
            session(&format!("7 (a) b) {rest}")).unwrap(),
            "session own group own terminal 0 nice 19 policy 3"
        );
        assert!(session("7 (a) S 1").is_err());
    }
}
