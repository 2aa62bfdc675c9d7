//! Supervisor, VMM and agent as a test plays them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bulkhead_jail::{Child, Descriptor, Ended, Jail, Namespaces, Program, spawn};
use bulkhead_protocol::AGENT_PORT;
use bulkhead_protocol::agent::{Ack, Chunk, FromAgent, Session, Stream, ToAgent, WINDOW};
use bulkhead_protocol::bounded::{Blob, List, Text};
use bulkhead_protocol::control::SOCKET;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::frame::{self, Decoder, MAX_FROM_AGENT, MAX_TO_AGENT};
use bulkhead_protocol::metadata::MetadataSpec;
use bulkhead_protocol::plan::{
    AppName, Limits, NameFiles, Plan, Process, ProcessId, Stdio as PlannedStdio,
};
use bulkhead_protocol::relay::{Destination, MAX_TO_RELAY, Outputs, RelaySpec, ToRelay};
use bulkhead_protocol::vmm::{ExitReason, FromVmm, MAX_PACKET, ToVmm};
use bulkhead_stage1::relay::descriptors;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

const JAIL: Jail = Jail {
    identity: None,
    open_files: 512,
    ignored_signals: &[],
    namespaces: Namespaces::Parents,
    gains_privileges: false,
};

/// A running relay, and the other ends of all that it has.
pub(crate) struct Pod {
    relay: Option<Child>,
    commands: UnixStream,
    vmm: Option<OwnedFd>,
    input: Option<File>,
    output: Option<File>,
    errors: Option<File>,
    directory: tempfile::TempDir,
}

impl Pod {
    /// Starts the relay's program with the spec of a pod of these apps.
    pub(crate) fn start(names: &[&str], stdio: PlannedStdio) -> Self {
        Self::of(spec(names, stdio), &[])
    }

    /// The same of a pod of one app, which listens on these sockets.
    pub(crate) fn listening(listeners: &[OwnedFd]) -> Self {
        Self::of(
            spec(&["web"], PlannedStdio::Pipes { stdin: false }),
            listeners,
        )
    }

    /// The same of a pod whose apps come later.
    pub(crate) fn start_mutable() -> Self {
        let mut spec = spec(&[], PlannedStdio::Pipes { stdin: false });
        spec.mutable = true;
        spec.label_output = true;
        Self::of(spec, &[])
    }

    fn of(spec: RelaySpec, listeners: &[OwnedFd]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("status")).unwrap();
        let rkt = File::open(directory.path()).unwrap();
        let (commands, commands_end) = UnixStream::pair().unwrap();
        let flags = SocketFlags::CLOEXEC;
        let (vmm, vmm_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let (stdin, input) = pipe();
        let (output, stdout) = pipe();
        let (errors, stderr) = pipe();
        let control = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        control.set_nonblocking(true).unwrap();
        let executable = File::open(env!("CARGO_BIN_EXE_stage1-relay")).unwrap();
        let at = |number, file| Descriptor { number, file };
        let mut descriptors = vec![
            at(0, stdin.as_fd()),
            at(1, stdout.as_fd()),
            at(2, stderr.as_fd()),
            at(descriptors::COMMANDS, commands_end.as_fd()),
            at(descriptors::VMM, vmm_end.as_fd()),
            at(descriptors::RKT, rkt.as_fd()),
            at(descriptors::CONTROL, control.as_fd()),
        ];
        let numbers = descriptors::LISTENERS..;
        let listeners = numbers.zip(listeners);
        descriptors.extend(listeners.map(|(number, file)| at(number, file.as_fd())));
        let program = Program {
            executable: executable.as_fd(),
            arguments: vec![c"relay".to_owned()],
            environment: Vec::new(),
            mounts: Vec::new(),
            descriptors,
        };
        let relay = spawn(&program, &JAIL).unwrap();
        let mut pod = Self {
            relay: Some(relay),
            commands,
            vmm: Some(vmm),
            input: Some(input),
            output: Some(output),
            errors: Some(errors),
            directory,
        };
        pod.command(&ToRelay::Run(Box::new(spec)));
        pod
    }

    pub(crate) fn rkt(&self) -> &Path {
        self.directory.path()
    }

