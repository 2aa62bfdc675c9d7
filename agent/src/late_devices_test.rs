use super::*;

fn sysfs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus/platform");
    for bound in ["devices/virtio-mmio.0/driver", "drivers/virtio-mmio"] {
        fs::create_dir_all(bus.join(bound)).unwrap();
    }
    for unbound in ["devices/virtio-mmio.3", "devices/serial8250"] {
        fs::create_dir_all(bus.join(unbound)).unwrap();
    }
    directory
}

fn bound(sysfs: &tempfile::TempDir) -> Option<String> {
    fs::read_to_string(sysfs.path().join("bus/platform/drivers/virtio-mmio/bind")).ok()
}

#[test]
fn what_no_driver_has_is_bound_once_a_while_after_the_first_program() {
    let sysfs = sysfs();
    let mut devices = LateDevices::of(Some(sysfs.path().to_owned()));
    assert_eq!(devices.deadline_ns(), None);
    devices.program_started(5);
    devices.program_started(7);
    assert_eq!(devices.deadline_ns(), Some(5 + DELAY_NS));
    devices.bind();
    assert_eq!(bound(&sysfs).as_deref(), Some("virtio-mmio.3"));
    devices.program_started(9);
    assert_eq!(devices.deadline_ns(), None);
}

#[test]
fn a_machine_without_late_devices_has_no_deadline() {
    let mut devices = LateDevices::of(None);
    devices.program_started(5);
    assert_eq!(devices.deadline_ns(), None);
}

#[test]
fn shares_wait_for_their_apps() {
    let sysfs = sysfs();
    let bus = sysfs.path().join("bus/platform/devices");
    for share in ["virtio-mmio.10", "virtio-mmio.11"] {
        fs::create_dir(bus.join(share)).unwrap();
    }
    let mut devices = LateDevices::of(Some(sysfs.path().to_owned()));
    devices.wait_for_apps(2);
    devices.bind_share(1).unwrap();
    assert_eq!(bound(&sysfs).as_deref(), Some("virtio-mmio.11"));
    devices.bind();
    assert_eq!(bound(&sysfs).as_deref(), Some("virtio-mmio.3"));
    assert!(devices.bind_share(2).is_err());
}
