//! Apps that say themselves when they are ready.

use std::fs;
use std::path::PathBuf;

use bulkhead_tests::images::{busybox_oci, python_docker_archive};
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, Finished, Running, data, own_data, pod};
use crate::service::Manager;

const SAYS_SO: &str = "--annotation=appc.io/executor/supports-systemd-notify=true";

/// Says `READY=1` when there is a file `/go`: before that what is no such word, and after it what nobody hears.
const APP: &str = "\
import os, signal, socket, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])
to.send(b'STATUS=READY=1')
to.send(b'READY=1\\n' + 8192 * b'x')
print('begun', flush=True)
while not os.path.exists('/go'): time.sleep(0.1)
to.send(b'STATUS=up\\nREADY=1')
for _ in range(100): to.send(b'WATCHDOG=1')
print('talked on', flush=True)
while True: time.sleep(0.1)
";

/// Says `READY=1` in the names of all apps whose sockets it can find.
const LIAR: &str = "\
import signal, socket, os, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
lied = 0
while lied == 0:
    names = [line.split()[-1] for line in open('/proc/net/unix') if '@' in line]
    for name in names:
        try: lied += to.sendto(b'READY=1', '\\0' + name[1:])
        except OSError: pass
    time.sleep(0.1)
print('lied', flush=True)
while True: time.sleep(0.1)
";

/// A pod that runs, and the link in its directory that says that it is ready.
struct Pod {
    running: Running,
    uuid: String,
    directory: tempfile::TempDir,
}

impl Pod {
    fn start(call: Call, until: &str) -> Self {
        let directory = own_data();
        let file = directory.path().join("uuid");
        let flag = format!("--uuid-file-save={}", file.display());
        let running = call.pod_flag(flag).start().wait_for(until);
        let uuid = fs::read_to_string(file).expect("the UUID");
        Self {
            running,
            uuid: uuid.trim().to_owned(),
            directory,
        }
    }

    fn link(&self) -> PathBuf {
        let pod = data().join("pods/run").join(&self.uuid);
        pod.join("stage1/rootfs/rkt/supervisor-status")
    }

    fn is_ready(&self) -> bool {
        fs::read_link(self.link()).is_ok()
    }

    /// Lets the app go on.
    fn go(&self) {
        enter(&["--app=web", &self.uuid, "/bin/touch", "/go"]);
    }

    fn wait_ready(&self) -> Call {
        Call::of(&["status", "--wait-ready", &self.uuid]).data(data())
    }
}

fn enter(words: &[&str]) -> Finished {
    let flag = format!("--dir={}", data().display());
    let words = [&[&flag, "enter"], words].concat();
    Call::of(&words).run().exits(0)
}

fn python(name: &str, script: &str) -> Call {
    pod(&python_docker_archive())
        .name(name)
        .args(["-c", script])
}

#[test]
fn a_pod_is_ready_when_its_app_says_so() {
    let manager = Manager::new();
    let call = manager.starts(python("web", APP).flag(SAYS_SO));
    let pod = Pod::start(call, "begun");
    assert!(!pod.is_ready());
    let waiting = pod.wait_ready().start();
    pod.go();
    manager.hears("READY=1\n");
    waiting.finish().exits(0).shows("state=running\n");
    assert!(pod.is_ready());
    let running = pod.running.wait_for("talked on").signal(Signal::SIGTERM);
    manager.hears("STOPPING=1\n");
    running.finish().exits(0);
    manager.hears_nothing_more();
    drop(pod.directory);
}

#[test]
fn no_app_says_it_for_another() {
    let manager = Manager::new();
    let two = python("web", APP)
        .flag(SAYS_SO)
        .app(python_docker_archive())
        .name("liar")
        .args(["-c", LIAR]);
    let pod = Pod::start(manager.starts(two), "lied");
    // The agent hears messages in order: when the app has said it, the lie was heard.
    assert!(!pod.is_ready());
    let waiting = pod.wait_ready().start();
    pod.go();
    waiting.finish().exits(0);
    manager.hears("READY=1\n");
    pod.running.signal(Signal::SIGTERM).finish().exits(0);
}

#[test]
fn an_app_that_ends_without_a_word_was_never_ready() {
    let manager = Manager::new();
    let quiet = pod(&busybox_oci()).flag(SAYS_SO).exec("/bin/true");
    manager.starts(quiet).run().exits(0);
    manager.hears_nothing_more();
}

#[test]
fn only_the_app_s_own_program_has_the_socket() {
    let pod = Pod::start(python("web", APP).flag(SAYS_SO), "begun");
    let entered = enter(&[&pod.uuid, "/usr/bin/env"]);
    assert!(
        !entered.text().contains("NOTIFY_SOCKET"),
        "{}",
        entered.text()
    );
    pod.running.signal(Signal::SIGTERM).finish().exits(0);
}