    /// `enter` with these words as the program, in the pod's directory.
    pub(crate) fn enter(&self, app: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage1-enter"));
        command
            .args(["--pid=1", &format!("--appname={app}"), "--"])
            .args(words)
            .current_dir(self.directory.path())
            .env("TERM", "ours")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `attach` with these words, in the pod's directory.
    pub(crate) fn attach(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage1-enter"));
        command
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn command(&mut self, command: &ToRelay) {
        let mut bytes = Vec::new();
        frame::encode(command, MAX_TO_RELAY, &mut bytes).unwrap();
        self.commands.write_all(&bytes).unwrap();
    }

    pub(crate) fn vmm_says(&self, message: &FromVmm, file: Option<OwnedFd>) {
        let packet = frame::encode_packet(message, MAX_PACKET).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files: Vec<_> = file.iter().map(AsFd::as_fd).collect();
        if !files.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let vmm = self.vmm.as_ref().unwrap();
        let bytes = [IoSlice::new(&packet)];
        sendmsg(vmm, &bytes, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    }

    /// What the relay asks of the VMM.
    pub(crate) fn next_for_vmm(&self) -> ToVmm {
        let mut packet = vec![0; MAX_PACKET];
        let length = rustix::io::read(self.vmm.as_ref().unwrap(), &mut packet).unwrap();
        frame::decode(&packet[..length]).unwrap()
    }

    pub(crate) fn end_machine(&mut self, reason: ExitReason, console: &[u8]) {
        let console = Blob::try_from(console).unwrap();
        self.vmm_says(&FromVmm::Exited { reason, console }, None);
    }

    pub(crate) fn drop_vmm(&mut self) {
        self.vmm = None;
    }

    /// A connection of the guest to a port of the host.
    pub(crate) fn connect(&self, port: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.vmm_says(&FromVmm::Connection { port }, Some(theirs.into()));
        ours
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent {
            socket: self.connect(AGENT_PORT),
            decoder: Decoder::new(MAX_TO_AGENT),
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            passed_over: VecDeque::new(),
        }
    }

    pub(crate) fn take_input(&mut self) -> File {
        self.input.take().unwrap()
    }

    pub(crate) fn take_output(&mut self) -> File {
        self.output.take().unwrap()
    }

    pub(crate) fn take_errors(&mut self) -> File {
        self.errors.take().unwrap()
    }

    pub(crate) fn read_output(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.output
            .as_mut()
            .unwrap()
            .read_exact(&mut bytes)
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Everything, up to the relay's end.
    pub(crate) fn read_errors(&mut self) -> String {
        let mut text = String::new();
        self.take_errors().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn status(&self, app: &str) -> String {
        let path: PathBuf = self.rkt().join("status").join(app);
        std::fs::read_to_string(path).unwrap()
    }

    pub(crate) fn ended(&mut self) -> Ended {
        self.relay.take().unwrap().wait().unwrap()
    }
}

/// The agent's end of its connection.
pub(crate) struct Agent {
    socket: UnixStream,
    decoder: Decoder,
    /// Bytes of each output of process 0.
    sent: BTreeMap<Stream, u64>,
    acknowledged: BTreeMap<Stream, u64>,
    /// Came while an acknowledgement was waited for.
    passed_over: VecDeque<ToAgent>,
}

impl Agent {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, message: &FromAgent) {
        let mut bytes = Vec::new();
        frame::encode(message, MAX_FROM_AGENT, &mut bytes).unwrap();
        self.raw(&bytes);
    }

    pub(crate) fn next(&mut self) -> ToAgent {
        match self.passed_over.pop_front() {
            Some(message) => message,
            None => self.receive(),
        }
    }

    fn receive(&mut self) -> ToAgent {
        loop {
            if let Some(message) = self.decoder.take().unwrap() {
                if let ToAgent::Ack(ack) = &message {
                    self.acknowledged.insert(ack.stream, ack.offset);
                }
                return message;
            }
            let mut bytes = [0; 4096];
            let count = self.socket.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "the relay closed the connection");
            self.decoder.push(&bytes[..count]);
        }
    }

    fn say_hello(&mut self, resume: Option<Session>) {
        self.send(&FromAgent::Hello {
            version: bulkhead_protocol::VERSION,
            resume,
            first_instruction_ns: 0,
            sent_ns: 1,
        });
    }

    pub(crate) fn hello(&mut self) {
        self.say_hello(None);
    }

    pub(crate) fn resume(&mut self, session: Session) {
        self.say_hello(Some(session));
    }

    pub(crate) fn started(&mut self, id: u32) {
        self.send(&FromAgent::Started {
            process: ProcessId(id),
            exec_ns: 1,
            sent_ns: 2,
        });
    }

    pub(crate) fn data(&mut self, id: u32, stream: Stream, offset: u64, bytes: &[u8]) {
        self.send(&FromAgent::Data(Chunk {
            process: ProcessId(id),
            stream,
            offset,
            bytes: Blob::try_from(bytes).unwrap(),
        }));
    }

    /// The next bytes of a stream, as soon as the window has room.
    pub(crate) fn stream(&mut self, id: u32, stream: Stream, bytes: &[u8]) {
        let offset = self.sent.get(&stream).copied().unwrap_or(0);
        let end = offset + u64::try_from(bytes.len()).unwrap();
        while end - self.acknowledged(stream) > WINDOW {
            let message = self.receive();
            if !matches!(message, ToAgent::Ack(_)) {
                self.passed_over.push_back(message);
            }
        }
        self.data(id, stream, offset, bytes);
        self.sent.insert(stream, end);
    }

    pub(crate) fn acknowledged(&self, stream: Stream) -> u64 {
        self.acknowledged.get(&stream).copied().unwrap_or(0)
    }

    /// Sends standard input back as standard output, up to its end, and gives its length.
    pub(crate) fn echo_until_the_end(&mut self) -> u64 {
        loop {
            let ToAgent::Data(chunk) = self.next() else {
                continue;
            };
            if chunk.bytes.is_empty() {
                return chunk.offset;
            }
            self.stream(0, Stream::Stdout, &chunk.bytes);
            self.send(&FromAgent::Ack(Ack {
                process: ProcessId(0),
                stream: Stream::Stdin,
                offset: chunk.offset + u64::try_from(chunk.bytes.len()).unwrap(),
                closed: false,
            }));
        }
    }

    /// A process ends, and its outputs after these many bytes.
    pub(crate) fn end_process(&mut self, id: u32, stdout: u64, stderr: u64, exit: Exit) {
        self.send(&exited(id, exit));
        self.data(id, Stream::Stdout, stdout, b"");
        self.data(id, Stream::Stderr, stderr, b"");
    }

    /// What is started next.
    pub(crate) fn expect_start(&mut self) -> Process {
        loop {
            if let ToAgent::Start(process) = self.next() {
                return *process;
            }
        }
    }

    pub(crate) fn expect_shutdown(&mut self) {
        while self.next() != ToAgent::Shutdown {}
    }
}

pub(crate) fn exited(id: u32, exit: Exit) -> FromAgent {
    FromAgent::Exited {
        process: ProcessId(id),
        exit,
        reason: None,
    }
}

fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

pub(crate) fn spec(names: &[&str], stdio: PlannedStdio) -> RelaySpec {
    fn text<const MAX: usize>(text: &str) -> Text<MAX> {
        Text::try_from(text).unwrap()
    }
    let processes = (0..).zip(names).map(|(id, name)| Process {
        id: ProcessId(id),
        app: AppName::try_from((*name).to_owned()).unwrap(),
        arguments: List::try_from(vec![text("/bin/app")]).unwrap(),
        pre_start: List::default(),
        post_stop: List::default(),
        environment: List::default(),
        working_directory: text("/"),
        user: text("0"),
        group: text("0"),
        groups: List::default(),
        stdio,
        capabilities: 0,
        no_new_privileges: false,
        seccomp: None,
        oom_score_adj: 0,
        rlimits: List::default(),
        says_ready: false,
        listeners: List::default(),
    });
    RelaySpec {
        plan: Plan {
            waiting_shares: 0,
            hostname: text("pod"),
            name_files: NameFiles::default(),
            settings: Vec::new().try_into().unwrap(),
            limits: Limits::default(),
            images: List::default(),
            apps: List::default(),
            empty_volumes: List::default(),
            volume_scratch: None,
            listeners: List::default(),
            disk_volumes: Vec::new().try_into().unwrap(),
        },
        manifest: Blob::try_from(&br#"{"acKind":"PodManifest","acVersion":"0.8.11"}"#[..]).unwrap(),
        metadata: MetadataSpec {
            uuid: Text::try_from("6733c088-a507-4694-aabf-fb7c31d0b9c2").unwrap(),
            token: Text::try_from("token").unwrap(),
            key: Blob::default(),
            images: List::default(),
        },
        processes: List::try_from(processes.collect::<Vec<_>>()).unwrap(),
        ready_timeout_ms: 60_000,
        stop_grace_ms: 60_000,
        power_off_grace_ms: 60_000,
        label_output: names.len() > 1,
        outputs: List::try_from(vec![Outputs::both(Destination::Log); names.len()]).unwrap(),
        interactive: names.len() == 1,
        confine_entered: false,
        mutable: false,
        debug: false,
    }
}
