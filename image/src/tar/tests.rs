use proptest::prelude::*;

use super::*;
use crate::test_archive::{Fields, Tar};

fn read(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(Stream(archive));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        if let EntryKind::File { size } = entry.kind {
            // A hostile size must not make the test allocate.
            data = vec![0; usize::try_from(size.min(1 << 20)).unwrap()];
            reader.read_all(&mut data)?;
        }
        entries.push((entry, data));
    }
    Ok(entries)
}

#[track_caller]
fn refused(archive: &[u8], expected: &str) {
    assert_eq!(read(archive).unwrap_err().to_string(), expected);
}

fn tar() -> Tar {
    Tar::default()
}

#[test]
fn gnu_long_names_and_links() {
    let long = "d/".repeat(80) + "f";
    let archive = tar()
        .entry(
            &Fields::of("././@LongLink", b'K'),
            format!("{long}\0").as_bytes(),
        )
        .entry(
            &Fields::of("././@LongLink", b'L'),
            format!("{long}x\0").as_bytes(),
        )
        .symlink("cut", "cut");
    let entries = read(&archive.finish()).unwrap();
    assert_eq!(entries[0].0.path, format!("{long}x").as_bytes());
    assert_eq!(
        entries[0].0.kind,
        EntryKind::Symlink {
            target: long.into()
        }
    );
}

#[test]
fn gnu_long_names_that_lie_are_refused() {
    let long = |data: &[u8]| tar().entry(&Fields::of("L", b'L'), data);
    refused(
        &long(b"a\0b\0").file("f", "").finish(),
        r#"entry "L": GNU long name contains a NUL byte"#,
    );
    refused(
        &long(b"\0").file("f", "").finish(),
        r#"entry "": name is empty"#,
    );
    let huge = Fields {
        size: 1 << 30,
        ..Fields::of("L", b'L')
    };
    refused(
        &tar().header(&huge).finish(),
        r#"entry "L": size of an extension header is 1073741824, more than 262144"#,
    );
    // Of two the later counts, and PAX before both.
    let both = long(b"one\0").entry(&Fields::of("L", b'L'), b"two\0");
    let path = |tar: Tar| read(&tar.file("f", "").finish()).unwrap()[0].0.path.clone();
    assert_eq!(path(both.clone()), b"two");
    assert_eq!(path(both.pax(&[("path", b"pax")])), b"pax");
}

#[test]
fn ustar_prefix_belongs_to_ustar_only() {
    let mut archive = tar().file("name", "x").0;
    archive[345..348].copy_from_slice(b"dir");
    fix_checksum(&mut archive);
    let entries = read(&Tar(archive.clone()).finish()).unwrap();
    assert_eq!(entries[0].0.path, b"dir/name");
    archive[257..265].copy_from_slice(b"ustar  \0");
    fix_checksum(&mut archive);
    let entries = read(&Tar(archive).finish()).unwrap();
    assert_eq!(entries[0].0.path, b"name");
}

fn fix_checksum(archive: &mut [u8]) {
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..512].iter().map(|&b| u32::from(b)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn pax_overrides_what_the_header_says() {
    let records: [(&str, &[u8]); 6] = [
        ("path", b"real\xff"),
        ("size", b"3"),
        ("uid", b"4000000000"),
        ("mtime", b"7.5"),
        ("comment", b"with=equals\nand newline"),
        ("SCHILY.xattr.user.a", b"\0\n="),
    ];
    let mut header = Fields::of("cut", b'0');
    header.size = 0;
    let archive = tar()
        .pax(&records)
        .header(&header)
        .data(b"abc")
        .file("next", "");
    let entries = read(&archive.finish()).unwrap();
    let (entry, data) = &entries[0];
    assert_eq!(
        (&entry.path[..], &data[..]),
        (&b"real\xff"[..], &b"abc"[..])
    );
    assert_eq!(entry.uid, 4_000_000_000);
    assert_eq!(
        entry.mtime,
        Timestamp {
            seconds: 7,
            nanos: 500_000_000
        }
    );
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"\0\n=".to_vec())]);
    assert_eq!(entries[1].0.path, b"next");
    assert_eq!(entries[1].0.uid, 0, "an override is for one entry");
}

#[test]
fn global_pax_headers_last() {
    let global = |archive: Tar, data: &[u8]| archive.entry(&Fields::of("g", b'g'), data);
    let archive = global(tar(), b"9 uid=42\n").file("a", "").file("b", "");
    let archive = global(archive, b"8 uid=7\n").file("c", "");
    let uids: Vec<u32> = read(&archive.finish())
        .unwrap()
        .iter()
        .map(|(e, _)| e.uid)
        .collect();
    assert_eq!(uids, [42, 42, 7]);
}

#[test]
fn truncated_archives_say_where() {
    let archive = tar().file("name", vec![b'x'; 1000]).finish();
    refused(
        &archive[..100],
        r#"truncated: 412 bytes are missing at byte 100 (in a header, entry "")"#,
    );
    refused(
        &archive[..600],
        r#"truncated: 912 bytes are missing at byte 600 (in its data, entry "name")"#,
    );
    refused(
        &archive[..1536],
        "truncated: no end-of-archive marker at byte 1536",
    );
    refused(
        &archive[..2048],
        "truncated: no end-of-archive marker at byte 2048",
    );
    refused(b"", "truncated: no end-of-archive marker at byte 0");
}

