//! On a clock that stands still while anything is done, and goes to the next event when nothing is.

use std::convert::Infallible;

use futures_util::stream::{self, BoxStream};

use super::*;

/// A part of so many bytes each time that so many seconds have passed.
fn parts(
    count: usize,
    bytes: usize,
    seconds: u64,
) -> BoxStream<'static, Result<Vec<u8>, Infallible>> {
    stream::iter(0..count)
        .then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(vec![0; bytes])
        })
        .boxed()
}

/// How many parts of a body are taken, and why no more.
async fn taken(
    mut body: BoxStream<'static, Result<Vec<u8>, Infallible>>,
) -> (usize, Result<(), TooSlow>) {
    let mut pace = Pace::begin();
    let mut count = 0;
    loop {
        match pace.next(&mut body).await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(slow) => return (count, Err(slow)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_keeps_pace_is_taken_to_its_end_however_long_it_takes() {
    let bytes = usize::try_from(SLOWEST_BYTES).unwrap() / 2;
    assert_eq!(taken(parts(1000, bytes, 25)).await, (1000, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it() {
    assert_eq!(taken(parts(5, 1 << 20, 31)).await, (0, Err(TooSlow)));
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_ends_it_after_a_minute() {
    assert_eq!(taken(parts(1000, 1, 5)).await, (12, Err(TooSlow)));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_fast_may_not_be_slow_later() {
    let fast = parts(60, 1 << 20, 2);
    let body = fast.chain(parts(1000, 1, 10)).boxed();
    let (count, end) = taken(body).await;
    assert_eq!(end, Err(TooSlow));
    assert!(count < 80, "{count}");
}
