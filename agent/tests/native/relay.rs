//! The host's side of the conversation.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bulkhead_protocol::VERSION;
use bulkhead_protocol::agent::{Ack, Chunk, FromAgent, Session, Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::frame::{Decoder, MAX_FROM_AGENT, MAX_TO_AGENT, encode};
use bulkhead_protocol::plan::{Plan, ProcessId};

/// A test that hears nothing for so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SESSION: Session = Session(*b"a session of one");

/// What a process did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Option<Exit>,
    pub(crate) reason: Option<String>,
    pub(crate) started: bool,
    pub(crate) ended_streams: Vec<Stream>,
    /// Acknowledged input.
    pub(crate) input_passed: u64,
    pub(crate) input_closed: bool,
}

impl Outcome {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("")
    }
}

pub(crate) struct Relay {
    stream: UnixStream,
    decoder: Decoder,
    pub(crate) outcomes: BTreeMap<ProcessId, Outcome>,
    /// Whether output is acknowledged as it comes.
    pub(crate) acknowledges: bool,
    pub(crate) is_down: bool,
    pub(crate) failed: Option<String>,
    /// Apps that were added or removed, or why not.
    pub(crate) changes: Vec<(u16, Option<String>)>,
    /// The session that the agent's hello named.
    pub(crate) resumed: Option<Session>,
}

impl Relay {
    /// Takes the agent's hello and welcomes it.
    pub(crate) fn greet(stream: UnixStream) -> Self {
        Self::greet_with(stream, VERSION)
    }

    /// The same, as a host that speaks this version.
    pub(crate) fn greet_with(stream: UnixStream, version: u32) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut relay = Self {
            stream,
            decoder: Decoder::new(MAX_FROM_AGENT),
            outcomes: BTreeMap::new(),
            acknowledges: true,
            is_down: false,
            failed: None,
            changes: Vec::new(),
            resumed: None,
        };
        let Some(FromAgent::Hello {
            version: agents,
            resume,
            first_instruction_ns,
            sent_ns,
        }) = relay.next()
        else {
            panic!("no hello");
        };
        assert_eq!(agents, VERSION);
        assert!(first_instruction_ns <= sent_ns);
        relay.resumed = resume;
        relay.welcome(version);
        relay
    }

    pub(crate) fn welcome(&mut self, version: u32) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        self.send(&ToAgent::Welcome {
            version,
            session: SESSION,
            entropy: vec![7; 64].try_into().unwrap(),
            realtime_ns: u64::try_from(now.as_nanos()).unwrap(),
        });
    }

    pub(crate) fn build(&mut self, plan: Plan) {
        self.send(&ToAgent::Pod {
            plan: Box::new(plan),
        });
    }

    pub(crate) fn send(&mut self, message: &ToAgent) {
        let mut bytes = Vec::new();
        encode(message, MAX_TO_AGENT, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn input(&mut self, process: u32, offset: u64, bytes: &[u8]) {
        self.send(&ToAgent::Data(Chunk {
            process: ProcessId(process),
            stream: Stream::Stdin,
            offset,
            bytes: bytes.try_into().unwrap(),
        }));
    }

    /// The next message; none when the agent hangs up.
    pub(crate) fn next(&mut self) -> Option<FromAgent> {
        loop {
            if let Some(message) = self.decoder.take().unwrap() {
                return Some(message);
            }
            let mut buffer = vec![0; 64 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) => panic!("the agent says nothing more: {error}"),
            }
        }
    }

    /// Takes one message in. Returns whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let Some(message) = self.next() else {
            return false;
        };
        match message {
            FromAgent::Hello { .. } => panic!("a second hello"),
            FromAgent::Started {
                process,
                exec_ns,
                sent_ns,
            } => {
                assert!(exec_ns <= sent_ns);
                self.outcome(process).started = true;
            }
            FromAgent::Ready { .. } => panic!("no app of these tests says that it is ready"),
            FromAgent::Exited {
                process,
                exit,
                reason,
            } => {
                // Shown when the test fails.
                println!("process {}: {exit:?} {reason:?}", process.0);
                let outcome = self.outcome(process);
                outcome.exit = Some(exit);
                outcome.reason = reason.map(|reason| reason.to_string());
            }
            FromAgent::Data(chunk) => self.take(&chunk),
            FromAgent::Ack(ack) => {
                let outcome = self.outcome(ack.process);
                outcome.input_passed = ack.offset;
                outcome.input_closed |= ack.closed;
            }
            FromAgent::ImageDamaged { .. } => panic!("nobody checks the images of these tests"),
            FromAgent::Failed { reason } => self.failed = Some(reason.to_string()),
            FromAgent::Metadata(_) => panic!("no app of these tests asks the metadata service"),
            FromAgent::Down => self.is_down = true,
            FromAgent::AppAdded { app, failure } => {
                self.changes
                    .push((app, failure.map(|text| text.to_string())));
            }
            FromAgent::AppRemoved { app, failure } => {
                self.changes
                    .push((app, failure.map(|text| text.to_string())));
            }
        }
        true
    }

    fn take(&mut self, chunk: &Chunk) {
        let outcome = self.outcome(chunk.process);
        if chunk.bytes.is_empty() {
            outcome.ended_streams.push(chunk.stream);
            return;
        }
        let bytes = match chunk.stream {
            Stream::Stdout => &mut outcome.stdout,
            Stream::Stderr => &mut outcome.stderr,
            Stream::Stdin => panic!("the agent sends input"),
        };
        // What is sent again after a lost connection overlaps.
        let known = bytes.len() - usize::try_from(chunk.offset).unwrap();
        bytes.extend_from_slice(&chunk.bytes[known.min(chunk.bytes.len())..]);
        let offset = u64::try_from(bytes.len()).unwrap();
        if self.acknowledges {
            let (process, stream) = (chunk.process, chunk.stream);
            self.send(&ToAgent::Ack(Ack {
                process,
                stream,
                offset,
                closed: false,
            }));
        }
    }

    pub(crate) fn outcome(&mut self, process: ProcessId) -> &mut Outcome {
        self.outcomes.entry(process).or_default()
    }

    /// Goes on until `done` says so.
    pub(crate) fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            assert!(
                self.step(),
                "the agent hung up: {:?} {:?}",
                self.outcomes,
                self.failed
            );
        }
    }

    /// What process `id` did, once it and its output are over.
    pub(crate) fn finish(&mut self, id: u32) -> Outcome {
        let id = ProcessId(id);
        self.until(|relay| {
            relay.outcomes.get(&id).is_some_and(|outcome| {
                outcome.exit.is_some() && outcome.ended_streams.contains(&Stream::Stdout)
            })
        });
        self.outcomes[&id].clone()
    }

    /// Ends the pod and says whether the agent did so in good order.
    pub(crate) fn shut_down(&mut self) {
        self.send(&ToAgent::Shutdown);
        while self.step() {}
        assert!(self.is_down, "{:?}", self.failed);
    }

    /// Breaks the connection.
    pub(crate) fn hang_up(self) -> BTreeMap<ProcessId, Outcome> {
        self.outcomes
    }
}