#[test]
fn garbage_is_not_a_header() {
    let error = read(&[b'x'; 1024]).unwrap_err().to_string();
    assert!(
        error.starts_with("not a tar header at byte 0: checksum field \"xxxxxxxx\""),
        "{error}"
    );
    let mut archive = tar().file("a", "").0;
    archive.extend_from_slice(&[0; 512]);
    let archive = Tar(archive).file("hidden", "").finish();
    let error = read(&archive).unwrap_err().to_string();
    assert!(
        error.starts_with("not a tar header at byte 1024"),
        "{error}"
    );
}

#[test]
fn fields_that_lie_are_refused() {
    let sized = |typeflag, size| {
        let fields = Fields::of("f", typeflag);
        tar().header(&Fields { size, ..fields }).finish()
    };
    for typeflag in [b'1', b'2', b'3', b'5', b'6'] {
        refused(
            &sized(typeflag, 512),
            r#"entry "f": size is 512 where only a file has data"#,
        );
    }
    refused(&tar().file("", "").finish(), r#"entry "": name is empty"#);
    let mut bad = tar().file("f", "").0;
    bad[100..108].copy_from_slice(b"rw-r--r-");
    fix_checksum(&mut bad);
    refused(
        &bad,
        r#"entry "f": field mode is not a valid number: "rw-r--r-""#,
    );
    let id = |id: u32| {
        tar()
            .pax(&[("uid", id.to_string().as_bytes())])
            .file("f", "")
            .finish()
    };
    assert!(read(&id(u32::MAX - 1)).is_ok());
    refused(
        &id(u32::MAX),
        r#"entry "f": uid 4294967295 is not a valid id"#,
    );
}

#[test]
fn pax_records_that_lie_are_refused() {
    let record = |data: &[u8]| {
        tar()
            .entry(&Fields::of("p", b'x'), data)
            .file("f", "")
            .finish()
    };
    for data in [
        &b"99 uid=1\n"[..],
        b"8 uid=1 ",
        b"uid=1\n",
        b"6 uid\n",
        b"4 =\n",
        b"0 \n",
    ] {
        refused(&record(data), r#"entry "p": PAX record is malformed"#);
    }
    refused(
        &record(b"10 size=-1\n"),
        r#"entry "p": PAX record is malformed"#,
    );
    refused(&record(b"11 size=-1\n"), r#"entry "p": PAX size is "-1""#);
    refused(
        &record(b"10 path=a\0\n"),
        r#"entry "p": PAX record is malformed"#,
    );
    refused(
        &record(b"11 path=a\0\n"),
        r#"entry "p": PAX path contains a NUL byte"#,
    );
    refused(&record(b"11 mtime=x\n"), r#"entry "p": PAX mtime is "x""#);
    refused(
        &record(b"22 GNU.sparse.major=1\n"),
        r#"entry "p": PAX GNU.sparse marks a sparse file, which is not supported"#,
    );
}

#[test]
fn attributes_are_bounded() {
    let many: Vec<(String, Vec<u8>)> = (0..300)
        .map(|i| (format!("SCHILY.xattr.user.{i}"), Vec::new()))
        .collect();
    let records: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_slice()))
        .collect();
    refused(
        &tar().pax(&records).file("f", "").finish(),
        r#"entry "pax": PAX SCHILY.xattr has more than 256 attributes"#,
    );
    refused(
        &tar()
            .pax(&[("SCHILY.xattr.user.a", &[0; 70_000])])
            .file("f", "")
            .finish(),
        r#"entry "pax": PAX SCHILY.xattr has more than 65536 bytes of attributes"#,
    );
    refused(
        &tar()
            .pax(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.a", b"2")])
            .file("f", "")
            .finish(),
        r#"entry "pax": PAX SCHILY.xattr names attribute "user.a" twice"#,
    );
}

#[test]
fn extension_headers_are_bounded() {
    let huge = Fields {
        size: 1 << 30,
        ..Fields::of("p", b'x')
    };
    refused(
        &tar().header(&huge).finish(),
        r#"entry "p": size of an extension header is 1073741824, more than 262144"#,
    );
    let mut chain = tar();
    for _ in 0..20 {
        chain = chain.pax(&[("uid", b"1")]);
    }
    refused(
        &chain.finish(),
        r#"entry "pax": header has more than 8 extension headers before it"#,
    );
}

#[test]
fn types_that_no_image_needs_are_refused() {
    refused(
        &tar().header(&Fields::of("f", b'S')).finish(),
        r#"entry "f": typeflag 'S' (GNU sparse file) is not supported"#,
    );
    refused(
        &tar().header(&Fields::of("f", b'V')).finish(),
        r#"entry "f": typeflag 'V' (unknown) is not supported"#,
    );
}

proptest! {
    #[test]
    fn no_archive_panics(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut archive = tar()
            .pax(&[("path", b"a"), ("SCHILY.xattr.user.a", b"b")])
            .file("f", "data")
            .entry(&Fields::of("L", b'L'), b"long\0")
            .hard_link("g", "f")
            .finish();
        for (at, byte) in noise {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        // Half of the cases have right checksums, so that the noise gets further.
        if cut.index(2) == 0 {
            for block in archive.chunks_mut(512) {
                if block[257..262] == *b"ustar" {
                    fix_checksum(block);
                }
            }
        }
        archive.truncate(cut.index(archive.len()) + 1);
        let _ = read(&archive);
    }
}
