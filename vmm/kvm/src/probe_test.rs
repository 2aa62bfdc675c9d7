use super::*;

#[test]
fn the_program_reports_the_result_it_is_judged_by() {
    assert_eq!(PROGRAM[1..5], RESULT.to_le_bytes());
    assert_eq!(u16::from(PROGRAM[22]), RESULT_PORT);
}

#[test]
fn two_probes_in_one_process_agree() {
    assert_eq!(probe(), probe());
}
