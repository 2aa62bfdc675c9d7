use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::*;

const PAGE: u64 = 4096;

fn file(pages: u64, fill: u8) -> File {
    let mut file = tempfile::tempfile().unwrap();
    let bytes = vec![fill; usize::try_from(pages * PAGE).unwrap()];
    file.write_all(&bytes).unwrap();
    file
}

fn extent(file: &File, first_page: u64, pages: u64) -> Extent {
    Extent {
        file: file.try_clone().unwrap(),
        offset: first_page * PAGE,
        length: pages * PAGE,
    }
}

fn message(result: Result<impl std::fmt::Debug, DiskError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_disk_is_its_extents_in_order() {
    let (a, b) = (file(4, b'a'), file(4, b'b'));
    let extents = vec![extent(&b, 3, 1), extent(&a, 0, 2), extent(&b, 0, 1)];
    let disk = Disk::new(extents, Access::Writable).unwrap();
    assert_eq!(disk.length(), 4 * PAGE);
    let mut data = vec![0; 4 * 4096];
    disk.read_at(0, &mut data).unwrap();
    let expected = [[b'b'; 4096], [b'a'; 4096], [b'a'; 4096], [b'b'; 4096]].concat();
    assert_eq!(data, expected);
}

#[test]
fn a_write_across_extents_lands_in_each_file() {
    let (a, b) = (file(2, b'a'), file(2, b'b'));
    let mut disk = Disk::new(vec![extent(&a, 1, 1), extent(&b, 1, 1)], Access::Writable).unwrap();
    disk.write_at(PAGE - 2, b"wxyz").unwrap();
    let mut tail = [0; 3];
    a.read_exact_at(&mut tail, 2 * PAGE - 3).unwrap();
    assert_eq!(&tail, b"awx");
    b.read_exact_at(&mut tail, PAGE).unwrap();
    assert_eq!(&tail, b"yzb");
    disk.flush().unwrap();
}

#[test]
fn nothing_beyond_the_disk_is_reached() {
    let a = file(4, b'a');
    let mut disk = Disk::new(vec![extent(&a, 1, 1)], Access::Writable).unwrap();
    let mut data = [0; 2];
    for position in [PAGE - 1, PAGE, u64::MAX, u64::MAX - 1] {
        assert!(disk.read_at(position, &mut data).is_err(), "{position}");
        assert!(disk.write_at(position, &data).is_err(), "{position}");
        assert!(disk.discard(position, 2).is_err(), "{position}");
        assert!(disk.zero(position, u64::MAX, false).is_err(), "{position}");
    }
    assert!(disk.read_at(PAGE, &mut []).is_ok());
}

fn zero(disk: &mut Disk, position: u64, length: u64) -> io::Result<()> {
    disk.zero(position, length, false)
}

fn zero_and_unmap(disk: &mut Disk, position: u64, length: u64) -> io::Result<()> {
    disk.zero(position, length, true)
}

#[test]
fn zeroed_and_punched_ranges_read_as_zeroes_and_leave_their_neighbours() {
    for change in [zero, zero_and_unmap, Disk::discard] {
        let (a, b) = (file(3, b'a'), file(3, b'b'));
        let extents = vec![extent(&a, 0, 3), extent(&b, 0, 3)];
        let mut disk = Disk::new(extents, Access::Writable).unwrap();
        change(&mut disk, PAGE + 512, 3 * PAGE).unwrap();
        let mut data = vec![0; 6 * 4096];
        disk.read_at(0, &mut data).unwrap();
        let start = 4096 + 512;
        let end = start + 3 * 4096;
        assert!(data[..start].iter().all(|byte| *byte == b'a'));
        assert!(data[start..end].iter().all(|byte| *byte == 0));
        assert!(data[end..].iter().all(|byte| *byte == b'b'));
        assert_eq!(a.metadata().unwrap().len(), 3 * PAGE);
    }
}

#[test]
fn discarding_gives_blocks_back_to_the_host() {
    use std::os::unix::fs::MetadataExt;
    let a = file(64, b'a');
    a.sync_all().unwrap();
    let before = a.metadata().unwrap().blocks();
    let mut disk = Disk::new(vec![extent(&a, 0, 64)], Access::Writable).unwrap();
    disk.discard(0, 64 * PAGE).unwrap();
    assert!(a.metadata().unwrap().blocks() < before);
}

#[test]
fn zeroes_are_written_where_the_file_system_cannot() {
    let a = file(40, b'a');
    write_zeroes(&a, PAGE, 38 * PAGE).unwrap();
    let mut data = vec![1; 40 * 4096];
    a.read_exact_at(&mut data, 0).unwrap();
    assert!(data[4096..39 * 4096].iter().all(|byte| *byte == 0));
    assert_eq!((data[4095], data[39 * 4096]), (b'a', b'a'));
}

#[test]
fn extents_that_cannot_be_part_of_a_disk_are_named() {
    let a = file(2, b'a');
    let with = |offset, length| {
        let file = a.try_clone().unwrap();
        Disk::new(
            vec![Extent {
                file,
                offset,
                length,
            }],
            Access::Writable,
        )
    };
    assert_eq!(
        message(with(512, PAGE)),
        "extent offset 512 must be a multiple of 4096, and its length 4096 one of 512 and not 0"
    );
    assert!(matches!(with(0, 0), Err(DiskError::Alignment { .. })));
    assert!(matches!(with(0, 100), Err(DiskError::Alignment { .. })));
    assert_eq!(
        message(with(PAGE, 2 * PAGE)),
        "extent 4096+8192 ends beyond its file of 8192 bytes"
    );
    assert!(matches!(
        with(u64::MAX - PAGE + 1, PAGE),
        Err(DiskError::BeyondFile { .. })
    ));
    assert_eq!(
        message(Disk::new(vec![], Access::ReadOnly)),
        "a disk needs at least one extent"
    );
    let many = (0..=MAX_EXTENTS).map(|_| extent(&a, 0, 1)).collect();
    assert_eq!(
        message(Disk::new(many, Access::Writable)),
        "a disk has at most 256 extents"
    );
}

#[test]
fn the_fd_decides_who_may_write() {
    let place = tempfile::NamedTempFile::new().unwrap();
    place.as_file().set_len(PAGE).unwrap();
    let open = |read, write, access| {
        let file = OpenOptions::new()
            .read(read)
            .write(write)
            .open(place.path())
            .unwrap();
        Disk::new(vec![extent(&file, 0, 1)], access)
    };
    assert!(open(true, false, Access::ReadOnly).is_ok());
    assert!(open(true, true, Access::Writable).is_ok());
    assert_eq!(
        message(open(true, true, Access::ReadOnly)),
        "extent's fd is not opened read-only"
    );
    assert_eq!(
        message(open(true, false, Access::Writable)),
        "extent's fd is not opened for reading and writing"
    );
    assert!(open(false, true, Access::Writable).is_err());
}

#[test]
fn only_files_and_block_devices_are_disks() {
    let directory = File::open("/").unwrap();
    let result = Disk::new(vec![extent(&directory, 0, 1)], Access::ReadOnly);
    assert_eq!(
        message(result),
        "an extent must be a regular file or a block device"
    );
}

#[test]
fn a_failed_append_leaves_the_disk_as_it_was() {
    let a = file(1, b'a');
    let mut disk = Disk::new(vec![extent(&a, 0, 1)], Access::Writable).unwrap();
    assert!(disk.append(extent(&a, 0, 2)).is_err());
    assert_eq!(disk.length(), PAGE);
    disk.append(extent(&a, 0, 1)).unwrap();
    assert_eq!(disk.length(), 2 * PAGE);
}

#[test]
fn a_file_that_was_cut_gives_an_error_not_zeroes() {
    let a = file(2, b'a');
    let disk = Disk::new(vec![extent(&a, 0, 2)], Access::Writable).unwrap();
    a.set_len(PAGE).unwrap();
    assert!(disk.read_at(PAGE, &mut [0; 8]).is_err());
}

proptest! {
    /// The disk against the simplest model: one array of bytes.
    #[test]
    fn a_disk_behaves_like_one_array(
        sizes in prop::collection::vec(1u64..4, 1..8),
        operations in prop::collection::vec((0u8..4, 0u64..0x1_0000, 0usize..9000), 1..20),
    ) {
        let backing = file(32, 7);
        let mut first = 0;
        let mut extents = Vec::new();
        for pages in &sizes {
            extents.push(extent(&backing, first, *pages));
            first += pages;
        }
        extents.reverse();
        let mut disk = Disk::new(extents, Access::Writable).unwrap();
        let mut model = vec![7; usize::try_from(disk.length()).unwrap()];
        for (fill, (kind, position, length)) in (10u8..).zip(operations) {
            let start = usize::try_from(position).unwrap();
            let fits = start + length <= model.len();
            let bytes = u64::try_from(length).unwrap();
            let result = match kind {
                0 => disk.read_at(position, &mut vec![0; length]),
                1 => disk.write_at(position, &vec![fill; length]),
                2 => disk.discard(position, bytes.max(1)),
                _ => disk.zero(position, bytes.max(1), false),
            };
            let length = if kind > 1 { length.max(1) } else { length };
            let fits = fits && start + length <= model.len();
            prop_assert_eq!(result.is_ok(), fits, "operation {} at {}+{}", kind, position, length);
            if fits && kind > 0 {
                model[start..start + length].fill(if kind == 1 { fill } else { 0 });
            }
        }
        let mut data = vec![0; model.len()];
        disk.read_at(0, &mut data).unwrap();
        prop_assert_eq!(data, model);
    }
}
