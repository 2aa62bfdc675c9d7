//! Mistakes on the command line.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{bulkhead, pod};

#[test]
fn no_subcommand_is_2() {
    bulkhead([]).run().exits(2);
}

#[test]
fn unknown_flags_and_subcommands_are_254_and_named() {
    bulkhead(["frobnicate"]).run().exits(254).says("frobnicate");
    pod(&busybox_oci())
        .flag("--frobnicate")
        .run()
        .exits(254)
        .says("--frobnicate");
    pod(&busybox_oci())
        .pod_flag("--frobnicate")
        .run()
        .exits(254)
        .says("--frobnicate");
}

#[test]
fn run_without_an_image_is_254() {
    bulkhead(["run"])
        .run()
        .exits(254)
        .says("must provide at least one image");
}

#[test]
fn a_flag_of_an_app_before_its_image_is_254() {
    pod(&busybox_oci())
        .pod_flag("--exec=/bin/sh")
        .run()
        .exits(254)
        .says("--exec");
}

#[test]
fn values_that_make_no_sense_are_254() {
    pod(&busybox_oci())
        .flag("--memory=lots")
        .run()
        .exits(254)
        .says("--memory");
    pod(&busybox_oci())
        .flag("--memory=16m")
        .run()
        .exits(254)
        .says("--memory");
    pod(&busybox_oci())
        .flag("--cpu=-1")
        .run()
        .exits(254)
        .says("--cpu");
    pod(&busybox_oci())
        .flag("--name=Not A Name")
        .run()
        .exits(254)
        .says("--name");
    pod(&busybox_oci())
        .pod_flag("--set-env=1=2")
        .run()
        .exits(254)
        .says("--set-env");
}

#[test]
fn a_network_says_that_it_is_not_there_yet() {
    for network in ["--net=default", "--net=host", "--net"] {
        pod(&busybox_oci())
            .pod_flag(network)
            .run()
            .exits(254)
            .says("only none is supported yet")
            .does_not_say("panicked");
    }
    pod(&busybox_oci())
        .pod_flag("--net=none")
        .exec("/bin/true")
        .run()
        .exits(0);
}

#[test]
fn two_apps_of_one_name_are_254() {
    pod(&busybox_oci())
        .name("same")
        .app(busybox_oci())
        .name("same")
        .run()
        .exits(254)
        .says("same");
}

#[test]
fn interactive_is_for_one_app() {
    pod(&busybox_oci())
        .pod_flag("--interactive")
        .name("one")
        .app(busybox_oci())
        .name("two")
        .run()
        .exits(254)
        .says("--interactive");
}

#[test]
fn an_unknown_stage1_is_254_and_named() {
    pod(&busybox_oci())
        .pod_flag("--stage1=nspawn")
        .run()
        .exits(254)
        .says("nspawn");
}

#[test]
fn version_is_printed() {
    bulkhead(["version"])
        .run()
        .exits(0)
        .shows(env!("CARGO_PKG_VERSION"));
}
