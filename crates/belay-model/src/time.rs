//! Points and spans of time, as data. Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time `span` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.micros()))
    }

    /// How long from here to `later`; zero when `later` has passed.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// A length of time in whole seconds, written `30m` or `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    seconds: u32,
}

/// A text that is not a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// A number with nothing behind it.
    #[error("`{0}` has no unit; write `{0}m` for minutes or `{0}h` for hours")]
    Bare(String),
    /// Anything else.
    #[error("`{0}` is not a length of time; write for example `30m`, `2h` or `1d`")]
    Unreadable(String),
    /// Zero, or longer than a year.
    #[error("`{0}` is outside 1s to 365d")]
    OutOfRange(String),
}

impl Span {
    const MAX_SECONDS: u32 = 365 * 86_400;

    /// A span of so many seconds, at most 365 days.
    pub const fn from_seconds(seconds: u32) -> Span {
        Span { seconds: if seconds < Self::MAX_SECONDS { seconds } else { Self::MAX_SECONDS } }
    }

    /// The span in seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    fn micros(self) -> i64 {
        i64::from(self.seconds) * 1_000_000
    }
}

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Span, SpanError> {
        let unreadable = || SpanError::Unreadable(text.to_owned());
        let split = text.find(|c: char| !c.is_ascii_digit());
        let (digits, unit) = match split {
            None if text.is_empty() => return Err(unreadable()),
            None => return Err(SpanError::Bare(text.to_owned())),
            Some(at) => text.split_at(at),
        };
        let factor: u32 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(unreadable()),
        };
        if digits.is_empty() {
            return Err(unreadable());
        }
        let out_of_range = || SpanError::OutOfRange(text.to_owned());
        let number: u32 = digits.parse().map_err(|_| out_of_range())?;
        match number.checked_mul(factor) {
            Some(seconds) if (1..=Self::MAX_SECONDS).contains(&seconds) => Ok(Span { seconds }),
            _ => Err(out_of_range()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut written) = (self.seconds, false);
        for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            let count = rest / size;
            rest %= size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                written = true;
            }
        }
        if written { Ok(()) } else { f.write_str("0s") }
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Span, SpanError> {
        // What `Display` writes may have several parts ("1h30m"); sum them.
        let mut seconds: u32 = 0;
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let unit = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(|| SpanError::Bare(text.clone()))?;
            let (part, after) = rest.split_at(unit + 1);
            seconds = seconds.saturating_add(part.parse::<Span>()?.seconds);
            rest = after;
        }
        match seconds {
            1..=Span::MAX_SECONDS => Ok(Span { seconds }),
            _ => Err(SpanError::OutOfRange(text)),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["30m", "2h", "1d", "45s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!(Span::try_from("1h30m".to_owned()).unwrap().seconds(), 5_400);
        assert_eq!(Span::from_seconds(5_400).to_string(), "1h30m");
    }

    #[test]
    fn a_bare_number_is_refused_with_a_hint() {
        let error = "30".parse::<Span>().unwrap_err();
        assert_eq!(error.to_string(), "`30` has no unit; write `30m` for minutes or `30h` for hours");
    }

    #[test]
    fn nonsense_zero_and_the_endless_are_refused() {
        for text in ["", "m", "1w", "-1h", "0m", "366d", "99999999999h", "é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
