//! `kill -9` to any process of a pod, or to a command about it, at any instant: what is left `gc` understands, and after it the host
//! is as it was.
//!
//! Rounds are drawn from a seed, which is printed, and so is each round's own: that seed with one round repeats it, as far as the
//! machine's own timing lets it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bulkhead::{Call, Running, STAGE1_VARIABLE, has_machines, own_data, pod};
use crate::leftovers::{files, no_processes, processes};

/// A number that the rounds are drawn from.
const SEED_VARIABLE: &str = "BULKHEAD_CRASH_SEED";

/// How many there are.
const ROUNDS_VARIABLE: &str = "BULKHEAD_CRASH_ROUNDS";

const ROUNDS_WITH_MACHINES: u64 = 40;
const ROUNDS_WITH_CONTAINERS: u64 = 160;

/// What a start takes on a busy machine: the instant of a kill lies in it.
const SPAN_WITH_MACHINES: Duration = Duration::from_millis(3_000);
const SPAN_WITH_CONTAINERS: Duration = Duration::from_millis(700);

/// For a command about a pod that does not wait for it.
const SPAN_OF_A_COMMAND: Duration = Duration::from_millis(60);

/// For what is waited for to be seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers that follow from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).expect("few choices");
        let index = usize::try_from(self.next() % count).expect("an index");
        choices[index]
    }

    fn within(&mut self, span: Duration) -> Duration {
        let microseconds = u64::try_from(span.as_micros()).expect("a short span");
        Duration::from_micros(self.next() % microseconds)
    }
}

/// What happens in a round.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// A pod starts and runs, and one of its processes is killed.
    Run { volumes: bool, apps: usize },
    /// `prepare` is killed.
    Prepare,
    /// A prepared pod runs, and its process is killed.
    RunPrepared,
    /// A command about a running pod is killed, and then the pod.
    Running(&'static [&'static str]),
    /// A command about a pod that has exited is killed.
    Exited(&'static [&'static str]),
}

const SCENES: [Scene; 12] = [
    Scene::Run {
        volumes: false,
        apps: 1,
    },
    Scene::Run {
        volumes: false,
        apps: 1,
    },
    Scene::Run {
        volumes: true,
        apps: 1,
    },
    Scene::Run {
        volumes: true,
        apps: 1,
    },
    Scene::Run {
        volumes: true,
        apps: 2,
    },
    Scene::Prepare,
    Scene::RunPrepared,
    Scene::RunPrepared,
    Scene::Running(&["stop"]),
    Scene::Running(&["enter"]),
    Scene::Exited(&["rm"]),
    Scene::Exited(&["gc", "--grace-period=0s"]),
];

/// Who is killed while a pod starts: what `bulkhead` becomes, or what that starts. Of those that are not there, and the guest's
/// agent, which no host process can reach, the caller has the part.
const VICTIMS: [&str; 5] = ["caller", "relay", "vmm", "container", "virtiofsd"];

/// The instant of a kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    After(Duration),
    /// As soon as a pod is seen in this phase.
    Seen(&'static str),
}

/// All that a pod may make on a host.
#[derive(PartialEq, Eq)]
struct Host(BTreeSet<String>);

impl Host {
    fn now(data: &Path) -> Self {
        let mut found = BTreeSet::new();
        let mut note = |kind: &str, what: &dyn fmt::Display| {
            found.insert(format!("{kind} {what}"));
        };
        for process in no_processes() {
            note("process", &process);
        }
        for (kind, file) in [
            ("mount", "/proc/self/mountinfo"),
            ("address", "/proc/net/fib_trie"),
            ("address", "/proc/net/if_inet6"),
        ] {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().for_each(|line| note(kind, &line.trim()));
        }
        for (kind, directory) in [("group", "/sys/fs/cgroup"), ("file", "")] {
            let directory = match directory {
                "" => data,
                directory => Path::new(directory),
            };
            let all = files(directory).into_iter();
            let of_interest = all.filter(|path| kind == "file" || path.is_dir());
            of_interest.for_each(|path| note(kind, &path.display()));
        }
        for (kind, directory) in [
            ("interface", "/sys/class/net"),
            // Not /tmp: in the nested machine that of the host shines through.
            ("temporary", "/var/tmp"),
            ("temporary", "/dev/shm"),
            ("temporary", "/run"),
        ] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                note(kind, &entry.path().display());
            }
        }
        for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
            if let Ok(backing) = backing {
                note("loop device of", &backing.trim());
            }
        }
        Self(found)
    }

    #[track_caller]
    fn is_as(&self, before: &Self, round: &dyn fmt::Debug) {
        let left: Vec<_> = self.0.difference(&before.0).collect();
        let lost: Vec<_> = before.0.difference(&self.0).collect();
        assert!(
            left.is_empty() && lost.is_empty(),
            "{round:?}: left on the host: {left:#?}; lost: {lost:#?}"
        );
    }
}

