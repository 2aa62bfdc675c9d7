use super::super::Root;
use super::super::tests::{EXEC, SCRATCH, image, input, limited, pod};
use super::*;

/// The apps `a`, `b`, `c` of the images with these digits, added one after the other.
fn grown(digits: &[char]) -> (Grown, Vec<Added>) {
    let names = ["a", "b", "c"];
    let apps: Vec<_> = names
        .iter()
        .zip(digits)
        .map(|(n, d)| (*n, *d, ""))
        .collect();
    let mut grown = Grown::new(0);
    let mut all = Vec::new();
    for count in 1..=apps.len() {
        let manifest = pod(&apps[..count], "");
        let volume = r#","mountPoints":[{"name":"data","path":"/data"}]"#;
        let images = [image(&format!("{EXEC}{volume}"))];
        let added = grown.plan(&input(&manifest, &images), names[count - 1], None);
        let added = added.unwrap();
        grown.take(&added);
        all.push(added);
    }
    (grown, all)
}

#[test]
fn each_app_lies_behind_those_before_it() {
    let (_, apps) = grown(&['1', '2', '1']);
    let numbers: Vec<u16> = apps.iter().map(|added| added.app.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let scratch: Vec<u64> = apps
        .iter()
        .map(|added| added.app.app.scratch.start)
        .collect();
    assert_eq!(scratch, [0, 1, 2].map(|n| EMPTY_DISK + n * SCRATCH));
    let starts = |added: &Added| added.app.images.iter().map(|image| image.start).collect();
    let images: Vec<Vec<u64>> = apps.iter().map(starts).collect();
    let Root::Image { verity } = image(EXEC).root else {
        panic!("it is an image");
    };
    let (first, second) = (EMPTY_DISK, EMPTY_DISK + verity.length());
    // The third has the image of the first.
    assert_eq!(images, [vec![first], vec![second], vec![]]);
    let layers: Vec<u16> = apps
        .iter()
        .map(|added| added.app.app.image.layers()[0])
        .collect();
    assert_eq!(layers, [0, 1, 0]);
    let volumes: Vec<_> = apps
        .iter()
        .flat_map(|added| added.app.app.mounts.iter())
        .filter_map(|mount| match mount.source {
            MountSource::EmptyVolume { index } => Some(index),
            _ => None,
        })
        .collect();
    assert_eq!(volumes, [0, 1, 2]);
}

#[test]
fn a_pod_has_so_many_apps_over_its_life() {
    let mut grown = Grown::new(0);
    let manifest = pod(&[("a", '1', "")], "");
    let images = [image(EXEC)];
    for _ in 0..MAX_APPS {
        let added = grown.plan(&input(&manifest, &images), "a", None).unwrap();
        grown.take(&added);
    }
    let refused = grown.plan(&input(&manifest, &images), "a", None);
    assert!(refused.unwrap_err().to_string().contains("100 apps"));
}

#[test]
fn what_a_machine_cannot_give_any_more_is_refused() {
    let none = pod(&[], "");
    let empty = Input {
        mutable: true,
        ..input(&none, &[])
    };
    let size = resolve(&empty).unwrap().size;
    assert_eq!((size.vcpus, size.memory_mib), (1, 512));
    let manifest = pod(&[("a", '1', "")], "");
    let refusal = |image| {
        let images = [image];
        let refused = Grown::new(0).plan(&input(&manifest, &images), "a", Some(size));
        refused.err().map(|error| error.to_string())
    };
    assert_eq!(refusal(limited("448Mi", "1")), None);
    assert_eq!(
        refusal(limited("449Mi", "1")).unwrap(),
        "app a: the memory limits of the pod's apps are 470810624 bytes, and the pod's machine has 448 MiB for them"
    );
    assert_eq!(
        refusal(limited("1Mi", "2")).unwrap(),
        "app a: its CPU limit is 2000m, and the pod's machine has 1 CPUs"
    );
    let sysctl = r#","isolators":[{"name":"os/unix/sysctl","value":{"net.core.somaxconn":"9"}}]"#;
    let refused = refusal(image(&format!("{EXEC}{sysctl}"))).unwrap();
    assert!(
        refused.contains("cannot be added to a running one"),
        "{refused}"
    );
}
