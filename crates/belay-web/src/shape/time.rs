//! Points in time as the API writes them.

use belay_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// RFC 3339 in UTC: `2026-11-30T03:12:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// The time as the rest of Belay counts it.
    pub fn timestamp(self) -> Timestamp {
        Timestamp(self.0.as_microsecond())
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Time {
        let past = if timestamp.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Time(jiff::Timestamp::from_microsecond(timestamp.0).unwrap_or(past))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc_and_read_back() {
        let time = Time::from(Timestamp(1_796_000_000_123_456));
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2026-11-30T00:53:20.123456Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap().timestamp(), Timestamp(1_796_000_000_123_456));
        assert_eq!(time.to_string(), "2026-11-30T00:53:20Z");
    }
}