/// One round.
#[derive(Debug)]
struct Round {
    /// Repeats it.
    #[expect(dead_code, reason = "for messages")]
    seed: u64,
    scene: Scene,
    victim: &'static str,
    moment: Moment,
}

impl Round {
    fn draw(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let scene = draw.one_of(&SCENES);
        let span = match scene {
            Scene::Running(_) | Scene::Exited(_) | Scene::Prepare => SPAN_OF_A_COMMAND,
            _ if has_machines() => SPAN_WITH_MACHINES,
            _ => SPAN_WITH_CONTAINERS,
        };
        let moments = [
            Moment::After(draw.within(span)),
            Moment::After(draw.within(span)),
            Moment::After(draw.within(span / 20)),
            Moment::Seen(draw.one_of(&["embryo", "prepare", "run"])),
        ];
        let moment = match (draw.one_of(&moments), scene) {
            // Commands make no pods.
            (Moment::Seen(_), Scene::Running(_) | Scene::Exited(_)) => moments[0],
            (Moment::Seen(_), Scene::Prepare) => Moment::Seen("prepare"),
            (Moment::Seen(_), Scene::RunPrepared) => Moment::Seen("run"),
            (moment, _) => moment,
        };
        Self {
            seed,
            scene,
            victim: draw.one_of(&VICTIMS),
            moment,
        }
    }

    fn play(&self, data: &Path) {
        match self.scene {
            Scene::Run { volumes, apps } => {
                let shared = tempfile::tempdir().expect("a directory");
                let volume = shared.path().display();
                let mut run = pod(&busybox_oci()).data(data).name("one").shell(STAYS);
                if volumes {
                    run = run
                        .pod_flag(format!("--volume=host,kind=host,source={volume}"))
                        .pod_flag("--volume=empty,kind=empty")
                        .flag("--mount=volume=host,target=/host")
                        .flag("--mount=volume=empty,target=/empty");
                }
                if apps == 2 {
                    run = run.app(busybox_oci()).name("two").shell(STAYS);
                }
                self.strike(run.start(), data);
            }
            Scene::Prepare => {
                self.kill(
                    about(data, &["prepare", &image(), "--exec=/bin/true"]).start(),
                    data,
                );
            }
            Scene::RunPrepared => {
                let stage1 = std::env::var(STAGE1_VARIABLE).unwrap_or("kvm".to_owned());
                let stage1 = format!("--stage1={stage1}");
                let image = image();
                let words = ["prepare", &stage1, &image, "--exec=/bin/sleep", "--", "600"];
                let uuid = about(data, &words).run().exits(0).text();
                self.strike(about(data, &["run-prepared", uuid.trim()]).start(), data);
            }
            Scene::Running(command) => {
                let file = tempfile::NamedTempFile::new().expect("a file");
                let running = pod(&busybox_oci())
                    .data(data)
                    .pod_flag(format!("--uuid-file-save={}", file.path().display()))
                    .shell(STAYS)
                    .start()
                    .wait_for("ready");
                let uuid = fs::read_to_string(file.path()).expect("the UUID");
                let mut words = command.to_vec();
                words.push(uuid.trim());
                if command == ["enter"] {
                    words.extend(["/bin/sleep", "600"]);
                }
                self.kill(about(data, &words).start(), data);
                // Stopped already, or to be killed.
                let _ = kill(running.pid, Signal::SIGKILL);
                running.finish();
            }
            Scene::Exited(command) => {
                let file = tempfile::NamedTempFile::new().expect("a file");
                pod(&busybox_oci())
                    .data(data)
                    .pod_flag(format!("--uuid-file-save={}", file.path().display()))
                    .exec("/bin/true")
                    .run()
                    .exits(0);
                let uuid = fs::read_to_string(file.path()).expect("the UUID");
                let mut words = command.to_vec();
                if command == ["rm"] {
                    words.push(uuid.trim());
                }
                self.kill(about(data, &words).start(), data);
            }
        }
    }

