//! How long records are kept.

use belay_model::{Span, Timestamp};
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::time::Duration;

/// The longest, in days: a hundred years.
const MOST_DAYS: u32 = 36_500;
const DAY: u64 = 86_400;

/// How long records are kept: a span, or more days than one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    seconds: u64,
}

impl Retention {
    /// How long.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Records whose time is before this may go.
    pub fn ends(self, now: Timestamp) -> Timestamp {
        let micros = i64::try_from(self.seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        Timestamp(now.0.saturating_sub(micros))
    }
}

impl From<Span> for Retention {
    fn from(span: Span) -> Retention {
        Retention { seconds: u64::from(span.seconds()) }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds.is_multiple_of(DAY) {
            write!(f, "{}d", self.seconds / DAY)
        } else {
            // What is no number of days is short enough for a span.
            let seconds = u32::try_from(self.seconds).unwrap_or(u32::MAX);
            write!(f, "{}", Span::from_seconds(seconds))
        }
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retention, D::Error> {
        let text = String::deserialize(deserializer)?;
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
        match days.filter(|days| (1..=MOST_DAYS).contains(days)) {
            Some(days) => Ok(Retention { seconds: u64::from(days) * DAY }),
            None if days.is_some() => Err(de::Error::custom(format!("`{text}` is outside 1d to {MOST_DAYS}d"))),
            None => text.parse::<Span>().map(Retention::from).map_err(de::Error::custom),
        }
    }
}
