//! Requests that a guest should not make.

use super::*;

#[test]
fn ranges_beyond_the_disk_or_the_limits_change_nothing() {
    let cases = [
        (11, 0, 0, 0, IOERR),
        (11, 32, 1, 0, IOERR),
        (11, 31, 2, 0, IOERR),
        (11, 0, u32::MAX, 0, IOERR),
        (11, u64::MAX, 1, 0, IOERR),
        (11, u64::MAX / 512, 2, 0, IOERR),
        (13, 0, (1 << 16) + 1, 0, IOERR),
        (11, 0, 8, 1, UNSUPP),
        (11, 0, 8, 2, UNSUPP),
        (13, 0, 8, 0x8000_0000, UNSUPP),
    ];
    let mut bench = bench(Access::Writable);
    let before = bench.contents();
    for (kind, sector, sectors, flags, status) in cases {
        let case = format!("type {kind}, {sector}+{sectors}, flags {flags:#x}");
        assert_eq!(bench.range(kind, sector, sectors, flags), status, "{case}");
    }
    assert_eq!(bench.contents(), before);
}

#[test]
fn one_bad_range_of_several_spoils_the_request() {
    let mut bench = bench(Access::Writable);
    let before = bench.contents();
    bench.driver.put(DATA, &[0; 32]);
    bench.driver.put(DATA + 8, &8u32.to_le_bytes());
    bench.driver.put(DATA + 16, &99u64.to_le_bytes());
    bench.driver.put(DATA + 24, &8u32.to_le_bytes());
    assert_eq!(bench.request(11, 0, &[readable(DATA, 32)]).0, IOERR);
    assert_eq!(bench.contents(), before);
    for bytes in [0, 15, 17, 16 * 17] {
        let status = bench.request(11, 0, &[readable(DATA, bytes)]).0;
        assert_eq!(status, IOERR, "{bytes} bytes of ranges");
    }
}

#[test]
fn transfers_beyond_the_disk_or_of_odd_length_are_errors() {
    let mut bench = bench(Access::Writable);
    for (sector, length) in [
        (32, 512),
        (31, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512 + 1, 512),
        (0, 513),
        (0, 1),
    ] {
        let read = bench.request(0, sector, &[writable(DATA, length)]);
        assert_eq!(read, (IOERR, 0), "read {sector}+{length}");
        let write = bench.request(1, sector, &[readable(DATA, length)]);
        assert_eq!(write, (IOERR, 1), "write {sector}+{length}");
    }
    assert_eq!(bench.request(0, 0, &[]), (OK, 1), "nothing is not an error");
}

/// A disk that is larger than any limit, and takes no space.
fn large_bench() -> Bench {
    let file = tempfile::tempfile().unwrap();
    file.set_len(8 << 30).unwrap();
    bench_on(file)
}

#[test]
fn a_request_of_gigabytes_by_one_page_is_refused() {
    let mut bench = large_bench();
    let segment = 0x2_0000;
    let largest = vec![writable(DATA, segment); 126];
    assert_eq!(bench.request(0, 0, &largest), (OK, 126 * segment + 1));
    let bytes = bench.blk.counters().read_bytes;
    let larger = vec![writable(DATA, 0x20_0000); 100];
    assert_eq!(bench.request(0, 0, &larger).0, IOERR);
    assert_eq!(bench.blk.counters().refused, 1);
    assert_eq!(bench.blk.counters().read_bytes, bytes);
}

#[test]
fn ranges_are_held_to_their_own_limits() {
    let mut bench = large_bench();
    for (kind, limit) in [(11, 1 << 22), (13, 1 << 16)] {
        assert_eq!(bench.range(kind, 0, limit, 0), OK, "type {kind}");
        assert_eq!(bench.range(kind, 0, limit + 1, 0), IOERR, "type {kind}");
    }
}

#[test]
fn an_unknown_type_is_unsupported() {
    let mut bench = bench(Access::Writable);
    for kind in [2, 3, 5, 14, u32::MAX] {
        assert_eq!(bench.request(kind, 0, &[]).0, UNSUPP, "type {kind}");
    }
}

#[test]
fn a_short_header_is_an_error() {
    let mut bench = bench(Access::Writable);
    for bytes in [0, 1, 15] {
        bench.header(0, 0);
        let (status, _) = bench.raw(&[readable(HEADER, bytes), writable(STATUS, 1)]);
        assert_eq!(status, IOERR, "{bytes} bytes of header");
    }
    bench.header(0, 0);
    assert_eq!(bench.raw(&[writable(STATUS, 1)]).0, IOERR);
}

#[test]
fn a_header_in_pieces_is_a_header() {
    let mut bench = bench(Access::Writable);
    bench.header(4, 0);
    let chain = [
        readable(HEADER, 3),
        readable(HEADER + 3, 13),
        writable(STATUS, 1),
    ];
    assert_eq!(bench.raw(&chain), (OK, 1));
}

#[test]
fn a_request_without_a_writable_status_is_answered_with_nothing() {
    let mut bench = bench(Access::Writable);
    let before = bench.contents();
    bench.header(1, 0);
    let chain = [
        readable(HEADER, 16),
        readable(DATA, 512),
        readable(STATUS, 1),
    ];
    assert_eq!(bench.raw(&chain), (0xaa, 0));
    bench.header(1, 0);
    assert_eq!(bench.raw(&chain[..2]), (0xaa, 0));
    assert_eq!(bench.contents(), before);
    assert_eq!(bench.blk.counters().malformed, 2);
}

#[test]
fn a_status_byte_in_a_hole_loses_only_its_own_answer() {
    let mut bench = bench(Access::Writable);
    bench.header(4, 0);
    assert_eq!(
        bench
            .raw(&[readable(HEADER, 16), writable(HOLE_START, 1)])
            .1,
        0
    );
    assert_eq!(bench.request(4, 0, &[]), (OK, 1));
}

#[test]
fn data_buffers_in_a_hole_are_an_error() {
    let mut bench = bench(Access::Writable);
    assert_eq!(
        bench.request(0, 0, &[writable(HOLE_START - 256, 512)]).0,
        IOERR
    );
    assert_eq!(
        bench.request(1, 0, &[readable(RAM_END - 256, 512)]).0,
        IOERR
    );
    assert_eq!(bench.blk.counters().malformed, 2);
}

#[test]
fn a_host_error_is_the_requests_alone() {
    let mut bench = bench(Access::Writable);
    bench.file.set_len(0).unwrap();
    assert_eq!(bench.request(0, 0, &[writable(DATA, 512)]).0, IOERR);
    assert_eq!(bench.blk.counters().host_errors, 1);
    assert_eq!(bench.request(4, 0, &[]).0, OK);
}
