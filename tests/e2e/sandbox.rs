//! Pods whose apps come and go while they run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::images::{busybox_aci, busybox_oci};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::bulkhead::{Call, Finished, Running, own_data};
use crate::leftovers::no_processes;
use crate::terminal::Terminal;

/// Says that it is there and waits for the signal to end.
const WAITS: &str = "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done";

/// A pod that began without apps, in a data directory of its own.
pub(crate) struct Sandbox {
    running: Running,
    uuid: String,
    data: TempDir,
}

impl Sandbox {
    fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(flags: &[&str]) -> Self {
        Self::start_in(own_data(), flags)
    }

    pub(crate) fn start_in(data: TempDir, flags: &[&str]) -> Self {
        let file = data.path().join("uuid");
        let mut call =
            app(data.path(), &["sandbox"]).pod_flag(format!("--uuid-file-save={}", file.display()));
        let chosen = flags.iter().any(|flag| flag.starts_with("--stage1"));
        let of_run = std::env::var_os("BULKHEAD_TEST_STAGE1");
        if let Some(stage1) = of_run.filter(|_| !chosen) {
            let mut flag = OsString::from("--stage1=");
            flag.push(stage1);
            call = call.pod_flag(flag);
        }
        for flag in flags {
            call = call.pod_flag(flag);
        }
        let running = call.start();
        let uuid = loop {
            // Written before the pod is made, which is before anything that could end it.
            match fs::read_to_string(&file) {
                Ok(uuid) if uuid.ends_with('\n') => break uuid.trim().to_owned(),
                _ => std::thread::yield_now(),
            }
        };
        let sandbox = Self {
            running,
            uuid,
            data,
        };
        while !sandbox.directory().is_dir() {
            std::thread::yield_now();
        }
        sandbox
            .call(&["status", "--wait-ready", &sandbox.uuid])
            .run()
            .exits(0);
        sandbox
    }

    fn call(&self, words: &[&str]) -> Call {
        Call::of(words).data(self.data.path())
    }

    fn app(&self, words: &[&str]) -> Call {
        app(self.data.path(), words)
    }

    fn directory(&self) -> PathBuf {
        self.data.path().join("pods/run").join(&self.uuid)
    }

    /// Adds an app that runs this script.
    pub(crate) fn add(&self, name: &str, script: &str) -> Finished {
        self.add_with(name, script, &[])
    }

    fn add_with(&self, name: &str, script: &str, flags: &[&str]) -> Finished {
        self.add_image(&busybox_oci(), name, script, flags)
    }

    fn add_image(&self, image: &Path, name: &str, script: &str, flags: &[&str]) -> Finished {
        let name = format!("--name={name}");
        let mut words = vec!["add", &self.uuid, image.to_str().unwrap(), &name];
        words.extend(flags);
        words.extend(["--exec=/bin/sh", "--", "-c", script]);
        self.app(&words).run()
    }

    /// What `start`, `stop` and `rm` do to an app.
    pub(crate) fn do_to(&self, verb: &str, name: &str) -> Finished {
        let app = format!("--app={name}");
        self.app(&[verb, &self.uuid, &app]).run()
    }

    fn attach(&self, name: &str, flags: &[&str]) -> Call {
        let app = format!("--app={name}");
        self.call(&[&["attach", &app], flags, &[self.uuid.as_str()]].concat())
    }

    fn list(&self) -> Vec<(String, String)> {
        let list = self
            .app(&["list", "--no-legend", &self.uuid])
            .run()
            .exits(0);
        let row = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        };
        list.text().lines().map(row).collect()
    }

    fn status(&self, name: &str) -> Value {
        let app = format!("--app={name}");
        let words = ["status", "--format=json", &self.uuid, &app];
        let status = self.app(&words).run().exits(0);
        serde_json::from_slice(&status.stdout).unwrap()
    }

    /// Waits until an app has ended by itself, and gives its exit code.
    fn end_of(&self, name: &str) -> i64 {
        let file = self.directory().join("stage1/rootfs/rkt/status").join(name);
        while !file.exists() {
            std::thread::yield_now();
        }
        let status = self.status(name);
        assert_eq!(status["state"], "exited", "{status}");
        status["exit_code"].as_i64().unwrap()
    }

    pub(crate) fn stop(self) -> Finished {
        self.call(&["stop", &self.uuid]).run().exits(0);
        let end = self.running.finish();
        assert_eq!(no_processes(), Vec::<String>::new());
        end
    }
}

