use std::io::Write;

use super::*;

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    decompress(bytes)?.1.read_to_end(&mut all)?;
    Ok(all)
}

fn xz(bytes: &[u8], preset: u32) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), preset);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn all_forms(bytes: &[u8]) -> [Vec<u8>; 4] {
    [
        crate::test_archive::gzip(bytes),
        bzip2(bytes),
        xz(bytes, 0),
        zstd::encode_all(bytes, 1).unwrap(),
    ]
}

#[test]
fn every_form_and_concatenations_of_it() {
    let text = b"some text ".repeat(1000);
    assert_eq!(unpacked(&text).unwrap(), text);
    for packed in all_forms(&text) {
        assert_eq!(unpacked(&packed).unwrap(), text);
        assert_eq!(unpacked(&packed.repeat(2)).unwrap(), text.repeat(2));
    }
    assert_eq!(unpacked(b"").unwrap(), b"");
    assert_eq!(unpacked(b"\x1f").unwrap(), b"\x1f");
}

#[test]
fn truncated_streams_are_errors() {
    for packed in all_forms(&b"some text ".repeat(1000)) {
        for cut in [1, packed.len() / 2] {
            assert!(
                unpacked(&packed[..packed.len() - cut]).is_err(),
                "{packed:?}"
            );
        }
    }
}

#[test]
fn damaged_streams_are_errors() {
    for mut packed in all_forms(&b"some text ".repeat(1000)) {
        let last = packed.len() - 6;
        packed[last] ^= 0x55;
        let middle = packed.len() / 2;
        packed[middle] ^= 0x55;
        assert!(unpacked(&packed).is_err(), "{packed:?}");
    }
}

#[test]
fn an_xz_stream_cannot_ask_for_a_lot_of_memory() {
    let mut packed = xz(b"x", 0);
    claim_dictionary(&mut packed);
    let error = unpacked(&packed).unwrap_err().to_string();
    assert!(error.contains("memory"), "{error}");
}

/// Sets the dictionary size in the first block's header to 4 GiB - 1.
fn claim_dictionary(packed: &mut [u8]) {
    let header = 12;
    let size = (usize::from(packed[header]) + 1) * 4;
    let block = &mut packed[header..header + size];
    let filter = block.iter().position(|&b| b == 0x21).unwrap();
    block[filter + 2] = 40;
    let crc = crc32(&block[..size - 4]);
    block[size - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn growth_beyond_proportion_ends() {
    /// Claims to have come from few bytes.
    struct Zeros;
    impl Read for Zeros {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            Ok(buf.len())
        }
    }
    let consumed = Rc::new(Cell::new(1000));
    let mut guard = RatioGuard {
        inner: Zeros,
        consumed,
        produced: RATIO_FREE_BYTES - 10,
    };
    let error = io::copy(&mut guard, &mut io::sink())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("decompresses 1000 bytes to more than"),
        "{error}"
    );
}
