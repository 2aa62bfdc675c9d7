use super::*;
use crate::test_compression::{FORMS, pack};

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    decompress(bytes)?.1.read_to_end(&mut all)?;
    Ok(all)
}

fn all_forms(bytes: &[u8]) -> [Vec<u8>; 4] {
    FORMS.map(|form| pack(form, bytes))
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
    let mut packed = pack(Compression::Xz, b"x");
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
        free: RATIO_FREE_BYTES,
    };
    let error = io::copy(&mut guard, &mut io::sink())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("decompresses 1000 bytes to more than"),
        "{error}"
    );
}

#[test]
fn a_bomb_of_every_form_ends_at_its_bound() {
    let zeros = vec![0; 16 << 20];
    for form in FORMS {
        let bomb = pack(form, &zeros);
        let mut all = Vec::new();
        let read = guarded(&bomb[..], 1 << 20).unwrap().1.read_to_end(&mut all);
        if form == Compression::Gzip {
            // It cannot grow further than is allowed.
            assert_eq!(read.unwrap(), zeros.len());
            continue;
        }
        let error = read.unwrap_err().to_string();
        let start = format!("decompresses {} bytes to more than", bomb.len());
        assert!(error.starts_with(&start), "{form:?}: {error}");
        assert!(all.len() < zeros.len(), "{form:?}: {}", all.len());
    }
}

#[test]
fn a_bomb_of_many_streams_is_one() {
    let zeros = vec![0; 1 << 20];
    for form in [Compression::Bzip2, Compression::Xz, Compression::Zstd] {
        let bombs = pack(form, &zeros).repeat(16);
        let (_, mut plain) = guarded(&bombs[..], 4 << 20).unwrap();
        let error = io::copy(&mut plain, &mut io::sink()).unwrap_err();
        assert!(error.to_string().starts_with("decompresses"), "{error}");
    }
}

#[test]
fn streams_of_nothing_are_nothing() {
    for empty in all_forms(b"") {
        assert_eq!(unpacked(&empty.repeat(1000)).unwrap(), b"");
    }
    // What zstd passes over, and nothing else.
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let frames = [pack(Compression::Zstd, b"a"), skipped].concat();
    assert_eq!(unpacked(&frames).unwrap(), b"a");
}

#[test]
fn a_zstd_frame_cannot_ask_for_a_lot_of_memory() {
    // A header without content size whose window is of 2^41 bytes, and one block that is not packed.
    let window = (41 - 10) << 3;
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x09, 0, 0, b'x'];
    let error = unpacked(&frame).unwrap_err().to_string();
    assert!(error.contains("too much memory"), "{error}");
}
