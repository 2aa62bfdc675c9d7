//! Archives and images for tests, good and bad, made byte by byte.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest::to_hex;

/// A tar archive that is being written. Every field can be made wrong.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// The fields of one header.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) path: Vec<u8>,
    pub(crate) typeflag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
    pub(crate) link: Vec<u8>,
    pub(crate) device: (u32, u32),
}

impl Fields {
    pub(crate) fn of(path: impl AsRef<[u8]>, typeflag: u8) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            typeflag,
            mode: if typeflag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 1_700_000_000,
            link: Vec::new(),
            device: (0, 0),
        }
    }
}

impl Tar {
    /// A header as it is, without the data that its size promises.
    pub(crate) fn header(mut self, fields: &Fields) -> Self {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &fields.path[..fields.path.len().min(100)]);
        put(100, format!("{:07o}\0", fields.mode).as_bytes());
        put(108, format!("{:07o}\0", fields.uid).as_bytes());
        put(116, format!("{:07o}\0", fields.gid).as_bytes());
        put(124, format!("{:011o}\0", fields.size).as_bytes());
        put(136, format!("{:011o}\0", fields.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[fields.typeflag]);
        put(157, &fields.link[..fields.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", fields.device.0).as_bytes());
        put(337, format!("{:07o}\0", fields.device.1).as_bytes());
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A header with this data.
    pub(crate) fn entry(self, fields: &Fields, data: &[u8]) -> Self {
        let size = data.len() as u64;
        self.header(&Fields {
            size,
            ..fields.clone()
        })
        .data(data)
    }

    pub(crate) fn file(self, path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.entry(&Fields::of(path, b'0'), data.as_ref())
    }

    pub(crate) fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.header(&Fields::of(path, b'5'))
    }

    pub(crate) fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(&Fields {
            link: target.as_ref().to_vec(),
            ..Fields::of(path, b'2')
        })
    }

    pub(crate) fn hard_link(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(&Fields {
            link: target.as_ref().to_vec(),
            ..Fields::of(path, b'1')
        })
    }

    /// A PAX header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
        self.entry(&Fields::of("pax", b'x'), &data)
    }

    /// The archive with its end marker.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn pax_record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {keyword}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// An ACI around a file tree whose names begin with `rootfs/`.
pub(crate) fn aci(tree: Tar) -> Vec<u8> {
    aci_with(&manifest(), tree)
}

pub(crate) fn aci_with(manifest: &Value, tree: Tar) -> Vec<u8> {
    let mut archive = Tar::default()
        .file("manifest", manifest.to_string())
        .dir("rootfs");
    archive.0.extend_from_slice(&tree.0);
    archive.finish()
}

pub(crate) fn manifest() -> Value {
    json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", to_hex(&Sha256::digest(bytes)))
}

/// An OCI image's documents and blobs, before they are written. Fields can be made wrong in
/// between.
pub(crate) struct Oci {
    pub(crate) index: Value,
    /// Member name and content.
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
}

pub(crate) fn config(diff_ids: &[String]) -> Value {
    json!({
        "os": "linux", "architecture": "amd64",
        "config": {"Cmd": ["/bin/app"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

impl Oci {
    /// An image of uncompressed layers.
    pub(crate) fn of(layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
        let blobs = layers.iter().map(|layer| (layer.clone(), "tar"));
        Self::with(&config(&diff_ids), blobs)
    }

    /// An image of blobs with the endings of their media types.
    pub(crate) fn with<'a>(
        config: &Value,
        layers: impl IntoIterator<Item = (Vec<u8>, &'a str)>,
    ) -> Self {
        let mut image = Self {
            index: Value::Null,
            blobs: Vec::new(),
        };
        let config = image.add(
            "application/vnd.oci.image.config.v1+json",
            config.to_string(),
        );
        let layers: Vec<Value> = layers
            .into_iter()
            .map(|(blob, ending)| {
                image.add(
                    &format!("application/vnd.oci.image.layer.v1.{ending}"),
                    blob,
                )
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let descriptor = image.add(MANIFEST_TYPE, manifest.to_string());
        image.index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        image
    }

    /// Adds a blob; returns its descriptor.
    pub(crate) fn add(&mut self, media_type: &str, content: impl Into<Vec<u8>>) -> Value {
        let content = content.into();
        let digest = sha256(&content);
        let size = content.len();
        let name = format!("blobs/{}", digest.replace(':', "/"));
        self.blobs.push((name, content));
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
            ("index.json".to_owned(), self.index.to_string().into_bytes()),
        ];
        files.extend(self.blobs.iter().cloned());
        files
    }

    #[cfg(test)]
    pub(crate) fn write_layout(&self, dir: &std::path::Path) {
        use std::fs;
        for (name, content) in self.files() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        let tar = self.files().into_iter();
        tar.fold(Tar::default(), |tar, (name, content)| {
            tar.file(name, content)
        })
        .finish()
    }
}

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
#[cfg(test)]
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A `docker save` archive of uncompressed layers, in the old form with a directory for each layer.
pub(crate) fn docker_archive(tags: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
    let config = config(&diff_ids).to_string();
    let config_name = format!("{}.json", &sha256(config.as_bytes())["sha256:".len()..]);
    let names: Vec<String> = (0..layers.len())
        .map(|i| format!("{i}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let mut tar = Tar::default();
    for (name, layer) in names.iter().zip(layers) {
        tar = tar.file(name, layer);
    }
    tar.file(config_name, config)
        .file("manifest.json", manifest.to_string())
        .finish()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
