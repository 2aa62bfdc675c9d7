use std::time::UNIX_EPOCH;

use super::*;

#[test]
fn absolute_times_are_the_zone_s_to_the_millisecond() {
    let at = |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    let utc = |nanoseconds| absolute(at(nanoseconds), &TimeZone::UTC);
    let second = 1_136_214_245_000_000_000;
    assert_eq!(utc(second), "2006-01-02 15:04:05 +0000 UTC");
    assert_eq!(
        utc(second + 120_999_999),
        "2006-01-02 15:04:05.12 +0000 UTC"
    );
    let zone = TimeZone::posix("MST7").unwrap();
    assert_eq!(absolute(at(second), &zone), "2006-01-02 08:04:05 -0700 MST");
}

#[test]
fn relative_times_have_the_largest_unit() {
    let now = UNIX_EPOCH + Duration::from_secs(4 * YEAR);
    let ago = |seconds| relative(now - Duration::from_secs(seconds), now);
    for (seconds, expected) in [
        (0, "now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (2 * HOUR + 5, "2 hours ago"),
        (DAY, "1 day ago"),
        (13 * DAY, "1 week ago"),
        (70 * DAY, "2 months ago"),
        (3 * YEAR, "3 years ago"),
    ] {
        assert_eq!(ago(seconds), expected);
    }
    assert_eq!(
        relative(now + Duration::from_secs(90), now),
        "1 minute from now"
    );
}

#[test]
fn durations_are_written_as_in_go() {
    let period = |text: &str| text.parse().map(|Period(duration)| duration);
    for (text, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("30m", 1_800_000),
        ("1h15m30s", 4_530_000),
        ("1.5h", 5_400_000),
        ("300ms", 300),
        ("24h", 86_400_000),
        ("-5s", -5_000),
    ] {
        assert_eq!(
            period(text),
            Ok(SignedDuration::from_millis(milliseconds)),
            "{text}"
        );
    }
    let minutes: Period = "90m".parse().unwrap();
    assert_eq!(
        (minutes.to_string(), minutes.length()),
        ("1h 30m".to_owned(), Duration::from_secs(5400))
    );
    assert_eq!("-1s".parse().map(Period::length), Ok(Duration::ZERO));
    for wrong in ["", "5", "m", "1 parsec", "true"] {
        assert!(
            period(wrong).unwrap_err().contains("is no duration"),
            "{wrong}"
        );
    }
}

#[test]
fn patience_is_a_yes_a_no_or_a_time() {
    let patience = |text: &str| text.parse::<Patience>();
    assert_eq!(patience("true"), Ok(Patience::Forever));
    assert_eq!(patience("-1s"), Ok(Patience::Forever));
    assert_eq!(patience("false"), Ok(Patience::None));
    assert_eq!(patience("0"), Ok(Patience::None));
    assert_eq!(patience("2s"), Ok(Patience::For(Duration::from_secs(2))));
    assert!(patience("yes").is_err());
}
