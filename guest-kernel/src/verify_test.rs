use super::*;

const CONFIG: &str = "\
#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_SMP=y
CONFIG_NR_CPUS=64
# CONFIG_PCI is not set
CONFIG_LSM=\"landlock\"
CONFIG_DEBUG_KERNEL=y
";

fn request(option: &str, setting: Setting) -> Request {
    Request {
        option: option.into(),
        setting,
        fragment: "boot".into(),
    }
}

fn value(text: &str) -> Setting {
    Setting::Value(text.into())
}

#[test]
fn fulfilled_requests_are_not_reported() {
    let requests = [
        request("CONFIG_SMP", value("y")),
        request("CONFIG_NR_CPUS", value("64")),
        request("CONFIG_LSM", value("\"landlock\"")),
        request("CONFIG_PCI", Setting::Off),
        request("CONFIG_NEVER_MENTIONED", Setting::Off),
    ];
    assert_eq!(verify(&requests, CONFIG), []);
}

#[test]
fn each_missed_request_is_named_with_its_fragment() {
    let requests = [
        request("CONFIG_DEBUG_KERNEL", Setting::Off),
        request("CONFIG_NR_CPUS", value("32")),
        request("CONFIG_MADE_UP", value("y")),
    ];
    let missed: Vec<_> = verify(&requests, CONFIG)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        missed,
        [
            "CONFIG_DEBUG_KERNEL: boot asks for n, it became y",
            "CONFIG_NR_CPUS: boot asks for 32, it became 64",
            "CONFIG_MADE_UP: boot asks for y, it became n",
        ]
    );
}

#[test]
fn only_options_that_are_y_count() {
    assert_eq!(options_set(CONFIG), 2);
}
