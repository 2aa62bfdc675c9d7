//! What layers do to each other, seen from inside a pod; `images::layers_oci` makes the image.

use bulkhead_tests::images::layers_oci;

use crate::bulkhead::pod;

#[track_caller]
fn in_data(script: &str, printed: &str) {
    pod(&layers_oci())
        .shell(&format!("cd /data; {script}"))
        .run()
        .exits(0)
        .prints(printed);
}

#[test]
fn whiteouts_and_replacements_apply() {
    in_data(
        "test ! -e deleted && readlink replaced; ls emptied; cat emptied/new",
        "kept\nnew\nnew",
    );
}

#[test]
fn owners_modes_times_and_links_are_kept() {
    in_data(
        "stat -c %a setuid; stat -c %u:%g owned; stat -c %Y kept; stat -c %h link; \
         test linked -ef link && readlink symlink",
        "4755\n70000:70001\n981173106\n2\nkept\n",
    );
}

#[test]
fn devices_fifos_and_names_that_are_not_utf_8_are_kept() {
    in_data(
        "test -c null && stat -c %t:%T null; test -p fifo; cat $(printf 'na\\357ve')",
        "1:3\nsecond layer\n",
    );
}
