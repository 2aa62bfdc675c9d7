use std::io::Write;
use std::os::fd::OwnedFd;

use bulkhead_protocol::import::Summary;
use bulkhead_protocol::verity::{RootDigest, Verity};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::*;
use crate::digest::ImageId;

/// What an importer that somebody has taken over may say.
enum Word {
    Say(FromImporter),
    /// Something that is no message.
    Bytes(Vec<u8>),
    /// This much in the manifest's file.
    Manifest(usize),
}

use Word::{Bytes, Manifest, Say};

/// A store without images, whose layout has one member.
struct Empty;

impl Owner for Empty {
    fn open(&self, member: &Member) -> Result<File, SourceError> {
        assert_eq!(*member, Member::Index);
        Ok(tempfile::tempfile().unwrap())
    }

    fn expect(&self, _members: &[Member]) {}

    fn files(&self) -> Result<[File; 2], ImportCause> {
        Ok([tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()])
    }

    fn scratch(&self) -> Result<File, ImportCause> {
        Ok(tempfile::tempfile().unwrap())
    }

    fn found_aci(&self) -> Result<(), ImportCause> {
        Ok(())
    }

    fn identified(&self, id: &ImageId, _manifest: &[u8]) -> Result<Option<ImageId>, ImportCause> {
        Ok(Some(id.clone()))
    }

    fn dependency(&self, _number: usize) -> Result<File, ImportCause> {
        Ok(tempfile::tempfile().unwrap())
    }

    fn tell(&self, _progress: Progress) {}
}

fn told(error: &dyn std::error::Error) -> String {
    let texts: Vec<String> = chain(error).iter().map(ToString::to_string).collect();
    texts.join(": ")
}

/// Hears all of it, and ends; then what its keeper makes of it.
fn served(words: Vec<Word>) -> Result<Imported, String> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let manifest = tempfile::tempfile().unwrap();
    let mut its_manifest = manifest.try_clone().unwrap();
    let mut keeper = Keeper {
        channel: Channel::new(ours),
        owner: &Empty,
        manifest,
        opened: 0,
        expected: false,
        is_aci: false,
        identified: false,
        dependencies: 0,
        gave_files: false,
        gave_scratch: false,
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for word in words {
                speak(&theirs, &mut its_manifest, word);
            }
        });
        keeper.serve().map_err(|error| told(&error))
    })
}

fn speak(socket: &OwnedFd, manifest: &mut File, word: Word) {
    let packet = match word {
        Say(message) => bulkhead_protocol::frame::encode_packet(&message, usize::MAX).unwrap(),
        Bytes(bytes) => bytes,
        Manifest(length) => return manifest.write_all(&vec![b' '; length]).unwrap(),
    };
    // The keeper may have had enough.
    let _ = send(socket, &packet, SendFlags::NOSIGNAL);
}

fn protocol_list() -> bulkhead_protocol::bounded::List<protocol::Member, { protocol::MAX_BLOBS }> {
    Default::default()
}

fn id() -> FromImporter {
    FromImporter::Identified(Text::try_from(ImageId::of(b"").as_str()).unwrap())
}

fn done() -> FromImporter {
    FromImporter::Done(Summary {
        verity: Verity::new(RootDigest([7; 32]), 1).unwrap(),
        inodes: 1,
        dropped_xattrs: 0,
    })
}

#[track_caller]
fn refuses(words: Vec<Word>, expected: &str) {
    let error = served(words).expect_err("it is refused");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_is_said_in_order_is_served() {
    let index = FromImporter::Open(protocol::Member::Index);
    let dependency = FromImporter::Dependency(0);
    let words = [index, id(), dependency, FromImporter::Files, done()];
    let imported = served(words.into_iter().map(Say).collect()).unwrap();
    assert!(matches!(imported, Imported::Written(summary) if summary.verity.length() == 4096));
}

#[test]
fn a_failure_is_passed_on_as_it_is_told() {
    let why = chain(&io::Error::other("the image is for arm64"));
    let why = FromImporter::Failed(why);
    assert_eq!(
        served(vec![Say(why)]).err().unwrap(),
        "the image is for arm64"
    );
}

#[test]
fn what_is_said_out_of_turn_ends_it() {
    refuses(vec![Say(done())], "Done");
    refuses(vec![Say(FromImporter::Files), Say(done())], "out of turn");
    refuses(vec![Say(id()), Say(done())], "out of turn");
    refuses(vec![Say(id()), Say(id())], "out of turn");
    let twice = |message: FromImporter| vec![Say(message.clone()), Say(message)];
    refuses(twice(FromImporter::Files), "Files out of turn");
    refuses(twice(FromImporter::Scratch), "Scratch out of turn");
    refuses(twice(FromImporter::Aci), "Aci out of turn");
    refuses(vec![Say(id()), Say(FromImporter::Aci)], "Aci out of turn");
    let nothing = FromImporter::Expect(protocol_list());
    refuses(twice(nothing), "Expect([]) out of turn");
}

#[test]
fn no_more_members_are_opened_than_an_image_can_have() {
    let open = || Say(FromImporter::Open(protocol::Member::Index));
    let words = (0..=MAX_OPENED).map(|_| open()).collect();
    refuses(words, "Open(Index) out of turn");
}

#[test]
fn no_more_dependencies_are_opened_than_an_image_can_have() {
    let dependency = || Say(FromImporter::Dependency(0));
    refuses(vec![dependency()], "Dependency(0) out of turn");
    let words = std::iter::once(Say(id()));
    let words = words.chain((0..=MAX_DEPENDENCIES).map(|_| dependency()));
    refuses(words.collect(), "Dependency(0) out of turn");
}

#[test]
fn what_is_no_message_or_too_long_ends_it() {
    refuses(vec![Bytes(vec![0xff; 8])], "cannot be decoded");
    refuses(
        vec![Bytes(vec![0; protocol::MAX_PACKET + 1])],
        "a message of more than 98304 bytes",
    );
    let no_id = FromImporter::Identified(Text::truncated("sha512-0"));
    refuses(vec![Say(no_id)], "\"sha512-0\" is not");
    let no_digest = protocol::Member::Manifest(Text::truncated("../../etc/shadow"));
    refuses(vec![Say(FromImporter::Open(no_digest))], "is not a sha256");
    refuses(Vec::new(), "without an answer");
}

#[test]
fn a_manifest_of_any_length_takes_no_more_memory_than_an_image_s_may() {
    let length = usize::try_from(MAX_JSON_BYTES).unwrap() + 1;
    refuses(vec![Manifest(length), Say(id())], "more than 4194304");
}
