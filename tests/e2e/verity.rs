//! Images on a host's disk that lies: the guest checks what it reads, and nobody gets a wrong byte.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::bulkhead::{Call, own_data, pod};
use crate::changed::changed_busybox;
use crate::lifecycle::call;

const BLOCK: usize = 4096;

/// Blocks of the file `/data` of the image: more than is read ahead of what somebody wants.
const BLOCKS: usize = 1024;

/// The one that is damaged: its hash lies among those of others of the file.
const DAMAGED: usize = 700;

/// What begins each of its blocks.
const MARK: &str = "block ";

/// A store with an image that has such a file.
struct Stored {
    data: TempDir,
    image: PathBuf,
    /// The image's files in the store.
    entry: PathBuf,
}

impl Stored {
    fn new() -> Self {
        let data = own_data();
        let image = changed_busybox(data.path(), |_, root| {
            fs::write(root.join("data"), content()).expect("a file");
        });
        let path = image.to_str().expect("a path in UTF-8");
        call(data.path(), ["fetch", path]).run().exits(0);
        let mut images = fs::read_dir(data.path().join("cas/images")).expect("the store");
        let entry = images.next().expect("an image").expect("an image").path();
        Self { data, image, entry }
    }

    fn pod(&self) -> Call {
        pod(&self.image).data(self.data.path()).name("web")
    }

    fn file(&self) -> PathBuf {
        self.entry.join("rootfs.erofs")
    }

    /// Bytes of the image before the tree of its hashes.
    fn data_length(&self) -> usize {
        let text = fs::read_to_string(self.entry.join("verity")).expect("the digest");
        let length = text.trim().split(' ').nth(1).expect("a length");
        length.parse().expect("a number")
    }

    /// Where the image has the block that is to be damaged.
    fn damaged_block(&self) -> usize {
        let bytes = fs::read(self.file()).expect("the image");
        let mark = format!("{MARK}{DAMAGED}\n");
        let starts = |start: &usize| bytes[*start..].starts_with(mark.as_bytes());
        let found = (0..bytes.len()).step_by(BLOCK).find(starts);
        found.expect("the block")
    }
}

/// Each block with its number.
fn content() -> Vec<u8> {
    let mut content = Vec::new();
    for number in 0..BLOCKS {
        content.extend_from_slice(format!("{MARK}{number}\n").as_bytes());
        content.resize((number + 1) * BLOCK - 1, b'.');
        content.push(b'\n');
    }
    content
}

/// The disk changes its mind on a byte.
fn flip(path: &Path, at: usize) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.expect("open it");
    let at = u64::try_from(at).expect("a place");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read it");
    file.write_all_at(&[byte[0] ^ 1], at).expect("damage it");
}

/// Reads the file where it is whole, and then to its end. Nothing that is wrong may come out: `flip` makes a `c` of a mark's `b`.
const READS: &str =
    "head -c 1048576 /data | grep -c ^block; cat /data | grep -q ^clock && echo lies
    cat /data > /dev/null || echo refused";

#[test]
fn apps_of_a_machine_read_an_image_to_its_end() {
    let stored = Stored::new();
    let all = "find / -xdev -type f -exec cat {} + > /dev/null && sha256sum < /data";
    let check = |call: Call| call.shell(all);
    let pod = check(check(stored.pod()).app(&stored.image).name("db"));
    let sum = Command::new("sha256sum")
        .arg(stored.data.path().join("tree/rootfs/data"))
        .output()
        .expect("sha256sum");
    let sum = String::from_utf8(sum.stdout).expect("digits");
    let digits = sum.split(' ').next().expect("a checksum");
    let shown = pod.run().exits(0).text();
    let of = |app: &str| shown.contains(&format!("{app}: {digits} "));
    assert!(of("web") && of("db"), "{digits}: {shown}");
}

#[test]
fn a_block_that_the_disk_has_changed_cannot_be_read_and_is_reported() {
    let stored = Stored::new();
    let (block, file) = (stored.damaged_block(), stored.file());
    let refused = |at: usize| {
        flip(&file, at);
        let end = stored.pod().shell(READS).run().exits(0);
        let end = end.prints("256\nrefused\n");
        flip(&file, at);
        end.says("app web: its image is damaged: the host's disk gives other bytes")
            .says("read error: Input/output error")
    };
    refused(block);
    // Its hash is in the last level of the tree, which ends the file: a level of one block lies before it.
    let hash = stored.data_length() + BLOCK + block / BLOCK * 32;
    refused(hash);
    let end = stored.pod().shell(READS).run().exits(0);
    end.prints("256\n").does_not_say("damaged");
}

#[test]
fn an_image_that_is_another_than_its_digest_says_does_not_start() {
    let stored = Stored::new();
    let refused = |path: &Path, at: usize| {
        flip(path, at);
        let end = stored.pod().shell("echo it runs").run().exits(203);
        flip(path, at);
        end.prints("")
            .says("app web: its image is damaged: the host's disk gives other bytes")
            .says("cannot prepare app web: mount the erofs of \"/dev/dm-0\": Input/output error");
    };
    // The root, and the block of hashes that it vouches for.
    let verity = stored.entry.join("verity");
    let digits = fs::read(&verity).expect("the digest");
    let digit = digits.iter().position(u8::is_ascii_digit);
    refused(&verity, digit.expect("a decimal digit"));
    refused(&stored.file(), stored.data_length());
    let image = stored.image.to_str().expect("a path in UTF-8");
    let prepare = ["prepare", image, "--name=web", "--exec=/bin/true"];
    let prepared = || {
        let uuid = call(stored.data.path(), prepare).run().exits(0).text();
        let pods = stored.data.path().join("pods/prepared");
        let files = pods.join(uuid.trim()).join("stage1/rootfs/opt/stage2/web");
        (uuid, files)
    };
    let refused = |uuid: &str, why: &str| {
        let run = call(stored.data.path(), ["run-prepared", uuid.trim()]);
        run.run().exits(254).says(why);
    };
    let (uuid, files) = prepared();
    fs::remove_file(files.join("rootfs.verity")).expect("a file");
    refused(&uuid, "app web: read the digest of its image");
    let (uuid, files) = prepared();
    let file = OpenOptions::new()
        .write(true)
        .open(files.join("rootfs.erofs"));
    let cut = u64::try_from(stored.data_length()).expect("a length");
    file.expect("open it").set_len(cut).expect("cut it");
    refused(&uuid, "rootfs.erofs is damaged: it has");
}