fn app(data: &Path, words: &[&str]) -> Call {
    let data = data.to_str().expect("a path of UTF-8");
    Call::of(&[&["--dir", data, "app"], words].concat())
}

fn states(states: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, state): &(&str, &str)| (name.to_string(), state.to_string());
    states.iter().map(own).collect()
}

#[test]
fn an_empty_one_is_ready_and_lives_until_it_is_stopped() {
    let sandbox = Sandbox::start();
    assert_eq!(sandbox.list(), []);
    sandbox
        .call(&["cat-manifest", &sandbox.uuid])
        .run()
        .shows("coreos.com/rkt/stage1/mutable");
    sandbox
        .call(&["enter", &sandbox.uuid])
        .run()
        .exits(254)
        .says("no apps");
    sandbox.stop().exits(0).prints("");
}

#[test]
fn an_app_is_added_started_stopped_and_started_again() {
    let sandbox = Sandbox::start();
    sandbox.add("web", WAITS).exits(0);
    assert_eq!(sandbox.list(), states(&[("web", "created")]));
    sandbox.do_to("start", "web").exits(0);
    assert_eq!(sandbox.list(), states(&[("web", "running")]));
    sandbox
        .do_to("start", "web")
        .exits(254)
        .says("runs already");
    let exec = ["exec", "--app=web", &sandbox.uuid, "cat", "/proc/1/comm"];
    sandbox.app(&exec).run().exits(0);
    let sandbox = Sandbox {
        running: sandbox.running.wait_for("web: hello"),
        ..sandbox
    };
    sandbox.do_to("stop", "web").exits(0);
    assert_eq!(sandbox.end_of("web"), 3);
    sandbox
        .do_to("stop", "web")
        .exits(254)
        .says("is not running");
    sandbox.do_to("start", "web").exits(0);
    assert_eq!(sandbox.list(), states(&[("web", "running")]));
    let end = sandbox.stop().exits(0);
    end.shows("web: bye\n").shows("web: hello\n");
}

#[test]
fn apps_come_and_go_and_their_failures_are_theirs() {
    let sandbox = Sandbox::start();
    sandbox.add("one", "echo x > /kept; exit 7").exits(0);
    sandbox.add("two", WAITS).exits(0);
    sandbox.do_to("start", "two").exits(0);
    sandbox.do_to("start", "one").exits(0);
    assert_eq!(sandbox.end_of("one"), 7);
    let all = states(&[("one", "exited"), ("two", "running")]);
    assert_eq!(sandbox.list(), all);
    // What it wrote is there when it runs again, and gone with it.
    let kept = ["exec", "--app=one", &sandbox.uuid, "cat", "/kept"];
    sandbox.app(&kept).run().exits(0).prints("x\n");
    let file = sandbox.directory().join("scratch/one.ext4");
    assert!(file.exists());
    sandbox.do_to("rm", "one").exits(0);
    assert!(!file.exists());
    assert_eq!(sandbox.list(), states(&[("two", "running")]));
    sandbox.add("one", "test ! -e /kept").exits(0);
    sandbox.do_to("start", "one").exits(0);
    assert_eq!(sandbox.end_of("one"), 0);
    // One that runs is stopped first.
    sandbox.do_to("rm", "two").exits(0);
    assert_eq!(sandbox.list(), states(&[("one", "exited")]));
    sandbox.do_to("rm", "two").exits(254).says("has no app");
    sandbox.stop().exits(0);
}

#[test]
fn what_cannot_be_added_changes_nothing() {
    let sandbox = Sandbox::start();
    sandbox.add("web", WAITS).exits(0);
    let before = sandbox.call(&["cat-manifest", &sandbox.uuid]).run().text();
    sandbox.add("web", WAITS).exits(254).says("already");
    sandbox
        .add("web-started", WAITS)
        .exits(254)
        .says("a name that ends so");
    let missing = ["add", &sandbox.uuid, "/nonexistent"];
    sandbox.app(&missing).run().exits(254).says("/nonexistent");
    let flag = ["--mount=volume=none,target=/x"];
    sandbox.add_with("x", WAITS, &flag).exits(254).says("none");
    let after = sandbox.call(&["cat-manifest", &sandbox.uuid]).run().text();
    assert_eq!(after, before);
    let image = busybox_oci();
    let words = ["add", &sandbox.uuid, image.to_str().unwrap()];
    let unknown = ["--name=unknown", "--exec=/no/such/program"];
    sandbox.app(&[&words[..], &unknown].concat()).run().exits(0);
    let start = sandbox.do_to("start", "unknown").exits(254);
    start.says("/no/such/program");
    assert_eq!(sandbox.end_of("unknown"), 203);
    sandbox.stop().exits(0);
}

