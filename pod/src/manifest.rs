//! The appc manifests: what an image says about itself, and what a pod is made of.
//!
//! Source: appc specification 0.8.11, <https://github.com/appc/spec>. Two layers:
//!
//! * leaf types ([`AcName`], [`Quantity`], [`AbsolutePath`], …) that only parsing constructs;
//! * [`ImageManifest`] and [`PodManifest`], which wrap plain structs of leaf types and are
//!   constructed only when the rules between fields hold too (unique names, mounts that name a
//!   declared volume, ports that do not conflict).
//!
//! Fields that the specification does not know are ignored, as the specification wants it;
//! an isolator that it does not know is an error inside an app, because ignoring one would run the
//! app with less isolation than it asked for.

mod app;
mod bounds;
mod capability;
mod error;
mod image;
mod isolator;
mod metadata;
mod name;
mod pod;
mod port;
mod quantity;
mod resource;
mod syscall;
mod text;
mod unique;
mod volume;

pub use app::{App, EnvironmentVariable, Event, EventHandler, MountPoint};
pub use bounds::*;
pub use capability::{Capability, CapabilitySet};
pub use error::{Document, ManifestError, ValueError};
pub use image::{Dependency, ImageContents, ImageKind, ImageManifest};
pub use isolator::{
    AppArmorProfile, CpuShares, Isolator, OomScoreAdjust, PodIsolator, SeLinuxContext,
    UnknownIsolator,
};
pub use metadata::{Annotation, Label, TextMap, annotations_json, set_annotation};
pub use name::{AcIdentifier, AcName, AcVersion, ImageId};
pub use pod::{Mount, PodContents, PodKind, PodManifest, RuntimeApp, RuntimeImage};
pub use port::{ExposedPort, Port, PortNumber, Protocol};
pub use quantity::Quantity;
pub use resource::{Bandwidth, Resource};
pub use syscall::{Errno, SyscallFilter, SyscallName};
pub use text::{AbsolutePath, Argument, EnvironmentName, Principal, PrincipalForm, Text};
pub use volume::{FileMode, FsType, Volume, VolumeKind};

/// Version of the appc specification that generated manifests carry.
pub const APPC_VERSION: &str = "0.8.11";
