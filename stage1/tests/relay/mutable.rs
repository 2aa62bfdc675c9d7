//! Apps that come and go: the `app/*` entrypoints between a supervisor that is played by the test and the relay.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use bulkhead_protocol::agent::{FromAgent, Stream, ToAgent};
use bulkhead_protocol::bounded::{Blob, List, Text};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::frame;
use bulkhead_protocol::mutable::{AddApp, AddedApp, MAX_CALL, MAX_REFUSAL, Reply, Request, SOCKET};
use bulkhead_protocol::plan::{App, ImageFiles, Limits, Partition, Stdio as Planned};
use bulkhead_protocol::relay::{Destination, Outputs, ToRelay};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind,
    listen, recv, send, socket_with,
};

use crate::players::{Agent, Pod, spec};

/// A mutable pod whose agent is there, and the socket at which its supervisor is called.
fn mutable() -> (Pod, Agent, OwnedFd) {
    let pod = Pod::start_mutable();
    let flags = SocketFlags::CLOEXEC;
    let supervisor = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bind(
        &supervisor,
        &SocketAddrUnix::new(pod.rkt().join(SOCKET)).unwrap(),
    )
    .unwrap();
    listen(&supervisor, 1).unwrap();
    let mut agent = pod.agent();
    agent.hello();
    while !matches!(agent.next(), ToAgent::Pod { .. }) {}
    (pod, agent, supervisor)
}

/// The entrypoint, in the pod's directory.
fn entrypoint(pod: &Pod, verb: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stage1-app"))
        .arg0(format!("/rootfs/app-{verb}"))
        .args(["--debug=false", "--app=web"])
        .current_dir(pod.rkt())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn well() -> (Option<i32>, String) {
    (Some(0), String::new())
}

/// Answers the one call that comes, after this.
fn answer(supervisor: &OwnedFd, before: impl FnOnce(), reply: &Reply) {
    let caller = accept(supervisor).unwrap();
    let mut packet = vec![0; MAX_CALL];
    let (length, _) = recv(&caller, &mut packet[..], RecvFlags::empty()).unwrap();
    let request = frame::decode(&packet[..length]).unwrap();
    let (Request::Add { app } | Request::Remove { app }) = request;
    assert_eq!(app.as_str(), "web");
    before();
    let packet = frame::encode_packet(reply, MAX_CALL).unwrap();
    send(&caller, &packet, SendFlags::empty()).unwrap();
}

fn add_web() -> ToRelay {
    let process = spec(&["web"], Planned::Pipes { stdin: false }).processes[0].clone();
    let manifest = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11",
            "apps":[{{"name":"web","image":{{"id":"sha512-{}"}}}}]}}"#,
        "0f".repeat(64)
    );
    let image = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/web"}"#;
    ToRelay::AddApp(Box::new(AddApp {
        added: AddedApp {
            number: 0,
            app: App {
                name: process.app.clone(),
                image: ImageFiles::Layers(List::default()),
                scratch: Partition {
                    start: 0,
                    length: 4096,
                },
                read_only_root: false,
                mounts: List::default(),
                masked_paths: List::default(),
                read_only_paths: List::default(),
                limits: Limits::default(),
                exported: false,
            },
            images: List::default(),
            empty_volumes: List::default(),
        },
        process,
        outputs: Outputs::both(Destination::Log),
        manifest: Blob::try_from(manifest.as_bytes()).unwrap(),
        image_manifest: Blob::try_from(image.as_bytes()).unwrap(),
    }))
}

fn added(agent: &mut Agent, failure: Option<&str>) {
    while !matches!(agent.next(), ToAgent::AddApp(_)) {}
    let failure = failure.map(|text| Text::try_from(text).unwrap());
    agent.send(&FromAgent::AppAdded { app: 0, failure });
}

#[test]
fn an_app_comes_runs_stops_and_goes_and_its_files_tell() {
    let (mut pod, mut agent, supervisor) = mutable();
    let files = |pod: &Pod| {
        let entries = std::fs::read_dir(pod.rkt().join("status")).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let add = entrypoint(&pod, "add");
    answer(&supervisor, || pod.command(&add_web()), &Reply::HandedOn);
    added(&mut agent, None);
    assert_eq!(ended(add), well());
    assert_eq!(files(&pod), ["web-created"]);
    assert_eq!(ended(entrypoint(&pod, "stop")).0, Some(5));
    let start = entrypoint(&pod, "start");
    let process = agent.expect_start();
    agent.started(process.id.0);
    assert_eq!(ended(start), well());
    assert_eq!(files(&pod), ["web-created", "web-started"]);
    agent.data(process.id.0, Stream::Stdout, 0, b"hello\n");
    assert_eq!(pod.read_output(11), "web: hello\n");
    let stop = entrypoint(&pod, "stop");
    while !matches!(agent.next(), ToAgent::Signal { signal: 15, .. }) {}
    agent.end_process(process.id.0, 6, 0, Exit::Code(4));
    assert_eq!(ended(stop), well());
    assert_eq!(pod.status("web"), "4");
    let remove = entrypoint(&pod, "rm");
    while !matches!(agent.next(), ToAgent::RemoveApp { app: 0 }) {}
    let failure = None;
    agent.send(&FromAgent::AppRemoved { app: 0, failure });
    answer(&supervisor, || {}, &Reply::HandedOn);
    assert_eq!(ended(remove), well());
    assert_eq!(files(&pod), Vec::<String>::new());
    // One that is not there has gone already.
    let again = entrypoint(&pod, "rm");
    answer(&supervisor, || {}, &Reply::HandedOn);
    assert_eq!(ended(again), well());
}

#[test]
fn who_refuses_says_why_be_it_the_supervisor_or_the_guest() {
    let (mut pod, mut agent, supervisor) = mutable();
    let add = entrypoint(&pod, "add");
    let reason = Text::<MAX_REFUSAL>::try_from("no room").unwrap();
    answer(&supervisor, || {}, &Reply::Refused { reason });
    assert_eq!(ended(add), (Some(254), "stage1: no room\n".to_owned()));
    let scratch = pod.rkt().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    std::fs::write(scratch.join("web.ext4"), [1; 8192]).unwrap();
    let add = entrypoint(&pod, "add");
    answer(&supervisor, || pod.command(&add_web()), &Reply::HandedOn);
    added(&mut agent, Some("no\x1b[2Jpartition"));
    answer(&supervisor, || {}, &Reply::HandedOn);
    let (code, said) = ended(add);
    assert_eq!(code, Some(254));
    assert_eq!(said, "stage1: no\u{fffd}[2Jpartition\n");
    // Its writable layer goes with it.
    assert!(!scratch.join("web.ext4").exists());
    let (code, said) = ended(entrypoint(&pod, "start"));
    assert_eq!(
        (code, said.as_str()),
        (Some(254), "stage1: the pod has no app web\n")
    );
}
