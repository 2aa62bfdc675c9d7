//! Pods under a service manager: what it hears, and a unit under the real systemd.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, data, dist, own_data, pod};
use crate::leftovers::{no_processes, processes};

/// Longer than any start.
const PATIENCE: Duration = Duration::from_secs(300);

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Says that it is ready, and ends well when it is asked to.
const WAITING: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";

/// Stands for systemd: the socket that it makes, and what comes there.
pub(crate) struct Manager {
    _directory: tempfile::TempDir,
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let directory = own_data();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self {
            _directory: directory,
            path,
            socket,
        }
    }

    /// This call is a service of this manager.
    pub(crate) fn starts(&self, call: Call) -> Call {
        call.variable("NOTIFY_SOCKET", self.path.to_str().expect("plain names"))
    }

    #[track_caller]
    pub(crate) fn hears(&self, text: &str) {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).expect("a message in time");
        assert_eq!(String::from_utf8_lossy(&message[..length]), text);
    }

    #[track_caller]
    pub(crate) fn hears_nothing_more(&self) {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut message = [0; 256];
        let heard = self.socket.recv(&mut message);
        assert!(heard.is_err(), "{}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn a_manager_hears_that_the_apps_run_and_that_they_stop() {
    let manager = Manager::new();
    let two = pod(&busybox_oci())
        .name("one")
        .shell(WAITING)
        .app(busybox_oci())
        .name("two")
        .shell(WAITING);
    let pod = manager.starts(two).start();
    manager.hears("READY=1\n");
    let pod = pod.wait_for("ready").wait_for("ready");
    let pod = pod.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1\n");
    pod.finish().exits(0);
    manager.hears_nothing_more();
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn apps_that_end_at_once_have_run_and_one_that_cannot_start_has_not() {
    let manager = Manager::new();
    let call = |program| manager.starts(pod(&busybox_oci()).exec(program));
    call("/bin/true").run().exits(0);
    manager.hears("READY=1\n");
    assert!(!call("/bin/nothing").run().succeeded());
    manager.hears_nothing_more();
}

#[test]
fn neither_apps_nor_helpers_know_of_the_manager() {
    let manager = Manager::new();
    let script = format!("env; {WAITING}");
    let pod = manager.starts(pod(&busybox_oci()).shell(&script)).start();
    manager.hears("READY=1\n");
    let pod = pod.wait_for("ready");
    let supervisor = pod.pid.to_string();
    for process in processes() {
        let pid = process.split(' ').next().expect("a process id");
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        let knows = environment.contains("NOTIFY_SOCKET");
        assert_eq!(knows, pid == supervisor, "{process}");
    }
    let finished = pod.signal(Signal::SIGTERM).finish().exits(0);
    assert!(!finished.text().contains("NOTIFY_SOCKET"));
}

#[test]
fn a_manager_that_is_not_there_is_a_warning() {
    pod(&busybox_oci())
        .variable("NOTIFY_SOCKET", "/nowhere/notify")
        .exec("/bin/true")
        .run()
        .exits(0)
        .says("nobody will hear that the pod is ready: NOTIFY_SOCKET=/nowhere/notify");
}

/// A block of the page about systemd, by its place.
pub(crate) fn documented(place: usize) -> String {
    let page = include_str!("../../docs/systemd.md");
    let block = page.split("```").nth(2 * place + 1).expect("a block");
    let (_, block) = block.split_once('\n').expect("lines");
    // The files of the units that all others come after are not there.
    block.replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n")
}

/// The unit of the documentation, with this program and these words in place of the image.
pub(crate) fn documented_unit(data: &Path, words: &str) -> String {
    let program = dist().join("bin/bulkhead").display().to_string();
    let here = format!(
        "{program} --insecure-options=image --dir={}",
        data.display()
    );
    let stage1 = std::env::var("BULKHEAD_TEST_STAGE1").unwrap_or("kvm".to_owned());
    let unit = documented(0).replace("/usr/bin/bulkhead", &here);
    unit.replace("/srv/images/web.aci", &format!("--stage1={stage1} {words}"))
}

/// Comes after the unit that starts the pod, looks at the pod's, and stops both; with its own end systemd's comes.
const LOOKING: &str = "\
[Unit]
DefaultDependencies=no
Wants=STARTED
After=STARTED
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
TimeoutStartSec=600
StandardOutput=append:DIRECTORY/seen
StandardError=inherit
FIRST
ExecStart=systemctl show -p ActiveState,Result web.service
ExecStart=systemctl stop STARTED web.service
ExecStart=systemctl show -p ActiveState,Result,ExecMainStatus web.service
";

/// A systemd that has its own of all that it would change of the machine: it mounts, names the host, and moves control groups.
const BOOT: &str = "\
mkdir \"$2\" && echo 0 > \"$2/cgroup.procs\" && mount -t tmpfs tmpfs /run || exit
exec env container=test SYSTEMD_UNIT_PATH=\"$0\" unshare --cgroup --mount sh -c '
umount --lazy /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$0\" --system --unit=looking.service' \"$1\"";

/// A control group that no systemd was in before: one that was leaves controllers on, and nothing can be put there any more.
struct Group(PathBuf);

impl Group {
    fn of(units: &Path) -> Self {
        let name = units.file_name().expect("a directory with a name");
        Self(Path::new("/sys/fs/cgroup").join(name))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The files of a control group go with it; only directories can be removed.
        let removed = Command::new("find")
            .arg(&self.0)
            .args(["-depth", "-type", "d", "-delete"])
            .status();
        assert!(removed.expect("find starts").success(), "{:?}", self.0);
    }
}

/// The pod's unit, `web.service`, is among these and runs under systemd from when this one of them was started; the line `first` is then
/// the first of who looks at it. It stops in order. Gives what was seen, and what systemd has said.
#[track_caller]
pub(crate) fn runs_and_stops_under_systemd(
    started: &str,
    first: &str,
    units: &[(&str, String)],
) -> (String, String) {
    let looking = LOOKING.replace("STARTED", started).replace("FIRST", first);
    let units = [units, &[("looking.service", looking)]].concat();
    let (seen, said) = under_systemd(&units);
    let expected = [
        "ActiveState=active",
        "ActiveState=inactive",
        "ExecMainStatus=0",
    ];
    for line in expected {
        assert!(seen.lines().any(|seen| seen == line), "{seen}\n{said}");
    }
    assert_eq!(seen.matches("Result=success").count(), 2, "{seen}\n{said}");
    (seen, said)
}

/// Boots a systemd that has these units, and gives what `looking.service` among them has seen before it ended it all; after that, what
/// systemd itself has said.
fn under_systemd(units: &[(&str, String)]) -> (String, String) {
    assert!(Path::new(SYSTEMD).exists(), "apt-get install systemd");
    let directory = own_data();
    let path = directory.path().display().to_string();
    for (name, text) in units {
        let text = text.replace("DIRECTORY", &path);
        fs::write(directory.path().join(name), text).expect("a unit");
    }
    let group = Group::of(directory.path());
    let output = Command::new("unshare")
        .args([
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--mount",
            "--mount-proc",
        ])
        .arg("--kill-child")
        .args(["sh", "-c", BOOT])
        .args([directory.path(), Path::new(SYSTEMD), &group.0])
        .output()
        .expect("unshare starts");
    let seen = fs::read_to_string(directory.path().join("seen")).unwrap_or_default();
    (seen, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_documented_unit_runs_under_systemd_and_stops_in_order() {
    let image = busybox_oci().display().to_string();
    let app = format!("{image} --exec=/bin/sh -- -c \"{WAITING}\"");
    let unit = documented_unit(data(), &app);
    runs_and_stops_under_systemd("web.service", "", &[("web.service", unit)]);
}
