use super::*;

fn labels() -> Labels {
    let name = |n: &str| AppName::try_from(n.to_owned()).unwrap();
    Labels::new(vec![name("web"), name("db")])
}

#[test]
fn lines_carry_the_name_and_unfinished_ones_wait() {
    let mut labels = labels();
    let (web, db) = (ProcessId(0), ProcessId(1));
    assert_eq!(labels.push(web, Stream::Stdout, b"one\ntw"), b"web: one\n");
    assert_eq!(labels.push(db, Stream::Stdout, b"\n"), b"db: \n");
    assert_eq!(labels.push(web, Stream::Stderr, b"x\n"), b"web: x\n");
    assert_eq!(labels.push(web, Stream::Stdout, b"o\nthree"), b"web: two\n");
    assert_eq!(labels.end(web, Stream::Stdout), b"web: three\n");
    assert_eq!(labels.end(web, Stream::Stdout), b"");
}

#[test]
fn a_line_without_end_is_cut_and_not_kept() {
    let mut labels = labels();
    let long = vec![b'x'; LINE_MAX * 2 + 10];
    let out = labels.push(ProcessId(0), Stream::Stdout, &long);
    assert_eq!(out.len(), 2 * (LINE_MAX + b"web: \n".len()));
    let kept: usize = labels.unfinished.values().map(Vec::len).sum();
    assert_eq!(kept, 10);
}
