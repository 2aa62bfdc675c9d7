//! Measurements that may have to be made again.
//!
//! Under `-icount`, QEMU (7.2 to 10.0 at least) can forget that it has given a nested guest its interrupt and give it
//! once more; now and then a guest waits for ever after that. Such a start says nothing of what is measured, so it is
//! told, left out and made again. Where no guest may hang, in the end-to-end tests, nothing runs under `-icount`.

use anyhow::{Context, Result, bail};

use crate::process::progress;

/// Three hangs one after the other are no accident of the machine.
const ATTEMPTS: usize = 3;

/// How a measurement went.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    Done(T),
    /// Its time limit passed.
    Hung,
}

impl<T> Attempt<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Attempt::Done(value) => Attempt::Done(change(value)),
            Attempt::Hung => Attempt::Hung,
        }
    }
}

/// Measures until it is done. A hang is told.
pub(super) fn until_done<T>(
    what: &str,
    mut measure: impl FnMut() -> Result<Attempt<T>>,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        match measure().with_context(|| what.to_owned())? {
            Attempt::Done(value) => return Ok(value),
            Attempt::Hung => progress(&format!("{what} hung and is not counted")),
        }
    }
    bail!("{what} hung {ATTEMPTS} times, one after the other")
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS, Attempt, until_done};

    #[test]
    fn a_hang_is_measured_again() {
        let mut ends = [Attempt::Hung, Attempt::Done(7)].into_iter();
        let value = until_done("a start", || Ok(ends.next().unwrap()));
        assert_eq!(value.unwrap(), 7);
    }

    #[test]
    fn hangs_alone_are_an_error() {
        let mut count = 0;
        let result = until_done::<()>("a start", || {
            count += 1;
            Ok(Attempt::Hung)
        });
        assert!(result.unwrap_err().to_string().contains("a start hung"));
        assert_eq!(count, ATTEMPTS);
    }
}
