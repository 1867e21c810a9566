//! Whether the machine's clock can be believed by somebody who deletes what is old by it.

use belay_model::Timestamp;
use std::time::Duration;

/// The clock, and how long the gateway had been running, when both were believed last.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    clock: Timestamp,
    running: Duration,
}

impl Steady {
    /// Believes the clock as it is when the gateway starts.
    pub fn at_start(clock: Timestamp) -> Steady {
        Steady { clock, running: Duration::ZERO }
    }

    /// By how much the clock went another way than time since it was believed last.
    pub(super) fn apart(self, clock: Timestamp, running: Duration) -> Duration {
        let went = i128::from(clock.0) - i128::from(self.clock.0);
        let passed = i128::try_from(running.saturating_sub(self.running).as_micros()).unwrap_or(i128::MAX);
        Duration::from_micros(u64::try_from(went.abs_diff(passed)).unwrap_or(u64::MAX))
    }

    pub(super) fn believe(&mut self, clock: Timestamp, running: Duration) {
        *self = Steady { clock, running };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_apart_from_time_whichever_way_it_was_set() {
        let hour = |hours: i64| Timestamp(hours * 3_600_000_000);
        let mut steady = Steady::at_start(hour(1_000));
        assert_eq!(steady.apart(hour(1_001), Duration::from_hours(1)), Duration::ZERO);
        assert_eq!(steady.apart(hour(1_005), Duration::from_hours(1)), Duration::from_hours(4));
        assert_eq!(steady.apart(hour(999), Duration::from_hours(1)), Duration::from_hours(2));
        steady.believe(hour(1_005), Duration::from_hours(1));
        assert_eq!(steady.apart(hour(1_006), Duration::from_hours(2)), Duration::ZERO);
    }
}
