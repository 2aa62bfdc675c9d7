mod bad_aci;
mod bad_documents;
mod bad_layers;
mod bad_oci;
mod contents;
mod dependencies;
mod forms;
mod holding;
mod keeping;
mod noise;
mod removal;
mod trees;
mod verifying;

use serde_json::{Value, json};

use super::*;
use crate::erofs::test_oracle::contents_of;
use crate::test_archive::{Oci, Tar, aci, gzip};

/// A store in a directory of its own, and room for images beside it.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn layout(&self, name: &str, image: &Oci) -> String {
        let path = self.dir.path().join(name);
        image.write_layout(&path);
        path.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn import(&self, reference: &str) -> StoredImage {
        self.try_import(reference).unwrap()
    }

    fn try_import(&self, reference: &str) -> Result<StoredImage, String> {
        let imported = self.store.import(
            reference,
            Signatures::Unneeded,
            &Importer::Here,
            Dependencies::OfStore,
            &mut |_| {},
        );
        imported.map_err(|error| self.chain(&error))
    }

    fn chain(&self, mut error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        while let Some(source) = error.source() {
            text = format!("{text}: {source}");
            error = source;
        }
        text.replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// Asserts the error, and that nothing is left of the attempt.
    #[track_caller]
    fn refuses(&self, reference: &str, expected: &str) {
        let images = self.files();
        let error = self.try_import(reference).unwrap_err();
        let expected = format!(
            "cannot import image {}: {expected}",
            reference.replace(self.dir.path().to_str().unwrap(), "DIR")
        );
        assert_eq!(error, expected);
        assert_eq!(self.files(), images, "something was left behind");
    }

    #[track_caller]
    fn refuses_file(&self, name: &str, bytes: &[u8], expected: &str) {
        self.refuses(&self.write(name, bytes), expected);
    }

    #[track_caller]
    fn refuses_layout(&self, image: &Oci, expected: &str) {
        let path = self.dir.path().join("layout");
        let _ = fs::remove_dir_all(&path);
        self.refuses(&self.layout("layout", image), expected);
    }

    /// Everything in the store but its lock.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut pending = vec![self.store.cas.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path.clone());
                }
                if path != self.store.lock() {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }
}

fn tree() -> Tar {
    Tar::default()
        .dir("bin")
        .file("bin/app", "program")
        .symlink("app", "bin/app")
}

fn rootfs_tree() -> Tar {
    Tar::default()
        .dir("rootfs/bin")
        .file("rootfs/bin/app", "program")
        .symlink("rootfs/app", "bin/app")
}

#[track_caller]
fn assert_is_tree(image: &StoredImage) {
    let expected = [
        ("", ""),
        ("app", "bin/app"),
        ("bin", ""),
        ("bin/app", "program"),
    ];
    let expected = expected.map(|(name, content)| (name.into(), content.into()));
    let seen: Vec<(Vec<u8>, Vec<u8>)> = contents_of(&image.erofs_path).into_iter().collect();
    assert_eq!(seen, expected);
    assert_eq!(image.size, fs::metadata(&image.erofs_path).unwrap().len());
}
