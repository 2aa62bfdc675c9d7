//! Directories and files of the host: each is served to the machine by a process of its own, `virtiofsd`.
//!
//! That process sees the shared tree and nothing else. It starts in a mount namespace of ours, where the tree lies on a directory of
//! the pod: read-only throughout when the volume is, without device nodes or set-user-id programs. A PID namespace of ours sees to it
//! that nothing of it is left when it has ended, in whatever state it was. Its own sandbox, which stays on, then makes that directory its root, in further mount, PID and network namespaces, gives up what privileges it does not need to
//! serve files of any owner, and puts its system call filter in place.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_jail::{
    Child, Descriptor, Jail, Namespaces, Placed, Program, Tree, TreeOptions, spawn,
};
use bulkhead_protocol::plan::SHARED_FILE;
use bulkhead_stage1::plan::{Share, ShareKind};

use crate::files::open_stage1;
use crate::helpers::IGNORED_SIGNALS;

/// Below the pod's directory: for each share, what its process finds its tree on.
const DIRECTORY: &str = "shares";

/// The number of the listening socket in the process.
const LISTENER: i32 = 3;

/// One for every file that the guest's kernel remembers; fewer where the supervisor itself may not have as many.
const OPEN_FILES: u64 = 1_000_000;

/// `docs/volumes.md` has the reason of each.
const OPTIONS: [&str; 10] = [
    "--fd=3",
    "--sandbox=namespace",
    "--seccomp=kill",
    "--modcaps=-mknod:-setfcap",
    "--inode-file-handles=never",
    "--cache=auto",
    "--posix-acl=auto",
    "--xattr",
    "--allow-direct-io",
    "--rlimit-nofile=0",
];

/// A share and the process that serves it.
pub(crate) struct FileServer {
    pub(crate) whose: String,
    pub(crate) child: Child,
    /// What the machine gets. Kept here too, so that it is the machine's hanging up that ends it, and not the machine's end: then the
    /// process that exits has something to say.
    pub(crate) connection: UnixStream,
}

/// A share that nothing is served by yet: what its process will listen at, and a connection to that.
pub(crate) struct WaitingShare {
    listener: UnixListener,
    connection: UnixStream,
}

/// What the machine gets of all shares.
pub(crate) struct Shares {
    /// Of those that the pod starts with.
    pub(crate) servers: Vec<FileServer>,
    /// Of apps that come later: the shares behind those.
    pub(crate) waiting: Vec<WaitingShare>,
}

