//! Images of a registry: Debian's `docker-registry`, filled by skopeo.

use std::path::Path;

use bulkhead_tests::images::busybox_oci;
use bulkhead_tests::registry::Registry;

use crate::bulkhead::pod;

#[test]
fn an_image_of_a_registry_runs() {
    let registry = Registry::start().unwrap();
    let image = registry.push(&busybox_oci(), "team/busybox:v1").unwrap();
    pod(Path::new(&format!("docker://{image}")))
        .shell("echo from a registry")
        .run()
        .exits(0)
        .shows("from a registry\n");
}