#[test]
fn a_machine_has_room_for_the_limits_of_its_apps_in_a_machine() {
    let sandbox = Sandbox::start_with(&["--memory=256Mi", "--cpu=2"]);
    let fits = ["--memory=200Mi", "--cpu=2"];
    sandbox.add_with("one", "nproc", &fits).exits(0);
    let refused = sandbox.add_with("two", "nproc", &["--memory=100Mi"]);
    refused
        .exits(254)
        .says("the pod's machine has 256 MiB for them");
    let refused = sandbox.add_with("two", "nproc", &["--cpu=3"]);
    refused.exits(254).says("CPU limit");
    sandbox.do_to("start", "one").exits(0);
    assert_eq!(sandbox.end_of("one"), 0);
    sandbox.stop().exits(0).shows("one: 2\n");
}

#[test]
fn an_app_has_empty_volumes_of_its_own_and_none_of_the_host() {
    let sandbox = Sandbox::start();
    let script = "stat -c '%a %u' /data; echo x > /data/x && cat /data/x";
    for name in ["one", "two"] {
        let volume = ["--mnt-volume=data,kind=empty,target=/data,mode=0750,uid=7"];
        sandbox.add_with(name, script, &volume).exits(0);
        sandbox.do_to("start", name).exits(0);
        assert_eq!(sandbox.end_of(name), 0);
    }
    let of_host = ["--mnt-volume=srv,kind=host,source=/,target=/srv"];
    let refused = sandbox.add_with("three", script, &of_host).exits(254);
    refused
        .says("volume srv of the host")
        .says("cannot be added to a running one");
    let all = states(&[("one", "exited"), ("two", "exited")]);
    assert_eq!(sandbox.list(), all);
    let end = sandbox.stop().exits(0);
    end.shows("one: 750 7\n").shows("two: x\n");
}

#[test]
fn clients_attach_to_what_an_app_s_modes_say_at_each_of_its_starts() {
    let sandbox = Sandbox::start();
    let answers = "read line; echo got $line; echo nobody >&2";
    let modes = ["--stdin=stream", "--stderr=null"];
    sandbox.add_with("pipes", answers, &modes).exits(0);
    for line in ["first", "second"] {
        sandbox.do_to("start", "pipes").exits(0);
        let list = sandbox.attach("pipes", &["--mode=list"]).run().exits(0);
        list.prints("stdin\nstdout\n");
        let client = sandbox.attach("pipes", &["--mode=stdin,stdout"]);
        let end = client.input(format!("{line}\n")).run().exits(0);
        end.prints(&format!("got {line}\n"));
        assert_eq!(sandbox.end_of("pipes"), 0);
    }

    let script = "read line; stty size";
    let terminal = sandbox.add_with("terminal", script, &["--stdin=tty"]);
    terminal.exits(0);
    sandbox.do_to("start", "terminal").exits(0);
    let mut terminal = Terminal::open(33, 77);
    let client = terminal.run(sandbox.attach("terminal", &[]));
    terminal.write("word\r");
    terminal.wait_for("33 77");
    client.finish().exits(0);

    let end = sandbox.stop().exits(0);
    assert_eq!(end.text(), "pipes: got first\npipes: got second\n");
    end.does_not_say("nobody");
}

#[test]
fn apps_of_several_images_have_the_pod_s_names() {
    let sandbox = Sandbox::start_with(&["--hostname=box", "--hosts-entry=10.9.8.7=db"]);
    let script = "hostname; grep db /etc/hosts; echo $AC_APP_NAME";
    let images = [busybox_oci(), busybox_aci(), busybox_oci()];
    for (image, name) in images.iter().zip(["one", "two", "three"]) {
        sandbox.add_image(image, name, script, &[]).exits(0);
        sandbox.do_to("start", name).exits(0);
        assert_eq!(sandbox.end_of(name), 0);
    }
    let text = sandbox.stop().exits(0).text();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let of = |name: &str| {
        let label = format!("{name}:");
        let own = lines.iter().filter(|line| line[0] == label);
        own.map(|line| line[1..].join(" ")).collect::<Vec<_>>()
    };
    for name in ["one", "two", "three"] {
        assert_eq!(of(name), ["box", "10.9.8.7 db", name], "{text}");
    }
}