impl Shares {
    /// Of a pod that has none.
    pub(crate) fn none() -> Self {
        Self {
            servers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The machine's end of each, and whether it is served later.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (&UnixStream, bool)> {
        let servers = self
            .servers
            .iter()
            .map(|server| (&server.connection, false));
        let waiting = self.waiting.iter().map(|share| (&share.connection, true));
        servers.chain(waiting)
    }
}

/// Starts the process of each share, connects to it, and makes as many more connections as are told.
pub(crate) fn start(shares: &[Share], waiting: u8, debug: bool) -> Result<Shares> {
    if shares.is_empty() && waiting == 0 {
        return Ok(Shares::none());
    }
    make_directory(Path::new(DIRECTORY))?;
    let start = |(index, share): (usize, &Share)| serve(index, share, wait(index)?, debug);
    let servers: Result<Vec<_>> = shares.iter().enumerate().map(start).collect();
    let waiting = (shares.len()..).take(usize::from(waiting)).map(wait);
    Ok(Shares {
        servers: servers?,
        waiting: waiting.collect::<Result<_>>()?,
    })
}

/// Starts the process of a share that waits for one.
pub(crate) fn serve(
    index: usize,
    share: &Share,
    waiting: WaitingShare,
    debug: bool,
) -> Result<FileServer> {
    let whose = || format!("{}: share {}", share.whose, share.source);
    let executable = open_stage1("virtiofsd")?;
    start_one(index, share, waiting, &executable, debug).with_context(whose)
}

fn wait(index: usize) -> Result<WaitingShare> {
    let (listener, connection) = socket(index)?;
    Ok(WaitingShare {
        listener,
        connection,
    })
}

fn start_one(
    index: usize,
    share: &Share,
    waiting: WaitingShare,
    executable: &File,
    debug: bool,
) -> Result<FileServer> {
    let pod = std::env::current_dir().context("find the pod's directory")?;
    let directory = pod.join(DIRECTORY).join(index.to_string());
    make_directory(&directory)?;
    let WaitingShare {
        listener,
        connection,
    } = waiting;
    let trees = trees(share, &directory)?;
    let mounts = trees.iter().map(|(tree, target)| {
        let target = CString::new(target.as_os_str().as_bytes())?;
        Ok(Placed { tree, target })
    });
    let mut descriptors = vec![Descriptor {
        number: LISTENER,
        file: listener.as_fd(),
    }];
    if debug {
        descriptors.push(Descriptor {
            number: 2,
            file: rustix::stdio::stderr(),
        });
    }
    let program = Program {
        executable: executable.as_fd(),
        arguments: arguments(share, &directory)?,
        environment: Vec::new(),
        descriptors,
        mounts: mounts.collect::<Result<_>>()?,
    };
    let jail = Jail {
        // It serves the files of every owner, and leaves the privileges that this does not take by itself.
        identity: None,
        open_files: OPEN_FILES,
        ignored_signals: IGNORED_SIGNALS,
        // Its sandbox is a process of its own, which would outlive the first one's death while somebody has it stopped.
        namespaces: Namespaces::Pid,
        gains_privileges: false,
    };
    let child = spawn(&program, &jail).context("start virtiofsd")?;
    Ok(FileServer {
        whose: share.whose.clone(),
        child,
        connection,
    })
}

/// A listening socket, and a connection to it that waits to be accepted. Its name is gone before anybody else looks.
fn socket(index: usize) -> Result<(UnixListener, UnixStream)> {
    // Short whatever the pod's directory is: a socket's path has 108 bytes.
    let path = Path::new(DIRECTORY).join(format!("{index}.socket"));
    let listener = UnixListener::bind(&path).context("make a socket")?;
    let connection = UnixStream::connect(&path).context("connect to a socket")?;
    fs::remove_file(&path).context("remove a socket's name")?;
    Ok((listener, connection))
}

/// What the process sees, and where. A file lies in a directory that nobody can write to.
fn trees(share: &Share, directory: &Path) -> Result<Vec<(Tree, PathBuf)>> {
    let source = |options| Tree::of(Path::new(&share.source), options).context("take its mount");
    let options = TreeOptions {
        recursive: share.recursive,
        read_only: share.read_only,
        // In the guest they are what its kernel makes of them.
        privileged: false,
    };
    match share.kind {
        ShareKind::Directory | ShareKind::Root => {
            Ok(vec![(source(options)?, directory.to_owned())])
        }
        ShareKind::File => {
            let target = directory.join(SHARED_FILE);
            File::create_new(&target).with_context(|| format!("make {}", target.display()))?;
            let around = TreeOptions {
                recursive: false,
                read_only: true,
                privileged: false,
            };
            let around = Tree::of(directory, around).context("take the file's directory")?;
            Ok(vec![
                (around, directory.to_owned()),
                (source(options)?, target),
            ])
        }
    }
}

fn arguments(share: &Share, directory: &Path) -> Result<Vec<CString>> {
    let mut shared = b"--shared-dir=".to_vec();
    shared.extend(directory.as_os_str().as_bytes());
    let mut arguments = vec![CString::from(c"virtiofsd"), CString::new(shared)?];
    for option in OPTIONS {
        arguments.push(CString::new(option)?);
    }
    if share.read_only {
        arguments.push(CString::from(c"--readonly"));
    }
    Ok(arguments)
}

fn make_directory(path: &Path) -> Result<()> {
    let context = || format!("make the directory {}", path.display());
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .with_context(context)
}
