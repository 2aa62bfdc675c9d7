//! Conversion streams: its memory does not grow with the image. Alone in its binary, for what it
//! measures is the whole process.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports, in its helpers too"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bulkhead_image::{Dependencies, Importer, Signatures, Store};

const IMAGE_BYTES: u64 = 32 << 20;

/// Far above what the buffers need, far below the image.
const GROWTH_BYTES: u64 = 8 << 20;

#[test]
fn memory_does_not_grow_with_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let import = |name: &str, size: u64| {
        let path = dir.path().join(name);
        write_aci(&path, size);
        let image = store
            .import(
                path.to_str().unwrap(),
                Signatures::Unneeded,
                &Importer::Here,
                Dependencies::OfStore,
                &mut |_| {},
            )
            .unwrap();
        assert!(image.size >= size, "{}", image.size);
    };
    import("small.aci", 1 << 20);
    let before = peak_memory();
    import("large.aci", IMAGE_BYTES);
    let growth = peak_memory() - before;
    assert!(growth < GROWTH_BYTES, "{growth} bytes more");
}

/// The highest resident memory of this process so far, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// An ACI with one file of `size` bytes, a multiple of 512. The file is a hole, which costs no disk.
fn write_aci(path: &Path, size: u64) {
    let manifest = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"app"}"#;
    let mut start = header("manifest", manifest.len() as u64);
    start.extend_from_slice(manifest);
    start.resize(start.len().next_multiple_of(512), 0);
    start.extend(header("rootfs/large", size));
    let file = File::create(path).unwrap();
    file.write_all_at(&start, 0).unwrap();
    file.set_len(start.len() as u64 + size + 1024).unwrap();
}

fn header(name: &str, size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
