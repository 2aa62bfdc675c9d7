//! The clients of programs in the pod's apps, and of the apps themselves: who connects, asks, reads, writes and leaves.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::control::{Attach, Exec, MAX_CONNECTIONS, Reply, Request};
use bulkhead_protocol::plan::{AppName, ProcessId};
use rustix::event::PollFlags;
use rustix::net::{SocketFlags, accept_with};

use super::acceptor::Acceptor;
use super::client::{Gone, Link, Program};
use super::outputs::Source;
use super::pipes::Passed;
use crate::relay::session::{Answer, Asker, News, Session};

/// A client's number: never used twice.
type ClientId = u64;

/// What may have happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Awaited {
    Connection,
    Words(ClientId),
    Input(ClientId),
    /// Room, or the reader's end.
    Output(ClientId, Stream),
}

#[derive(Debug)]
struct Client {
    link: Link,
    /// None before it has asked for one.
    program: Option<Program>,
    /// Whether it waits for the answer to an order.
    waits: bool,
    /// Of an attached one.
    came_for_output: bool,
}

pub(super) struct Clients {
    /// None where nobody may connect.
    listener: Option<OwnedFd>,
    /// At most [`MAX_CONNECTIONS`].
    list: BTreeMap<ClientId, Client>,
    next: ClientId,
    acceptor: Acceptor,
}

impl Clients {
    pub(super) fn new(listener: Option<OwnedFd>) -> Self {
        Self {
            listener,
            list: BTreeMap::new(),
            next: 0,
            acceptor: Acceptor::default(),
        }
    }

    pub(super) fn wanted(
        &self,
        session: &Session,
        now: Duration,
    ) -> impl Iterator<Item = (Awaited, BorrowedFd<'_>, PollFlags)> {
        let mut wanted = Vec::new();
        if let Some(listener) = &self.listener
            && !self.acceptor.rests(now)
        {
            wanted.push((Awaited::Connection, listener.as_fd(), PollFlags::IN));
        }
        for (&id, client) in &self.list {
            wanted.push((Awaited::Words(id), client.link.socket(), PollFlags::IN));
            let Some(program) = &client.program else {
                continue;
            };
            let room = session.input_room(program.process);
            if let Some((stdin, flags)) = program.stdin.wanted(room) {
                wanted.push((Awaited::Input(id), stdin, flags));
            }
            for (stream, output) in [
                (Stream::Stdout, &program.stdout),
                (Stream::Stderr, &program.stderr),
            ] {
                if let Some((pipe, flags)) = output.wanted() {
                    wanted.push((Awaited::Output(id, stream), pipe, flags));
                }
            }
        }
        wanted.into_iter()
    }

    /// An input that nobody reads is closed, so that its writer knows.
    pub(super) fn drop_unwanted_inputs(&mut self, session: &Session) {
        let programs = self.list.values_mut().filter_map(|c| c.program.as_mut());
        for program in programs {
            if session.input_room(program.process).is_none() {
                program.stdin.close();
            }
        }
    }

    pub(super) fn hear(
        &mut self,
        awaited: Awaited,
        flags: PollFlags,
        session: &mut Session,
        now: Duration,
    ) {
        match awaited {
            Awaited::Connection => self.accept(now),
            Awaited::Words(id) => self.hear_words(id, session, now),
            Awaited::Input(id) => {
                if let Some(program) = self.program(id)
                    && let Some(bytes) = program.stdin.read()
                    && !(program.attached && bytes.is_empty())
                {
                    session.input(program.process, &bytes);
                }
            }
            Awaited::Output(id, stream) => {
                let Some(program) = self.program(id) else {
                    return;
                };
                if flags.contains(PollFlags::ERR) {
                    program.output(stream).close();
                    program.output(stream).note_progress(true, now);
                    if !program.attached {
                        session.client_closed(now, program.process, stream);
                    }
                } else {
                    pass_on(program, stream, session, now);
                }
            }
        }
    }

