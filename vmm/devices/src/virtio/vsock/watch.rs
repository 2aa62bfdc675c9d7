//! What epoll should watch a socket for, and what it found.

/// Names a socket to epoll; never used twice by one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What to watch a socket for, level-triggered, besides its hangup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// EPOLLIN.
    pub readable: bool,
    /// EPOLLOUT.
    pub writable: bool,
}

/// What to do with a socket in the epoll set. Every socket that was added is removed before it is closed: the
/// other end of a shared file description would keep a closed one in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Add it.
    Add(Interest),
    /// It is in the set: watch it for this instead.
    Modify(Interest),
    /// Take it out.
    Remove,
}

/// What epoll said of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// EPOLLIN.
    pub readable: bool,
    /// EPOLLOUT.
    pub writable: bool,
    /// EPOLLHUP or EPOLLERR.
    pub hangup: bool,
}
