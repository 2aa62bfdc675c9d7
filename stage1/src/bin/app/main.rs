//! stage1's `app/add`, `app/start`, `app/stop` and `app/rm` entrypoints: one program, and its name says what it does.
//!
//! It is called in the pod's directory as `app-VERB [--debug=BOOL] [--uuid=UUID] --app=APP`, and returns when the app has done it:
//! 0; 5 for an app that is to stop and does not run (rkt); 254 and the reason for everything else.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_protocol::control::{self, MAX_REPLY, MAX_REQUEST, Order};
use bulkhead_protocol::exit::CODE_RUNTIME_FAILED;
use bulkhead_protocol::frame::{self, Decoder};
use bulkhead_protocol::mutable::{self, MAX_CALL};
use bulkhead_protocol::plan::AppName;
use bulkhead_stage1::relay::readable;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

/// The app to be stopped does not run (rkt, `stage0/app.go`).
const NOT_RUNNING: u8 = 5;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    match act(&name, arguments) {
        Ok(code) => code,
        Err(error) => {
            // The reason may be the guest's.
            eprintln!("stage1: {}", readable::line(&format!("{error:#}")));
            ExitCode::from(CODE_RUNTIME_FAILED)
        }
    }
}

fn act(name: &OsString, arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let app = parse(arguments)?;
    let verb = Path::new(name).file_name().and_then(|name| name.to_str());
    match verb {
        Some("app-add") => add(&app),
        Some("app-start") => order(&app, Order::Start),
        Some("app-stop") => order(&app, Order::Stop),
        Some("app-rm") => remove(&app),
        _ => bail!("this program is no entrypoint by the name {name:?}"),
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<AppName> {
    let mut app = None;
    for word in arguments {
        let word = word
            .to_str()
            .with_context(|| format!("argument {word:?} is not UTF-8"))?;
        match word.split_once('=') {
            Some(("--debug" | "--uuid", _)) => {}
            Some(("--app", name)) => app = Some(AppName::try_from(name.to_owned())?),
            _ => bail!("unknown argument {word:?}"),
        }
    }
    app.context("--app=APP is missing")
}

/// First the supervisor makes room, then the guest builds.
fn add(app: &AppName) -> Result<ExitCode> {
    call_supervisor(&mutable::Request::Add { app: app.clone() })?;
    let added = order(app, Order::Arrive);
    if added.is_err() {
        // The reason why there is no app is the one to tell.
        let _ = give_up(app);
    }
    added
}

fn remove(app: &AppName) -> Result<ExitCode> {
    let code = order(app, Order::Leave)?;
    give_up(app)?;
    Ok(code)
}

/// What the host has for it.
fn give_up(app: &AppName) -> Result<()> {
    call_supervisor(&mutable::Request::Remove { app: app.clone() })?;
    free_disk(app)
}

/// The machine keeps the file of an app's writable layer open, so that its bytes are given back first.
fn free_disk(app: &AppName) -> Result<()> {
    let path = PathBuf::from("scratch").join(format!("{app}.ext4"));
    let context = || format!("free {}", path.display());
    let file = match File::options().write(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.with_context(context)?,
    };
    let length = file.metadata().with_context(context)?.len();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, flags, 0, length).with_context(context)?;
    fs::remove_file(&path).with_context(context)
}

fn call_supervisor(request: &mutable::Request) -> Result<()> {
    let packet = frame::encode_packet(request, MAX_CALL).context("the request")?;
    let socket = connect_supervisor()?;
    let context = || "ask the pod's supervisor".to_owned();
    send(&socket, &packet, SendFlags::NOSIGNAL).with_context(context)?;
    let mut packet = vec![0; MAX_CALL];
    let length = loop {
        match recv(&socket, &mut packet[..], RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            received => break received.with_context(context)?.0,
        }
    };
    if length == 0 {
        bail!("the pod ended before its supervisor answered");
    }
    match frame::decode(&packet[..length]).context("what the supervisor says")? {
        mutable::Reply::HandedOn => Ok(()),
        mutable::Reply::Refused { reason } => bail!("{reason}"),
    }
}

fn connect_supervisor() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let socket = socket.context("make a socket")?;
    let address = SocketAddrUnix::new(mutable::SOCKET).context("the supervisor's socket")?;
    connect(&socket, &address).context("the pod does not run, or is not mutable")?;
    Ok(socket)
}

/// One order to the pod's relay, and its end.
fn order(app: &AppName, order: Order) -> Result<ExitCode> {
    let app = app.clone();
    let mut request = Vec::new();
    frame::encode(
        &control::Request::App { app, order },
        MAX_REQUEST,
        &mut request,
    )
    .context("the request")?;
    let mut relay = UnixStream::connect(control::SOCKET).context("the pod does not run")?;
    // A relay that has hung up already has said why.
    let _ = relay.write_all(&request);
    let mut decoder = Decoder::new(MAX_REPLY);
    let mut buffer = [0; MAX_REPLY];
    loop {
        match decoder.take().context("what the relay says")? {
            Some(control::Reply::Done) => return Ok(ExitCode::SUCCESS),
            Some(control::Reply::NotRunning) => return Ok(ExitCode::from(NOT_RUNNING)),
            Some(control::Reply::Refused { reason }) => bail!("{reason}"),
            Some(
                control::Reply::Offer { .. }
                | control::Reply::Started
                | control::Reply::Ended { .. },
            ) => {
                bail!("the relay answers what was not asked")
            }
            None => {}
        }
        match relay.read(&mut buffer) {
            Ok(0) => bail!("the pod ended before it was done"),
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("hear the pod's relay"),
        }
    }
}
