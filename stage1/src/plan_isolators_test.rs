//! What becomes of isolators, of apps and of the pod.

use super::*;

/// The plan of an app with this isolator.
fn isolated(name: &str, value: &str) -> Result<Pod, PlanError> {
    one(&format!(
        r#","isolators":[{{"name":"{name}","value":{value}}}]"#
    ))
}

#[test]
fn isolators_become_limits_of_the_control_group() {
    let limits = |name, value| isolated(name, value).unwrap().plan.apps[0].limits;
    assert_eq!(limits("os/linux/cpu-shares", "512").cpu_weight, Some(50));
    let rate = r#"{"default":true,"limit":"1Mi"}"#;
    let disk = limits("resource/block-bandwidth", rate);
    assert_eq!((disk.disk_bytes, disk.disk_requests), (Some(MIB), None));
    assert_eq!(limits("resource/block-iops", rate).disk_requests, Some(MIB));
    assert_eq!(limits("resource/network-bandwidth", rate).disk_bytes, None);
}

#[test]
fn a_memory_limit_below_a_page_is_refused() {
    let error = isolated("resource/memory", r#"{"limit":"16m"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "app web: a memory limit of 16m is less than 4096 bytes"
    );
}

#[test]
fn closed_paths_are_open_when_the_user_says_so() {
    let manifest = pod(&[("web", 'a', "")], "");
    let images = [image(EXEC)];
    let mut input = input(&manifest, &images);
    let closed = resolve(&input).unwrap().plan;
    assert!(!closed.apps[0].masked_paths.is_empty());
    input.insecure.paths = true;
    let open = resolve(&input).unwrap().plan;
    assert!(open.apps[0].masked_paths.is_empty() && open.apps[0].read_only_paths.is_empty());
    assert!(open.apps[0].mounts.iter().all(|mount| !mount.read_only));
}

#[test]
fn the_pods_limits_bound_its_apps_and_size_its_machine() {
    let isolators = r#","isolators":[{"name":"resource/memory","value":{"limit":"256Mi"}},
        {"name":"resource/cpu","value":{"limit":"2"}}]"#;
    let manifest = pod(&[("a", 'a', ""), ("b", 'b', "")], isolators);
    let planned = plan(&manifest, &[limited("100Mi", "1"), image(EXEC)]).unwrap();
    assert_eq!(planned.plan.limits.memory_bytes, Some(256 * MIB));
    assert_eq!((planned.size.memory_mib, planned.size.vcpus), (320, 2));
    let error = plan(&manifest, &[image(EXEC), limited("1Gi", "1")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "app b: a memory limit of 1073741824 is more than the pod's 268435456"
    );
}

#[test]
fn kernel_parameters_come_from_the_pod_and_its_apps_and_agree() {
    let of = |value| format!(r#","isolators":[{{"name":"os/unix/sysctl","value":{{{value}}}}}]"#);
    let manifest = pod(&[("web", 'a', "")], &of(r#""net.core.somaxconn":"512""#));
    let with = |value| plan(&manifest, &[image(&format!("{EXEC}{}", of(value)))]);
    let settings = with(r#""kernel.msgmax":"9000","net.core.somaxconn":"512""#).unwrap();
    let settings = settings.plan.settings;
    let shown: Vec<_> = settings
        .iter()
        .map(|s| (s.path.as_str(), s.value.as_str()))
        .collect();
    let expected = [("kernel/msgmax", "9000"), ("net/core/somaxconn", "512")];
    assert_eq!(shown, expected);
    let problem = |value| with(value).unwrap_err().to_string();
    assert_eq!(
        problem(r#""net.core.somaxconn":"1""#),
        "app web: isolator os/unix/sysctl: net.core.somaxconn cannot be \"1\": the pod has it as \"512\""
    );
    assert_eq!(
        problem(r#""kernel/../../x":"1""#),
        "app web: isolator os/unix/sysctl: \"kernel/../../x\" is not the name of a kernel parameter"
    );
}
