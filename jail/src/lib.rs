//! One specification of a confined process, applied between fork and exec.
//!
//! A [`Program`] says what runs: an executable that is open already, its arguments, its environment and the descriptors
//! that it gets. A [`Jail`] says what the process may not do. [`spawn`] applies both and gives a [`Child`].
//!
//! What holds for every process that comes from here:
//!
//! * it has the descriptors that were named and no others, and `/dev/null` for a standard stream that was not named;
//! * its environment is what was given, empty unless something was;
//! * it can gain no privileges (`no_new_privs`) unless its jail says so, and leaves no core file;
//! * it dies when its parent does (`PDEATHSIG`), and when its [`Child`] is dropped;
//! * it is an executable of its own: no code of the parent runs in it once it is confined.
//!
//! It stays in its parent's process group, so that a terminal's job control acts on a pod as a whole.
//!
//! **Order.** Every new kind of confinement is a field of [`Jail`] and a step in `confine`, where the order of the steps
//! is explained; nothing else needs to change.

// Between fork and exec there is nothing but system calls, and a descriptor that was inherited is a bare number.
#![allow(unsafe_code)]

mod child;
mod confine;
mod inherit;
mod mounts;
mod spawn;

pub use child::{Child, Ended, WaitError};
pub use confine::Step;
pub use inherit::{InheritError, inherited};
pub use mounts::{Tree, TreeOptions};
pub use spawn::{Descriptor, Identity, Jail, Namespaces, Placed, Program, SpawnError, spawn};
