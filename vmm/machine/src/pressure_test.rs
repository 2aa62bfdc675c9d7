use std::fs::File;

use super::*;

#[test]
fn it_lasts_until_some_time_after_the_last_word_and_ends_once() {
    let mut pressure = Pressure::of(File::open("/dev/null").unwrap().into());
    let begin = Instant::now();
    assert_eq!(pressure.left(begin), None);
    assert!(!pressure.has_passed(begin));

    pressure.is_felt(begin);
    let later = begin + CALM / 2;
    pressure.is_felt(later);
    assert_eq!(pressure.left(begin + CALM), Some(CALM / 2));
    assert!(!pressure.has_passed(begin + CALM));

    let calm = later + CALM;
    assert_eq!(pressure.left(calm + CALM), Some(Duration::ZERO));
    assert!(pressure.has_passed(calm));
    assert!(!pressure.has_passed(calm));
    assert_eq!(pressure.left(calm), None);
}
