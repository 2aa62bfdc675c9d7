use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, channel};

use bulkhead_pod::log::{Content, FILE_BYTES_MAX, Record, Stamp, TEXT_BYTES_MAX};
use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use super::file::AppFile;
use super::lines::Lines;
use super::queue::WAITING_BYTES_MAX;
use super::*;

const LONG: Duration = Duration::from_secs(600);

/// The logs of a pod with one app, `web`.
struct Pod {
    directory: tempfile::TempDir,
    log: Log,
    reports: Receiver<Report>,
}

impl Pod {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(journal: Option<OwnedFd>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (channel, reports) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let places = Places {
            directory: Some(File::open(directory.path()).unwrap().into()),
            journal,
        };
        let mut log = Log::new(places, "a-uuid", Reports { channel, wake });
        log.add(ProcessId(0), "web".to_owned().try_into().unwrap());
        Self {
            directory,
            log,
            reports,
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        self.log.output(ProcessId(0), Stream::Stdout, bytes);
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// What the files tell, after all is written.
    fn finish(&self) -> Vec<Record> {
        self.log.finish(LONG);
        let files = ["web.json.1", "web.json"].map(|name| fs::read(self.file(name)));
        let lines = files.into_iter().flatten().flatten().collect::<Vec<u8>>();
        let lines = lines.split_inclusive(|b| *b == b'\n');
        lines.map(|line| Record::parse(line).unwrap()).collect()
    }

    fn said(&self) -> Vec<String> {
        let reports = self.reports.try_iter();
        let text = |report| match report {
            Report::Say(text) => text,
            other => panic!("{other:?}"),
        };
        reports.map(text).collect()
    }
}

fn text(record: &Record) -> String {
    match &record.content {
        Content::Text(text) => String::from_utf8(text.clone()).unwrap(),
        Content::Lost(count) => format!("lost {count}"),
    }
}

#[test]
fn lines_become_records_and_the_last_needs_no_end() {
    let mut pod = Pod::new();
    pod.output(b"one\ntw");
    pod.log.output(ProcessId(0), Stream::Stderr, b"error\n");
    pod.output(b"o\nthree");
    // A process that is nobody's app.
    pod.log.output(ProcessId(7), Stream::Stdout, b"x\n");
    let records = pod.finish();
    let shown = records.iter().map(|r| (r.stream, text(r)));
    let expected = [
        (Output::Stdout, "one\n"),
        (Output::Stderr, "error\n"),
        (Output::Stdout, "two\n"),
        (Output::Stdout, "three"),
    ];
    assert_eq!(
        shown.collect::<Vec<_>>(),
        expected.map(|(stream, text)| (stream, text.to_owned()))
    );
    assert!(pod.said().is_empty());
}

#[test]
fn nothing_is_made_before_the_first_byte() {
    let pod = Pod::new();
    assert!(pod.finish().is_empty());
    assert!(fs::read_dir(pod.directory.path()).unwrap().next().is_none());
}

#[test]
fn there_are_never_more_than_two_files_of_the_bound() {
    let mut pod = Pod::new();
    let line = [vec![b'x'; 1000], b"\n".to_vec()].concat();
    let piece = line.repeat(30);
    let pieces = 3 * FILE_BYTES_MAX / u64::try_from(piece.len()).unwrap();
    for number in 0..pieces {
        pod.output(&piece);
        // So that nothing has to be lost.
        if number % 64 == 0 {
            pod.log.queue.wait_until_idle(LONG);
        }
    }
    let records = pod.finish();
    assert_eq!(fs::read_dir(pod.directory.path()).unwrap().count(), 2);
    for name in ["web.json", "web.json.1"] {
        assert!(fs::metadata(pod.file(name)).unwrap().len() <= FILE_BYTES_MAX);
    }
    assert!(records.len() > 8000, "{}", records.len());
    assert!(records.iter().all(|record| text(record).len() == 1001));
}

#[test]
fn what_cannot_wait_is_lost_and_counted() {
    let queue = Queue::default();
    let source = (AppName::try_from("web".to_owned()).unwrap(), Output::Stdout);
    let piece = vec![b'x'; WAITING_BYTES_MAX / 4];
    let push = || queue.push_bytes(source.clone(), SystemTime::UNIX_EPOCH, &piece);
    (0..6).for_each(|_| push());
    let kinds = |entries: std::collections::VecDeque<Entry>| {
        let kind = |entry: &Entry| match entry {
            Entry::Bytes(..) => 0,
            Entry::Lost(_, _, count) => *count,
            _ => 1,
        };
        entries.iter().map(kind).collect::<Vec<_>>()
    };
    queue.take_turn(|entries| assert_eq!(kinds(entries), [0; 4]));
    push();
    let lost = u64::try_from(2 * piece.len()).unwrap();
    queue.take_turn(|entries| assert_eq!(kinds(entries), [lost, 0]));
    (0..5).for_each(|_| push());
    queue.push(Entry::End(source.clone(), SystemTime::UNIX_EPOCH));
    queue.take_turn(|entries| assert_eq!(kinds(entries), [0, 0, 0, 0, lost / 2, 1]));
}

#[test]
fn a_full_disk_leaves_whole_records_and_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let at = File::open(directory.path()).unwrap();
    let time = Stamp::of(SystemTime::UNIX_EPOCH);
    let mut file = AppFile::new("web");
    let add = |file: &mut AppFile, text: &[u8]| {
        file.add(at.as_fd(), &time, Output::Stdout, text)
            .and(file.flush())
    };
    add(&mut file, b"one\n").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    file.replace_file(full);
    assert!(add(&mut file, b"two\n").is_err());
    assert_eq!(file.lost(), 4);
    add(&mut file, b"three\n").unwrap();
    assert_eq!(file.lost(), 0);
    let lines = fs::read(directory.path().join("web.json")).unwrap();
    let lines = lines.split_inclusive(|b| *b == b'\n');
    let records = lines.map(|line| text(&Record::parse(line).unwrap()));
    assert_eq!(records.collect::<Vec<_>>(), ["one\n", "lost 4", "three\n"]);
}

#[test]
fn a_file_that_cannot_be_written_loses_lines_and_says_so_once() {
    let mut pod = Pod::new();
    std::os::unix::fs::symlink("/dev/full", pod.file("web.json")).unwrap();
    for _ in 0..3 {
        pod.output(b"lost\n");
        pod.log.queue.wait_until_idle(LONG);
    }
    fs::remove_file(pod.file("web.json")).unwrap();
    pod.output(b"kept\n");
    let records = pod.finish();
    assert_eq!(
        records.iter().map(text).collect::<Vec<_>>(),
        ["lost 15", "kept\n"]
    );
    let said = pod.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("app web's log is losing lines: "));
}

