use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::fixture_test::{Data, hold, uuid};
use crate::lifecycle::Phase;

/// A record of standard output at this second.
fn line(second: u64, content: &[u8]) -> Vec<u8> {
    let time = Stamp::of(UNIX_EPOCH + Duration::from_secs(second));
    let mut line = Vec::new();
    Record::write(&mut line, &time, Output::Stdout, content);
    line
}

/// A pod with the directory of its logs.
fn pod() -> (Data, PathBuf) {
    let data = Data::new();
    let logs = data.pod(Phase::Run, uuid("aa")).join(DIRECTORY);
    fs::create_dir(&logs).unwrap();
    (data, logs)
}

fn web(data: &Data) -> AppLog {
    let logs = Logs::open(&data.find(uuid("aa"))).unwrap().unwrap();
    logs.app(&"web".parse().unwrap())
}

/// What there is to read now.
fn texts(log: &mut AppLog) -> Vec<String> {
    let records = std::iter::from_fn(|| log.next_record().unwrap());
    let text = |record: Record| match record.content {
        Content::Text(text) => String::from_utf8(text).unwrap(),
        Content::Lost(count) => format!("lost {count}"),
    };
    records.map(text).collect()
}

fn append(file: PathBuf, bytes: &[u8]) {
    use std::io::Write;
    let file = fs::File::options().create(true).append(true).open(file);
    file.unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_record_is_one_line_of_json() {
    let time = Stamp::of(UNIX_EPOCH + Duration::new(1_136_214_245, 5));
    let mut lines = Vec::new();
    Record::write(&mut lines, &time, Output::Stdout, b"a \"b\"\n");
    Record::write(&mut lines, &time, Output::Stderr, b"\xff\n");
    Record::write_lost(&mut lines, &time, Output::Stdout, 12);
    let time = "2006-01-02T15:04:05.000000005Z";
    let expected = format!(
        "{{\"time\":\"{time}\",\"stream\":\"stdout\",\"log\":\"a \\\"b\\\"\\n\"}}\n\
         {{\"time\":\"{time}\",\"stream\":\"stderr\",\"base64\":\"/wo=\"}}\n\
         {{\"time\":\"{time}\",\"stream\":\"stdout\",\"lost\":12}}\n"
    );
    assert_eq!(String::from_utf8(lines).unwrap(), expected);
}

#[test]
fn the_longest_text_fits_into_the_longest_record() {
    for content in [b'\0', 0xff, b'"', 0x7f] {
        let content = vec![content; TEXT_BYTES_MAX];
        assert!(line(1, &content).len() <= RECORD_BYTES_MAX);
    }
}

#[test]
fn both_files_are_read_in_order() {
    let (data, logs) = pod();
    append(logs.join("web.json.1"), &line(1, b"one\n"));
    append(logs.join("web.json"), &line(2, b"two\n"));
    assert_eq!(texts(&mut web(&data)), ["one\n", "two\n"]);
    let names = Logs::open(&data.find(uuid("aa")))
        .unwrap()
        .unwrap()
        .apps()
        .unwrap();
    assert_eq!(
        names.iter().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["web"]
    );
}

#[test]
fn what_comes_later_is_read_across_rotations() {
    let (data, logs) = pod();
    let file = logs.join("web.json");
    let mut log = web(&data);
    assert!(texts(&mut log).is_empty());
    append(file.clone(), &line(1, b"one\n"));
    assert_eq!(texts(&mut log), ["one\n"]);
    append(file.clone(), &line(2, b"two\n"));
    fs::rename(&file, logs.join("web.json.1")).unwrap();
    append(file.clone(), &line(3, b"three\n"));
    assert_eq!(texts(&mut log), ["two\n", "three\n"]);
    assert!(!log.take_missed());
    for second in 6..9 {
        fs::rename(&file, logs.join("web.json.1")).unwrap();
        append(file.clone(), &line(second, b"late\n"));
    }
    assert_eq!(texts(&mut log), ["late\n", "late\n"]);
    assert!(log.take_missed());
}

#[test]
fn a_line_that_is_being_written_is_waited_for() {
    let (data, logs) = pod();
    let whole = line(1, b"one\n");
    append(logs.join("web.json"), &whole[..20]);
    let mut log = web(&data);
    assert!(texts(&mut log).is_empty());
    append(logs.join("web.json"), &whole[20..]);
    assert_eq!(texts(&mut log), ["one\n"]);
    assert_eq!(log.take_damaged(), 0);
}

#[test]
fn what_is_no_record_is_counted_and_passed_over() {
    let (data, logs) = pod();
    let mut bytes = b"nonsense\n{}\n".to_vec();
    bytes.extend(vec![b'x'; 3 * RECORD_BYTES_MAX]);
    bytes.push(b'\n');
    bytes.extend(line(1, b"one\n"));
    append(logs.join("web.json"), &bytes);
    let mut log = web(&data);
    assert_eq!(texts(&mut log), ["one\n"]);
    assert_eq!((log.take_damaged(), log.take_damaged()), (3, 0));
}

#[test]
fn links_pipes_and_endless_files_are_refused() {
    let (data, logs) = pod();
    let file = logs.join("web.json");
    let fails = || web(&data).next_record().unwrap_err().to_string();
    symlink("/etc/passwd", &file).unwrap();
    assert_eq!(fails(), "read its log web.json");
    fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &file,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fails();
    fs::remove_file(&file).unwrap();
    let sparse = fs::File::create(&file).unwrap();
    sparse.set_len(FILE_BYTES_MAX + 1).unwrap();
    fails();
}

#[test]
fn a_follower_hears_of_writes_and_of_the_end() {
    let (data, logs) = pod();
    let lock = hold(logs.parent().unwrap());
    let pod = data.find(uuid("aa"));
    let follower = follow::Follower::on(&pod, &Logs::open(&pod).unwrap().unwrap()).unwrap();
    append(logs.join("web.json"), b"x");
    assert!(follower.wait().unwrap());
    drop(lock);
    assert!(!follower.wait().unwrap());
}

proptest! {
    #[test]
    fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::parse(&line);
    }

    #[test]
    fn bytes_survive(content in prop::collection::vec(any::<u8>(), 0..200), second in 0_u64..1 << 33) {
        let record = Record::parse(&line(second, &content)).unwrap();
        prop_assert_eq!(record.content, Content::Text(content));
        prop_assert_eq!(u64::try_from(record.time.as_second()).unwrap(), second);
    }
}
