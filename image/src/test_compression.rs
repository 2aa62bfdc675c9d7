//! Every form that a file or a layer can be packed in, for tests.

use std::io::Write as _;

use crate::decompress::Compression;

pub(crate) const FORMS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Xz,
    Compression::Zstd,
];

/// `bytes` in this form, in the fastest way.
pub(crate) fn pack(form: Compression, bytes: &[u8]) -> Vec<u8> {
    match form {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => crate::test_archive::gzip(bytes),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}
