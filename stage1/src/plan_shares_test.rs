//! Volumes of the host.

use super::*;

const fn file(length: u64) -> Source {
    Source::Raw(Raw {
        device: false,
        length,
        mode: 0o640,
        uid: 7,
        gid: 8,
    })
}

/// The plan of an app with these mounts on a host that has a directory, a file and a socket.
fn with_sources(mounts: &str) -> Result<Pod, PlanError> {
    let sources = BTreeMap::from([
        ("/srv".to_owned(), Ok(Source::Directory)),
        ("/etc/hosts".to_owned(), Ok(file(1234))),
        ("/run/s".to_owned(), Err("is a socket".to_owned())),
    ]);
    let volumes = r#","volumes":[{"name":"v","kind":"host","source":"/srv","recursive":false},
        {"name":"f","kind":"host","source":"/etc/hosts","readOnly":true},
        {"name":"s","kind":"host","source":"/run/s"}]"#;
    let manifest = pod(&[("web", 'a', mounts)], volumes);
    let images = [image(EXEC)];
    resolve(&Input {
        sources: &sources,
        ..input(&manifest, &images)
    })
}

#[test]
fn a_host_volume_is_a_share_and_one_more_where_it_is_read_only() {
    let pod = with_sources(
        r#","mounts":[{"volume":"v","path":"/a"},{"volume":"f","path":"/b"},{"volume":"v","path":"/c"}]"#,
    )
    .unwrap();
    let share = |volume: &str, source: &str, kind, read_only, recursive| Share {
        whose: format!("volume {volume}"),
        source: source.to_owned(),
        kind,
        read_only,
        recursive,
    };
    assert_eq!(
        pod.shares,
        [
            share("v", "/srv", ShareKind::Directory, false, false),
            share("f", "/etc/hosts", ShareKind::File, true, true),
        ]
    );
    let sources: Vec<_> = pod.plan.apps[0]
        .mounts
        .iter()
        .filter_map(|mount| match mount.source {
            MountSource::Share { index, file } => Some((mount.target.as_str(), index, file)),
            _ => None,
        })
        .collect();
    assert_eq!(
        sources,
        [("/a", 0, false), ("/b", 1, true), ("/c", 0, false)]
    );
}

#[test]
fn a_source_that_cannot_be_shared_is_refused_by_volume_and_path() {
    let mounts = r#","mounts":[{"volume":"s","path":"/x"}]"#;
    assert_eq!(
        with_sources(mounts).unwrap_err().to_string(),
        "app web: mounts[0].path: volume s: /run/s: is a socket"
    );
}
