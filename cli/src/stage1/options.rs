//! The flags that say which stage1 image runs a pod.

use std::path::PathBuf;

use clap::Args;

/// At most one of them is given.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "which-stage1", multiple = false)]
pub(crate) struct Stage1Options {
    /// What isolates the pod: the name of an installed stage1 image, or its directory. kvm: a virtual machine. container:
    /// namespaces of the host's own kernel, which is weaker [default: what the configuration says, else kvm]
    #[arg(long, value_name = "NAME|DIR")]
    stage1: Option<String>,

    /// The same by the file of an image, an ACI
    #[arg(long, value_name = "FILE")]
    stage1_path: Option<PathBuf>,

    /// The same by the URL of such a file: https, http as for images, or file
    #[arg(long, value_name = "URL")]
    stage1_url: Option<String>,

    /// The same by the name in its manifest, of an image that is in the store or installed
    #[arg(long, value_name = "NAME[:VERSION]")]
    stage1_name: Option<String>,

    /// The same by its id, or the beginning of it, of an image that is in the store
    #[arg(long, value_name = "sha512-HEX")]
    stage1_hash: Option<String>,

    /// The same by its file's name in the directory of installed images
    #[arg(long, value_name = "FILE")]
    stage1_from_dir: Option<String>,
}

/// Where an image is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// An installed image's name, or an image's directory.
    Installed(&'a str),
    Path(&'a PathBuf),
    Url(&'a str),
    Name(&'a str),
    Hash(&'a str),
    FromDirectory(&'a str),
}

impl Stage1Options {
    /// What the user says, if anything.
    pub(super) fn source(&self) -> Option<Source<'_>> {
        let sources = [
            self.stage1.as_deref().map(Source::Installed),
            self.stage1_path.as_ref().map(Source::Path),
            self.stage1_url.as_deref().map(Source::Url),
            self.stage1_name.as_deref().map(Source::Name),
            self.stage1_hash.as_deref().map(Source::Hash),
            self.stage1_from_dir.as_deref().map(Source::FromDirectory),
        ];
        sources.into_iter().flatten().next()
    }
}
