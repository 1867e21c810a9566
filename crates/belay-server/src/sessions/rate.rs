//! How many statements a grant has run in the last minute, over all its connections. Reads no clock.

use belay_model::{Span, Timestamp};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Seconds that count: those of which some moment is less than a minute ago.
const WINDOW: i64 = 60;

/// See the module. Keeps one number for each second of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    seconds: Mutex<VecDeque<(i64, u32)>>,
}

impl Rate {
    /// Counts so many statements, or none of them if that would be more than `most` in a minute; then it says how long
    /// to wait.
    pub(crate) fn take(&self, most: u32, count: u32, now: Timestamp) -> Result<(), Span> {
        let second = now.0.div_euclid(1_000_000);
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back leaves no statements in the future.
        seconds.retain(|(at, _)| (second - WINDOW..=second).contains(at));
        let used = seconds.iter().fold(0u32, |sum, (_, count)| sum.saturating_add(*count));
        let over = used.saturating_add(count).saturating_sub(most);
        if over > 0 {
            return Err(until_free(&seconds, over, second));
        }
        match seconds.back_mut() {
            Some((at, counted)) if *at == second => *counted = counted.saturating_add(count),
            _ => seconds.push_back((second, count)),
        }
        Ok(())
    }
}

/// When enough of the older statements will have passed out of the minute.
fn until_free(seconds: &VecDeque<(i64, u32)>, over: u32, now: i64) -> Span {
    let mut freed = 0u32;
    let enough = seconds.iter().find(|(_, count)| {
        freed = freed.saturating_add(*count);
        freed >= over
    });
    let wait = enough.map_or(WINDOW, |(at, _)| at + WINDOW + 1 - now);
    Span::from_seconds(u32::try_from(wait.max(1)).unwrap_or(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp(millis * 1000)
    }

    #[test]
    fn never_more_than_so_many_in_any_minute() {
        let rate = Rate::default();
        let mut taken = Vec::new();
        for millis in (0..200_000).step_by(170) {
            if rate.take(60, 1, at(millis)).is_ok() {
                taken.push(millis);
            }
        }
        for start in &taken {
            let within = taken.iter().filter(|other| (*start..start + 60_000).contains(*other)).count();
            assert!(within <= 60, "{within} from {start}");
        }
        assert!(taken.len() > 180);
    }

    #[test]
    fn what_is_refused_does_not_count_and_is_told_how_long_to_wait() {
        let rate = Rate::default();
        assert_eq!(rate.take(3, 2, at(500)), Ok(()));
        assert_eq!(rate.take(3, 2, at(10_000)), Err(Span::from_seconds(51)));
        assert_eq!(rate.take(3, 1, at(10_000)), Ok(()));
        assert_eq!(rate.take(3, 2, at(60_900)), Err(Span::from_seconds(1)));
        assert_eq!(rate.take(3, 2, at(61_000)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rate = Rate::default();
        assert_eq!(rate.take(1, 1, at(9_000_000)), Ok(()));
        assert_eq!(rate.take(1, 1, at(1_000)), Ok(()));
        assert!(rate.take(1, 1, at(2_000)).is_err());
    }
}
