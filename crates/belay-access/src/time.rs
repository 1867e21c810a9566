//! Times as policies see them. Reads no clock.

use belay_model::Timestamp;

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// The hour of the day in UTC, 0 to 23.
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.0.div_euclid(MICROS).rem_euclid(DAY) / 3_600
}

/// The day of the week in UTC.
pub(crate) fn day(at: Timestamp) -> &'static str {
    // 1970-01-01 was a Thursday.
    match (days(at) + 3).rem_euclid(7) {
        0 => "mon",
        1 => "tue",
        2 => "wed",
        3 => "thu",
        4 => "fri",
        5 => "sat",
        _ => "sun",
    }
}

/// The moment in whole seconds, as Cedar's `datetime` takes it. `None` outside the years 0 to 9999.
pub(crate) fn datetime(at: Timestamp) -> Option<String> {
    let (year, month, date) = civil(days(at));
    let seconds = at.0.div_euclid(MICROS).rem_euclid(DAY);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    (0..=9_999).contains(&year).then(|| format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn days(at: Timestamp) -> i64 {
    at.0.div_euclid(MICROS * DAY)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar: eras of 400 years whose years
/// begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + carried, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_date_hour_and_day_of_the_week() {
        for (seconds, written, of_week, of_day) in [
            (0, "1970-01-01T00:00:00Z", "thu", 0),
            (951_782_399, "2000-02-28T23:59:59Z", "mon", 23),
            (951_825_600, "2000-02-29T12:00:00Z", "tue", 12),
            (1_795_413_600, "2026-11-23T06:00:00Z", "mon", 6),
            (4_107_542_400, "2100-03-01T00:00:00Z", "mon", 0),
            (-1, "1969-12-31T23:59:59Z", "wed", 23),
        ] {
            let at = Timestamp(seconds * MICROS);
            assert_eq!((datetime(at).as_deref(), day(at), hour(at)), (Some(written), of_week, of_day));
        }
        assert_eq!(datetime(Timestamp(i64::MAX)), None);
    }
}