    /// What happened to the program of one that is gone is for nobody.
    pub(super) fn tell(
        &mut self,
        process: ProcessId,
        news: News,
        session: &mut Session,
        now: Duration,
    ) {
        let of = |client: &Client| {
            client
                .program
                .as_ref()
                .is_some_and(|p| p.process == process)
        };
        let Some((&id, client)) = self.list.iter_mut().find(|(_, client)| of(client)) else {
            return;
        };
        let Some(program) = &mut client.program else {
            return;
        };
        let told = match news {
            News::Started => client.link.reply(&Reply::Started),
            News::Output { stream, bytes } => {
                program.output(stream).push(&bytes);
                pass_on(program, stream, session, now);
                Ok(())
            }
            News::OutputEnd { stream } => {
                program.output(stream).end();
                Ok(())
            }
            News::Ended { exit, reason } => {
                let reason = reason.map(|reason| Text::truncated(&reason));
                client.link.reply(&Reply::Ended { exit, reason })
            }
            News::Over => Err(Gone),
        };
        if told.is_err() {
            self.leave(id, session, now);
        }
    }

    /// How an order ended. One who has gone does not need to know.
    pub(super) fn answer(&mut self, asker: Asker, answer: Answer) {
        if let Some(mut client) = self.list.remove(&asker) {
            let _ = client.answer(answer);
        }
    }

    /// An app wrote: whoever is attached to the stream gets it.
    pub(super) fn output(
        &mut self,
        source: Source,
        bytes: &[u8],
        session: &mut Session,
        now: Duration,
    ) {
        let (process, stream) = source;
        for program in self.attached_to(process) {
            program.output(stream).push(bytes);
            pass_on(program, stream, session, now);
        }
    }

    /// A stream of an app has ended.
    pub(super) fn output_end(&mut self, (process, stream): Source) {
        for program in self.attached_to(process) {
            program.output(stream).end();
        }
    }

    /// Bytes of a stream that the slowest of those attached to it has not taken.
    pub(super) fn waiting(&self, (process, stream): Source) -> usize {
        let programs = self.list.values().filter_map(|c| c.program.as_ref());
        let attached = programs.filter(|p| p.attached && p.process == process);
        attached.map(|p| p.waiting(stream)).max().unwrap_or(0)
    }

    /// When to look for those that stand still, or for others.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let programs = self.list.values().filter_map(|c| c.program.as_ref());
        let late = programs.filter_map(Program::deadline);
        late.chain(self.acceptor.deadline(now)).min()
    }

    /// Hangs up on attached clients for whom there is nothing more, and on those that stand still.
    pub(super) fn hang_up(&mut self, now: Duration) {
        let stays = |client: &Client| {
            let Some(program) = client.program.as_ref().filter(|p| p.attached) else {
                return true;
            };
            let late = program.deadline().is_some_and(|at| now >= at);
            !late && !program.is_over(client.came_for_output)
        };
        self.list.retain(|_, client| stays(client));
    }

    fn attached_to(&mut self, process: ProcessId) -> impl Iterator<Item = &mut Program> {
        let programs = self.list.values_mut().filter_map(|c| c.program.as_mut());
        programs.filter(move |p| p.attached && p.process == process)
    }

    fn program(&mut self, id: ClientId) -> Option<&mut Program> {
        self.list.get_mut(&id)?.program.as_mut()
    }

    fn accept(&mut self, now: Duration) {
        let Some(listener) = &self.listener else {
            return;
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accepted = accept_with(listener, flags);
        let Some(socket) = self.acceptor.take(accepted, now) else {
            return;
        };
        let mut link = Link::new(socket);
        if self.list.len() == MAX_CONNECTIONS {
            refuse(&mut link, &format!("{MAX_CONNECTIONS} are connected"));
            return;
        }
        let client = Client {
            link,
            program: None,
            waits: false,
            came_for_output: false,
        };
        self.list.insert(self.next, client);
        self.next += 1;
    }

    fn hear_words(&mut self, id: ClientId, session: &mut Session, now: Duration) {
        let Some(client) = self.list.get_mut(&id) else {
            return;
        };
        if client.listen(id, session, now).is_err() {
            self.leave(id, session, now);
        }
    }

    fn leave(&mut self, id: ClientId, session: &mut Session, now: Duration) {
        let client = self.list.remove(&id);
        session.asker_left(id);
        if let Some(program) = client.and_then(|client| client.program)
            && !program.attached
        {
            session.client_left(now, program.process);
        }
    }
}

