use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::fixture_test::{Data, uuid};
use crate::lifecycle::Phase;

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn app() -> AcName {
    "web".parse().unwrap()
}

#[test]
fn a_pod_that_ran_tells_all() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    fs::write(path.join("pid"), "4711").unwrap();
    fs::write(path.join("stage1/rootfs/rkt/status/web"), "143\n").unwrap();
    let pod = data.find(uuid("a"));
    assert_eq!(pod.manifest().unwrap().unwrap().apps[0].name, app());
    assert_eq!(
        pod.image_manifest(&app()).unwrap().name.as_str(),
        "example.com/web"
    );
    let modified = |file: &str| fs::metadata(path.join(file)).unwrap().modified().unwrap();
    assert_eq!(pod.created().unwrap(), Some(modified("pod-created")));
    let process = pod.process().unwrap().unwrap();
    assert_eq!((process.pid, process.started), (4711, modified("pid")));
    let exit = pod.app_exit(&app()).unwrap().unwrap();
    assert_eq!(
        (exit.code, exit.time),
        (143, modified("stage1/rootfs/rkt/status/web"))
    );
}

#[test]
fn what_has_not_happened_yet_is_not_there() {
    let data = Data::new();
    let path = data.pod(Phase::Prepare, uuid("a"));
    fs::remove_file(path.join("pod")).unwrap();
    fs::remove_file(path.join("pod-created")).unwrap();
    let pod = data.find(uuid("a"));
    assert!(pod.manifest().unwrap().is_none());
    assert_eq!(
        (pod.created().unwrap(), pod.process().unwrap()),
        (None, None)
    );
    assert_eq!(pod.app_exit(&app()).unwrap(), None);
    assert!(!pod.is_ready());
}

#[test]
fn the_parent_s_process_id_is_as_good() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    fs::write(path.join("ppid"), "12").unwrap();
    assert_eq!(data.find(uuid("a")).process().unwrap().unwrap().pid, 12);
}

#[test]
fn a_parent_s_child_is_the_one_to_enter() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    fs::write(path.join("ppid"), std::process::id().to_string()).unwrap();
    let process = data.find(uuid("a")).process().unwrap().unwrap();
    assert!(process.is_parent);
    // Nobody's children.
    let none = PodProcess {
        pid: i32::MAX,
        ..process
    };
    assert_eq!(none.to_enter().unwrap(), None);
    let own = PodProcess {
        is_parent: false,
        ..none
    };
    assert_eq!(own.to_enter().unwrap(), Some(i32::MAX));
    let parent = std::process::Command::new("sh")
        .args(["-c", "sleep 600 & echo; wait"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut parent = parent.unwrap();
    let mut line = [0];
    std::io::Read::read_exact(parent.stdout.as_mut().unwrap(), &mut line).unwrap();
    let of_shell = PodProcess {
        pid: parent.id().try_into().unwrap(),
        ..process
    };
    let child = of_shell.to_enter().unwrap().unwrap();
    let status = fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
    assert!(status.contains(&format!(" {} ", parent.id())), "{status}");
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    parent.wait().unwrap();
}

#[test]
fn readiness_is_a_link_that_says_so() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let pod = data.find(uuid("a"));
    let link = path.join("stage1/rootfs/rkt/supervisor-status");
    symlink("elsewhere", &link).unwrap();
    assert!(!pod.is_ready());
    fs::remove_file(&link).unwrap();
    symlink("ready", &link).unwrap();
    assert!(pod.is_ready());
}

#[test]
fn files_of_the_relay_are_not_trusted() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let pod = data.find(uuid("a"));
    let status = path.join("stage1/rootfs/rkt/status");
    let file = status.join("web");
    let problem = || {
        let error = pod.app_exit(&app()).unwrap_err();
        fs::remove_file(&file).unwrap();
        causes(&error)
    };
    let read = "read its file stage1/rootfs/rkt/status/web: ";

    fs::write(path.join("secret"), "7").unwrap();
    symlink("../../../../secret", &file).unwrap();
    assert_eq!(problem(), format!("{read}a symbolic link is on the way"));
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    assert_eq!(problem(), format!("{read}it is no regular file"));
    fs::write(&file, "1".repeat(17)).unwrap();
    assert_eq!(problem(), format!("{read}it is longer than 16 bytes"));
    fs::write(&file, "12345678901").unwrap();
    assert_eq!(problem(), format!("{read}\"12345678901\" is no number"));
    fs::write(&file, b"\xff").unwrap();
    assert_eq!(problem(), format!("{read}\"\" is no number"));

    fs::write(path.join("web"), "7").unwrap();
    fs::remove_dir(&status).unwrap();
    symlink(&path, &status).unwrap();
    let error = pod.app_exit(&app()).unwrap_err();
    assert_eq!(
        causes(&error),
        format!("{read}a symbolic link is on the way")
    );
}

#[test]
fn a_file_is_read_to_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let open = crate::lock::open_directory(directory.path()).unwrap();
    let read = |length: usize, most: usize| {
        fs::write(directory.path().join("file"), vec![b'x'; length]).unwrap();
        read_below(open.as_fd(), "file", most)
    };
    for length in [0, 1, 15, 16] {
        assert_eq!(read(length, 16).unwrap().unwrap().0.len(), length);
    }
    assert!(read(17, 16).is_err() && read(1 << 20, 16).is_err());
    // Its size is not always said: here it has none, and 4 KiB to read.
    let proc = crate::lock::open_directory(std::path::Path::new(&format!(
        "/proc/{}",
        std::process::id()
    )))
    .unwrap();
    assert!(
        !read_below(proc.as_fd(), "status", 1 << 16)
            .unwrap()
            .unwrap()
            .0
            .is_empty()
    );
}

#[test]
fn a_damaged_manifest_is_named() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let pod = data.find(uuid("a"));
    fs::write(path.join("pod"), "{").unwrap();
    let error = causes(&pod.manifest().unwrap_err());
    assert!(error.starts_with("read its file pod: "), "{error}");
    fs::remove_dir_all(path.join("appsinfo")).unwrap();
    let error = causes(&pod.image_manifest(&app()).unwrap_err());
    assert_eq!(error, "its file appsinfo/web/manifest is missing");
}
