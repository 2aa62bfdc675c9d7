use super::*;

const OUT: Source = (ProcessId(0), Stream::Stdout);
const ERR: Source = (ProcessId(0), Stream::Stderr);

fn outputs(stdout: Destination) -> AppOutputs {
    AppOutputs::new(&[Outputs {
        stdout,
        stderr: Destination::Null,
    }])
}

#[test]
fn the_slowest_reader_counts() {
    let mut outputs = outputs(Destination::Log);
    outputs.given(OUT, 100);
    assert!(outputs.take_passed(|_| 0).is_empty());
    outputs.written(OUT, 60);
    assert_eq!(outputs.take_passed(|_| 70), [(OUT, 30)]);
    assert_eq!(outputs.take_passed(|_| 0), [(OUT, 30)]);
    outputs.written(OUT, 40);
    assert_eq!(outputs.take_passed(|_| 0), [(OUT, 40)]);
    assert!(outputs.take_passed(|_| 0).is_empty());
}

#[test]
fn what_nobody_reads_is_passed_on_at_once() {
    let mut outputs = outputs(Destination::Attached);
    outputs.given(ERR, 5);
    outputs.given(OUT, 7);
    assert_eq!(outputs.take_passed(|_| 0), [(OUT, 7), (ERR, 5)]);
    outputs.given(OUT, 7);
    assert_eq!(outputs.take_passed(|_| 4), [(OUT, 3)]);
}
