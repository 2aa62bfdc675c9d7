//! What is mounted.

use std::fs;
use std::io;

pub(crate) fn report() -> io::Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    mounts
        .lines()
        .map(|line| mount(line).ok_or_else(|| io::Error::other(format!("a mount: {line}"))))
        .collect()
}

/// `POINT TYPE OPTIONS`, then what the mount shares with others; numbers say nothing (`proc_pid_mountinfo(5)`).
fn mount(line: &str) -> Option<String> {
    let (place, kind) = line.split_once(" - ")?;
    let place: Vec<&str> = place.split(' ').collect();
    let [_, _, _, _, point, options, shared @ ..] = &place[..] else {
        return None;
    };
    let kind = kind.split(' ').next()?;
    let mut words = vec![*point, kind, *options];
    words.extend(
        shared
            .iter()
            .map(|field| field.split(':').next().unwrap_or(field)),
    );
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_numbers() {
        assert_eq!(
            mount("36 35 98:0 /mnt1 /mnt2 rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue").unwrap(),
            "/mnt2 ext3 rw,noatime shared master"
        );
        assert_eq!(
            mount("1 2 0:1 / / ro - erofs none ro").unwrap(),
            "/ erofs ro"
        );
        assert_eq!(mount("1 2 0:1 / / ro"), None);
    }
}
