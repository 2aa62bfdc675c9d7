//! Disks of the host.

use bulkhead_protocol::plan::{DiskVolume, MAX_DISK_VOLUMES, ShownDisk};
use proptest::prelude::*;

use super::*;

const PAGE: u64 = 4096;

const fn raw(device: bool, length: u64) -> Result<Source, String> {
    Ok(Source::Raw(Raw {
        device,
        length,
        mode: 0o777,
        uid: 7,
        gid: 8,
    }))
}

/// The plan of an app with these mounts and volumes on a host that has a device of two pages, and files of a page and of odd lengths.
fn with_disks(volumes: &str, mounts: &str) -> Result<Pod, PlanError> {
    let sources = BTreeMap::from([
        ("/dev/sdb".to_owned(), raw(true, 2 * PAGE)),
        ("/dev/none".to_owned(), raw(true, 0)),
        ("/page".to_owned(), raw(false, PAGE)),
        ("/sector".to_owned(), raw(false, 512)),
        ("/odd".to_owned(), raw(false, 513)),
        ("/srv".to_owned(), Ok(Source::Directory)),
    ]);
    let mounts = format!(r#","mounts":[{mounts}]"#);
    let volumes = format!(r#","volumes":[{volumes}]"#);
    let manifest = pod(&[("web", 'a', &mounts)], &volumes);
    let images = [image(EXEC)];
    resolve(&Input {
        sources: &sources,
        ..input(&manifest, &images)
    })
}

fn refused(volume: &str) -> String {
    with_disks(volume, r#"{"volume":"v","path":"/a"}"#)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_block_device_is_a_node_with_its_owner_and_a_file_with_a_file_system_its_root() {
    let pod = with_disks(
        r#"{"name":"v","kind":"host","source":"/dev/sdb"},
           {"name":"w","kind":"disk","source":"/page","fsType":"ext4"}"#,
        r#"{"volume":"v","path":"/b"},{"volume":"w","path":"/c"},{"volume":"v","path":"/d"}"#,
    )
    .unwrap();
    let node = ShownDisk::Node {
        mode: 0o666,
        uid: 7,
        gid: 8,
    };
    let volume = |start, length, shown| DiskVolume {
        disk: 0,
        partition: Partition { start, length },
        shown,
    };
    assert_eq!(
        *pod.plan.disk_volumes,
        [
            volume(0, 2 * PAGE, node),
            volume(2 * PAGE, PAGE, ShownDisk::Ext4)
        ]
    );
    let mounts = pod.plan.apps[0].mounts.iter();
    let disks: Vec<_> = mounts
        .filter_map(|mount| match mount.source {
            MountSource::Disk { index, node } => Some((mount.target.as_str(), index, node)),
            _ => None,
        })
        .collect();
    assert_eq!(disks, [("/b", 0, true), ("/c", 1, false), ("/d", 0, true)]);
    let opened: Vec<_> = pod.disks.iter().map(|disk| disk.source.as_str()).collect();
    assert_eq!(opened, ["/dev/sdb", "/page"]);
    assert!(pod.shares.is_empty());
}

#[test]
fn read_only_disks_lie_behind_writable_ones_and_odd_ones_last() {
    let pod = with_disks(
        r#"{"name":"a","kind":"disk","source":"/sector"},
           {"name":"b","kind":"disk","source":"/page","readOnly":true},
           {"name":"c","kind":"host","source":"/dev/sdb"}"#,
        r#"{"volume":"a","path":"/a"},{"volume":"b","path":"/b"},{"volume":"c","path":"/c"}"#,
    )
    .unwrap();
    let places: Vec<_> = pod
        .plan
        .disk_volumes
        .iter()
        .map(|volume| (volume.disk, volume.partition.start))
        .collect();
    assert_eq!(places, [(0, 2 * PAGE), (1, 0), (0, 0)]);
    // Alone, they are the first.
    let pod = with_disks(
        r#"{"name":"b","kind":"disk","source":"/page","readOnly":true}"#,
        r#"{"volume":"b","path":"/b"}"#,
    )
    .unwrap();
    assert_eq!(pod.plan.disk_volumes[0].disk, 0);
    assert!(pod.disks[0].read_only);
}

#[test]
fn what_is_no_disk_is_refused_by_volume_and_path() {
    for (source, fields, problem) in [
        ("/dev/none", "", "has no bytes"),
        (
            "/odd",
            "",
            "has 513 bytes, and a disk has whole sectors of 512",
        ),
        ("/srv", "", "is a directory, and no disk"),
        (
            "/page",
            r#","fsType":"erofs""#,
            "erofs cannot be written to (readOnly=true)",
        ),
    ] {
        let volume = format!(r#"{{"name":"v","kind":"disk","source":"{source}"{fields}}}"#);
        assert_eq!(
            refused(&volume),
            format!("app web: mounts[0].path: volume v: {source}: {problem}")
        );
    }
}

#[test]
fn a_disk_is_read_only_for_all_or_for_none() {
    let manifest = pod(
        &[("web", 'a', ""), ("other", 'b', "")],
        r#","volumes":[{"name":"v","kind":"disk","source":"/page"}]"#,
    );
    let points = r#","mountPoints":[{"name":"v","path":"/a","readOnly":true}]"#;
    let image = |fields: &str| super::image(&format!("{EXEC}{fields}"));
    let sources = BTreeMap::from([("/page".to_owned(), raw(false, PAGE))]);
    let images = [image(points), image(&points.replace("true", "false"))];
    let error = resolve(&Input {
        sources: &sources,
        ..input(&manifest, &images)
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "app other: app.mountPoints[0].path: volume v is writable here and read-only elsewhere, and a disk is one of them for the whole pod (readOnly of the volume)"
    );
}

#[test]
fn a_pod_has_so_many_disks_and_no_more() {
    let count = MAX_DISK_VOLUMES + 1;
    let volumes: Vec<_> = (0..count)
        .map(|n| format!(r#"{{"name":"v{n}","kind":"disk","source":"/page"}}"#))
        .collect();
    let mounts: Vec<_> = (0..count)
        .map(|n| format!(r#"{{"volume":"v{n}","path":"/v{n}"}}"#))
        .collect();
    let error = with_disks(&volumes.join(","), &mounts.join(",")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "app web: mounts[16].path: volume v16 is one more than the 16 disks of the host that a pod can have"
    );
}

proptest! {
    #[test]
    fn no_two_disks_overlap(kinds in proptest::collection::vec((0_usize..3, any::<bool>()), 1..=MAX_DISK_VOLUMES)) {
        let sources = ["/dev/sdb", "/page", "/sector"];
        let volumes: Vec<_> = kinds.iter().enumerate().map(|(n, (source, read_only))| {
            format!(r#"{{"name":"v{n}","kind":"disk","source":"{}","readOnly":{read_only}}}"#, sources[*source])
        }).collect();
        let mounts: Vec<_> = (0..kinds.len()).map(|n| format!(r#"{{"volume":"v{n}","path":"/v{n}"}}"#)).collect();
        let pod = with_disks(&volumes.join(","), &mounts.join(",")).unwrap();
        for disk in 0..2 {
            let on_it = pod.plan.disk_volumes.iter().zip(&pod.disks).filter(|(v, _)| v.disk == disk);
            let mut parts: Vec<_> = on_it.clone().map(|(v, _)| v.partition).collect();
            parts.sort_by_key(|part| part.start);
            let mut end = 0;
            for part in parts {
                prop_assert_eq!(part.start, end);
                end += part.length;
            }
            let kinds: std::collections::BTreeSet<_> = on_it.map(|(_, host)| host.read_only).collect();
            prop_assert!(kinds.len() <= 1);
        }
    }
}