#[test]
fn what_is_left_of_a_killed_removal_is_removed() {
    let sandbox = Sandbox::start();
    sandbox.add("web", WAITS).exits(0);
    let entrypoint = |name: &str| {
        let program = sandbox.directory().join("stage1/rootfs").join(name);
        let called = Command::new(program)
            .arg("--app=web")
            .current_dir(sandbox.directory())
            .status();
        called.unwrap().code()
    };
    assert_eq!(entrypoint("app-stop"), Some(5));
    // As if whoever called it were killed then.
    assert_eq!(entrypoint("app-rm"), Some(0));
    assert_eq!(sandbox.list(), states(&[("web", "unknown")]));
    assert_eq!(entrypoint("app-start"), Some(254));
    sandbox.do_to("rm", "web").exits(0);
    sandbox.add("web", WAITS).exits(0);
    assert_eq!(sandbox.list(), states(&[("web", "created")]));
    sandbox.stop().exits(0);
}

#[test]
fn a_killed_supervisor_leaves_a_pod_that_is_collected() {
    let sandbox = Sandbox::start();
    sandbox.add("web", WAITS).exits(0);
    sandbox.do_to("start", "web").exits(0);
    let end = sandbox.running.signal(Signal::SIGKILL).finish();
    end.dies_of(Signal::SIGKILL);
    assert_eq!(no_processes(), Vec::<String>::new());
    let call = |words: &[&str]| Call::of(words).data(sandbox.data.path());
    let start = ["app", "start", "--app=web", &sandbox.uuid];
    call(&start).run().exits(254).says("it is exited");
    call(&["gc", "--grace-period=0"]).run().exits(0);
    let status = call(&["status", &sandbox.uuid]).run();
    status.exits(254).says("no pod has the UUID");
}

#[test]
fn the_metadata_service_knows_the_apps_that_are_there() {
    let sandbox = Sandbox::start();
    let script = "wget -q -O - $AC_METADATA_URL/acMetadata/v1/pod/manifest \\
        | grep -o '\"name\":\"[a-z]*\",\"image\"'";
    sandbox.add("other", WAITS).exits(0);
    sandbox.add("asks", script).exits(0);
    sandbox.do_to("start", "asks").exits(0);
    assert_eq!(sandbox.end_of("asks"), 0);
    sandbox.do_to("rm", "other").exits(0);
    sandbox.do_to("start", "asks").exits(0);
    assert_eq!(sandbox.end_of("asks"), 0);
    let text = sandbox.stop().exits(0).text();
    let lines = |name: &str| text.matches(&format!("\"name\":\"{name}\"")).count();
    assert_eq!((lines("other"), lines("asks")), (1, 2), "{text}");
}

#[test]
fn only_a_mutable_pod_that_runs_takes_apps() {
    let data = own_data();
    let file = data.path().join("uuid");
    let running = crate::bulkhead::pod(&busybox_oci())
        .data(data.path())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell(WAITS)
        .start()
        .wait_for("hello");
    let uuid = fs::read_to_string(&file).unwrap();
    let image = busybox_oci();
    let add = ["add", uuid.trim(), image.to_str().unwrap()];
    app(data.path(), &add)
        .run()
        .exits(254)
        .says("is not mutable");
    running.signal(Signal::SIGTERM).finish().exits(3);
    app(data.path(), &add).run().exits(254).says("it is exited");
}

#[test]
fn many_come_one_after_the_other() {
    let sandbox = Sandbox::start();
    for _ in 0..12 {
        sandbox.add("job", "echo done").exits(0);
        sandbox.do_to("start", "job").exits(0);
        assert_eq!(sandbox.end_of("job"), 0);
        sandbox.do_to("rm", "job").exits(0);
    }
    let end = sandbox.stop().exits(0);
    assert_eq!(end.text(), "job: done\n".repeat(12));
}

#[test]
fn two_who_add_one_app_at_a_time_do_not_disturb_each_other() {
    let sandbox = Sandbox::start();
    let image = busybox_oci();
    let words = ["add", &sandbox.uuid, image.to_str().unwrap(), "--name=web"];
    let both = [(); 2].map(|()| sandbox.app(&words).start());
    let ends = both.map(Running::finish);
    let added = ends.iter().filter(|end| end.succeeded()).count();
    assert_eq!(added, 1);
    for end in ends.into_iter().filter(|end| !end.succeeded()) {
        end.exits(254).says("already");
    }
    assert_eq!(sandbox.list(), states(&[("web", "created")]));
    sandbox.stop().exits(0);
}
