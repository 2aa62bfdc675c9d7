use bulkhead_protocol::plan::{
    App, AppName, DiskImage, ImageFiles, Limits, NameFiles, Partition, Plan,
};
use bulkhead_protocol::verity::{RootDigest, Verity};

use super::{PlanError, Pod};
use crate::setup::Machine;

fn app(name: &str, layers: &[u16]) -> App {
    App {
        name: AppName::try_from(name.to_owned()).unwrap(),
        image: ImageFiles::Layers(layers.to_vec().try_into().unwrap()),
        scratch: Partition {
            start: 0,
            length: 4096,
        },
        read_only_root: false,
        mounts: Vec::new().try_into().unwrap(),
        masked_paths: Vec::new().try_into().unwrap(),
        read_only_paths: Vec::new().try_into().unwrap(),
        limits: Limits::default(),
        exported: false,
    }
}

fn check(apps: Vec<App>) -> Option<PlanError> {
    let plan = Plan {
        waiting_shares: 0,
        hostname: "pod".try_into().unwrap(),
        name_files: NameFiles::default(),
        settings: Vec::new().try_into().unwrap(),
        limits: Limits::default(),
        images: vec![DiskImage {
            start: 0,
            verity: Verity::new(RootDigest([0; 32]), 1).unwrap(),
        }]
        .try_into()
        .unwrap(),
        apps: apps.try_into().unwrap(),
        empty_volumes: Vec::new().try_into().unwrap(),
        volume_scratch: None,
        listeners: Vec::new().try_into().unwrap(),
        disk_volumes: Vec::new().try_into().unwrap(),
    };
    Pod::new(plan, &Machine::guest()).err()
}

#[test]
fn plans_that_make_no_sense_are_told_apart() {
    assert_eq!(check(vec![app("a", &[0]), app("b", &[0])]), None);
    let text = |apps| check(apps).unwrap().to_string();
    assert_eq!(
        text(vec![app("a", &[0]), app("a", &[0])]),
        "two apps have the name a"
    );
    assert_eq!(text(vec![app("a", &[])]), "app a has no layers");
    assert_eq!(text(vec![app("a", &[0, 1])]), "app a has image 1 of 1");
}
