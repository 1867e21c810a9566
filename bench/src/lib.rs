//! Figures of several trials, and what processes use meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken bench must stop")]

mod process;

pub use process::{Peak, Servers, cpu};

use std::time::Duration;

/// The duration that so many percent of the sorted ones do not exceed: the nearest rank.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