impl Client {
    fn listen(&mut self, id: ClientId, session: &mut Session, now: Duration) -> Result<(), Gone> {
        self.link.receive()?;
        while let Some(request) = self.link.next()? {
            match (request, &self.program) {
                _ if self.waits => return Err(Gone),
                (Request::Exec(exec), None) => self.exec(*exec, session)?,
                (Request::App { app, order }, None) => {
                    if let Some(answer) = session.order(now, id, &app, order) {
                        return self.answer(answer);
                    }
                    self.waits = true;
                }
                (Request::Offer(app), None) => self.offer(&app, session)?,
                (Request::Attach(attach), None) => self.attach(&attach, session)?,
                (Request::Signal(signal), Some(program)) if !program.attached => {
                    session.signal(program.process, signal);
                }
                (Request::Resize(size), Some(program)) => session.resized(program.process, size),
                (_, Some(_)) | (_, None) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// The last word of a connection: one that does not take it does without.
    fn answer(&mut self, answer: Answer) -> Result<(), Gone> {
        let reply = match answer {
            Answer::Done => Reply::Done,
            Answer::NotRunning => Reply::NotRunning,
            Answer::Refused(reason) => Reply::Refused {
                reason: Text::truncated(&reason),
            },
        };
        let _ = self.link.reply(&reply);
        Err(Gone)
    }

    fn offer(&mut self, app: &AppName, session: &Session) -> Result<(), Gone> {
        match session.offer(app) {
            Ok(offer) => self.link.reply(&Reply::Offer {
                streams: offer.streams,
                terminal: offer.terminal,
            }),
            Err(refusal) => {
                refuse(&mut self.link, &refusal.to_string());
                Err(Gone)
            }
        }
    }

    fn attach(&mut self, attach: &Attach, session: &mut Session) -> Result<(), Gone> {
        let pipes = self.link.take_pipes()?;
        if pipes.len() != attach.descriptors() {
            refuse(&mut self.link, "its streams did not come along");
            return Err(Gone);
        }
        match session.attach(attach) {
            Ok(process) => {
                self.came_for_output = attach.streams.stdout || attach.streams.stderr;
                self.program = Some(Program::of_app(process, attach.streams, pipes));
                self.link.reply(&Reply::Started)
            }
            Err(refusal) => {
                refuse(&mut self.link, &refusal.to_string());
                Err(Gone)
            }
        }
    }

    fn exec(&mut self, exec: Exec, session: &mut Session) -> Result<(), Gone> {
        let pipes = self.link.take_pipes()?;
        if pipes.len() != exec.descriptors() {
            refuse(&mut self.link, "its streams did not come along");
            return Err(Gone);
        }
        match session.enter(exec) {
            Ok(process) => {
                self.program = Some(Program::new(process, pipes));
                Ok(())
            }
            Err(refusal) => {
                refuse(&mut self.link, &refusal.to_string());
                Err(Gone)
            }
        }
    }
}

/// The last word of a connection: one that does not take it does without.
fn refuse(link: &mut Link, reason: &str) {
    let reason = Text::truncated(reason);
    let _ = link.reply(&Reply::Refused { reason });
}

fn pass_on(program: &mut Program, stream: Stream, session: &mut Session, now: Duration) {
    let process = program.process;
    if program.attached {
        // How far all have come is counted elsewhere.
        let before = program.waiting(stream);
        let _ = program.output(stream).write();
        let moved = program.waiting(stream) < before;
        program.output(stream).note_progress(moved, now);
        return;
    }
    match program.output(stream).write() {
        Passed::Bytes(count) => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            session.written(now, process, stream, count);
        }
        Passed::Closed => session.client_closed(now, process, stream),
    }
}