#[test]
fn what_no_record_tells_of_is_said_at_the_end() {
    let mut pod = Pod::new();
    std::os::unix::fs::symlink("/dev/full", pod.file("web.json")).unwrap();
    pod.output(b"lost\n");
    pod.log.output_end(ProcessId(0), Stream::Stdout);
    pod.log.finish(LONG);
    assert_eq!(
        pod.said()[1..],
        ["the end of app web's log is missing: 5 bytes"]
    );
}

#[test]
fn the_journal_hears_every_line_and_is_not_waited_for() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut pod = Pod::with(Some(theirs.into()));
    pod.output(b"one\ntwo");
    pod.log.output(ProcessId(0), Stream::Stderr, b"three\n");
    pod.finish();
    let mut heard = Vec::new();
    ours.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = ours.recv(&mut buffer) {
        heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    let message = |priority, text| {
        format!(
            "PRIORITY={priority}\nSYSLOG_IDENTIFIER=web\nBULKHEAD_POD=a-uuid\nBULKHEAD_APP=web\nMESSAGE={text}\n"
        )
    };
    assert_eq!(
        heard,
        [message(6, "one"), message(3, "three"), message(6, "two")]
    );
    // Nobody reads: what does not fit into the socket is dropped.
    let mut pod = Pod::with(Some(ours.into()));
    drop(heard);
    for _ in 0..2000 {
        pod.output(b"more\n");
    }
    assert_eq!(pod.finish().len(), 2000);
    assert!(pod.said()[0].starts_with("the journal did not take "));
}

proptest! {
    #[test]
    fn lines_are_the_bytes_that_came(pieces in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(prop_oneof![Just(b'a'), Just(b'\n')], 0..20),
            (0..3 * TEXT_BYTES_MAX).prop_map(|length| vec![b'b'; length]),
        ],
        0..8,
    )) {
        let mut given: Vec<Vec<u8>> = Vec::new();
        let mut lines = Lines::default();
        for piece in &pieces {
            lines.push(piece, |line| given.push(line.to_vec()));
        }
        lines.end(|line| given.push(line.to_vec()));
        prop_assert_eq!(given.concat(), pieces.concat());
        for line in &given {
            prop_assert!(!line.is_empty() && line.len() <= TEXT_BYTES_MAX);
            prop_assert!(!line[..line.len() - 1].contains(&b'\n'));
        }
        let whole = given.iter().rev().skip(1);
        prop_assert!(whole.clone().all(|l| l.ends_with(b"\n") || l.len() == TEXT_BYTES_MAX));
    }
}
