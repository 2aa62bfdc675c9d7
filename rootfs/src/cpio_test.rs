use super::*;
use proptest::prelude::*;
use std::process::{Command, Stdio};

/// Lists an archive with the system's cpio: mode, owner, size and name of each member.
fn listing(archive: &[u8]) -> Vec<String> {
    let mut child = Command::new("cpio")
        .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(archive).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn cpio_reads_every_kind_of_member() {
    let mut writer = Writer::new(Vec::new());
    writer.directory("dev", 0o755).unwrap();
    writer
        .character_device("dev/console", 0o600, (5, 1))
        .unwrap();
    writer.file("init", 0o755, b"12345").unwrap();
    assert_eq!(
        listing(&writer.finish().unwrap()),
        [
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
            "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
            "-rwxr-xr-x 1 0 0 5 Jan 1 1970 init",
        ]
    );
}

proptest! {
    #[test]
    fn members_are_aligned_and_whole(
        name in "[a-z]{1,40}",
        contents in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut writer = Writer::new(Vec::new());
        writer.file(&name, 0o644, &contents).unwrap();
        let archive = writer.finish().unwrap();
        prop_assert_eq!(archive.len() % ALIGNMENT, 0);
        let start = (HEADER_BYTES + name.len() + 1).next_multiple_of(ALIGNMENT);
        prop_assert_eq!(&archive[start..start + contents.len()], &contents[..]);
        let next = (start + contents.len()).next_multiple_of(ALIGNMENT);
        prop_assert_eq!(&archive[next..next + MAGIC.len()], MAGIC.as_bytes());
    }
}
