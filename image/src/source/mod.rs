//! Where an image comes from: references, files, and the containers that hold an image's blobs.

mod archive;
mod container;
mod error;
mod file;
mod member;
mod reference;

pub(crate) use archive::{Content, first_entry, unpack_stream};
pub(crate) use container::Container;
pub use error::SourceError;
pub(crate) use file::{Section, open_member, open_regular, section_of};
pub(crate) use member::Member;
pub(crate) use reference::Reference;
pub use reference::Source;
