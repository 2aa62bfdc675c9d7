//! Programs that exercise a file system, on volumes of the host.

use bulkhead_tests::images::exerciser_oci;

use crate::bulkhead::{Call, own_data, pod};

/// A shell script as an app with every capability, in a directory of the host.
fn on_volume(host: &std::path::Path, script: &str) -> Call {
    pod(&exerciser_oci())
        .pod_flag("--insecure-options=capabilities,seccomp")
        .pod_flag(format!("--volume=v,kind=host,source={}", host.display()))
        .flag("--mount=volume=v,target=/data")
        .flag("--working-dir=/data")
        .shell(script)
}

/// Reads, writes, mappings, truncations and syncs at random, each checked against what the file must hold.
#[test]
fn a_file_holds_what_was_done_to_it_at_random() {
    let host = own_data();
    on_volume(host.path(), "fsx -q -N 2000 -S 20261124 -P /tmp file")
        .run()
        .exits(0);
}

/// What POSIX leaves open and Linux does is asked for too.
const CONFIGURATION: &str = "[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.02
allow_remount = false
expected_failures = []
[dummy_auth]
entries = [[\"nobody\", \"nobody\"], [\"tests\", \"tests\"]]
";

/// An app makes no nodes of devices but its own, on a volume as little as elsewhere (docs/isolators.md): what begins with making one fails.
fn makes_a_device(case: &str) -> bool {
    let with_numbers = [
        "mknod::changed_times_success::char",
        "mknod::device_files::char",
    ];
    case.ends_with("::block") || with_numbers.contains(&case)
}

/// Would mount the volume anew as read-only, which is the host's to do; and a bound of links, which the file system does not tell.
fn is_left_out(case: &str) -> bool {
    case.contains("::erofs_") || case == "link::link_count_max"
}

#[test]
fn system_calls_on_files_do_what_posix_says() {
    let host = own_data();
    std::fs::write(host.path().join("configuration"), CONFIGURATION).unwrap();
    let end = on_volume(
        host.path(),
        "mkdir work /tmp/second; pjdfstest -c configuration -p /data/work -s /tmp/second; true",
    )
    .run()
    .exits(0);

    let text = end.text();
    let (mut passed, mut wrong) = (0, Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(case), Some(outcome), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        match outcome {
            "ok" if !makes_a_device(case) => passed += 1,
            "FAILED" if makes_a_device(case) => {}
            "skipped" if is_left_out(case) => {}
            "ok" | "FAILED" | "skipped" => wrong.push(line),
            _ => {}
        }
    }
    if !wrong.is_empty() || passed < 300 {
        end.fail(&format!("{passed} passed, and not as expected: {wrong:#?}"));
    }
}