    /// Kills the victim, and with a signal whoever goes on without it.
    fn strike(&self, caller: Running, data: &Path) {
        self.wait(data);
        let victim = processes().into_iter().find_map(|process| {
            let (pid, program) = process.split_once(' ')?;
            let is_victim = program.ends_with(&format!("/{}", self.victim));
            is_victim.then(|| pid.parse().ok()).flatten()
        });
        match victim {
            None => return end(caller, Signal::SIGKILL),
            // It may have ended by itself.
            Some(pid) => drop(kill(Pid::from_raw(pid), Signal::SIGKILL)),
        }
        // Its pod ends with it, unless it is a file server, or the caller has just begun.
        end(caller, Signal::SIGTERM);
    }

    fn kill(&self, command: Running, data: &Path) {
        self.wait(data);
        end(command, Signal::SIGKILL);
    }

    fn wait(&self, data: &Path) {
        match self.moment {
            // The instant is the subject here.
            Moment::After(delay) => std::thread::sleep(delay),
            Moment::Seen(phase) => {
                let phase = data.join("pods").join(phase);
                let limit = Instant::now() + PATIENCE;
                // One that is never seen was too fast, and is killed late.
                while Instant::now() < limit
                    && fs::read_dir(&phase).is_ok_and(|mut pods| pods.next().is_none())
                    && (!phase.ends_with("embryo") || is_empty(&data.join("pods/run")))
                    && (!phase.ends_with("prepare")
                        || is_empty(&data.join("pods/run"))
                            && is_empty(&data.join("pods/prepared")))
                {
                    std::hint::spin_loop();
                }
            }
        }
    }
}

/// Runs until it is stopped.
const STAYS: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";

fn image() -> String {
    busybox_oci().display().to_string()
}

/// The directory comes first: what follows a pod's name may be a program's.
fn about(data: &Path, words: &[&str]) -> Call {
    let data = data.to_str().expect("a path of letters");
    Call::of(&[&["--dir", data], words].concat())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// However it ends is right.
fn end(running: Running, signal: Signal) {
    // It may have ended already.
    let _ = kill(running.pid, signal);
    running.finish();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

#[test]
fn at_any_instant_leaves_nothing_that_gc_does_not_collect() {
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| RandomState::new().hash_one(0));
    let rounds = number(ROUNDS_VARIABLE).unwrap_or(match has_machines() {
        true => ROUNDS_WITH_MACHINES,
        false => ROUNDS_WITH_CONTAINERS,
    });
    println!("{SEED_VARIABLE}={seed} {ROUNDS_VARIABLE}={rounds}");
    let own = own_data();
    let data = own.path();
    let collect = || {
        about(data, &["gc", "--grace-period=0s", "--expire-prepared=0s"])
            .run()
            .exits(0);
    };
    // What the first pod of all makes stays: the image, and the group of all pods' groups.
    pod(&busybox_oci())
        .data(data)
        .exec("/bin/true")
        .run()
        .exits(0);
    collect();
    let before = Host::now(data);
    for number in 0..rounds {
        let round = Round::draw(seed.wrapping_add(number));
        println!("round {number}: {round:?}");
        round.play(data);
        let processes = no_processes();
        assert!(processes.is_empty(), "{round:?}: {processes:?} go on");
        collect();
        Host::now(data).is_as(&before, &round);
    }
}
