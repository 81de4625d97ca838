//! Wall-clock time of a zone, as people say it and as the language model writes it, to and from UTC.

use chrono::{DateTime, Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Why a text names no moment. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalTimeError {
    /// Not a date and time, or no such day in the calendar.
    #[error("is not a local date and time")]
    Unreadable,
    /// The clocks go forward over it.
    #[error("does not exist: the clocks go forward over it that night")]
    Skipped,
}

/// Reads `2026-12-01T09:00` (seconds, fractions of them and a blank for the `T` are accepted) as wall-clock time of `zone`.
///
/// When clocks go back, an hour comes twice: the first of the two is meant unless an offset is given
/// (`2026-11-01T01:30-05:00`). An offset is also accepted elsewhere and then counts, whatever the zone.
pub fn parse(text: &str, zone: Tz) -> Result<DateTime<Utc>, LocalTimeError> {
    let text = text.trim();
    if let Some(moment) = parse_with_offset(text) {
        return if is_near(moment.date_naive()) { Ok(moment.with_timezone(&Utc)) } else { Err(LocalTimeError::Unreadable) };
    }
    let local = parse_naive(text).filter(|local| is_near(local.date())).ok_or(LocalTimeError::Unreadable)?;
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => Ok(moment.with_timezone(&Utc)),
        MappedLocalTime::None => Err(LocalTimeError::Skipped),
    }
}

/// Reads the edge of a window: a moment as in [`parse`], or a day (`2026-12-01`), which stands for its beginning or, as the
/// window's end, for the beginning of the next one.
pub fn parse_edge(text: &str, zone: Tz, is_end: bool) -> Result<DateTime<Utc>, LocalTimeError> {
    let Ok(day) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") else {
        return parse(text, zone);
    };
    if !is_near(day) {
        return Err(LocalTimeError::Unreadable);
    }
    let day = if is_end { day.succ_opt().ok_or(LocalTimeError::Unreadable)? } else { day };
    Ok(resolve(day.and_time(NaiveTime::MIN), zone))
}

/// The moment at which the clocks of `zone` show `local`; the first such moment when they show it twice, and the first
/// moment after the gap when they skip it.
#[must_use]
pub fn resolve(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return moment.with_timezone(&Utc);
    }
    // The widest gap on record is a whole day (Samoa, 2011); steps of a minute find its end exactly.
    (1..=25 * 60)
        .filter_map(|minutes| zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))).earliest())
        .next()
        .map_or_else(|| Utc.from_utc_datetime(&local), |moment| moment.with_timezone(&Utc))
}

/// Writes a moment as wall-clock time of `zone`, `2026-12-01T09:00`; with its offset when the clocks show that time twice.
#[must_use]
pub fn format(moment: DateTime<Utc>, zone: Tz) -> String {
    let local = moment.with_timezone(&zone);
    match zone.from_local_datetime(&local.naive_local()) {
        MappedLocalTime::Ambiguous(..) => local.format("%Y-%m-%dT%H:%M%:z").to_string(),
        _ => local.format("%Y-%m-%dT%H:%M").to_string(),
    }
}

/// The wall-clock time of `zone` at a moment.
#[must_use]
pub fn local(moment: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    moment.with_timezone(&zone).naive_local()
}

/// Keeps the far ends of the calendar out, where adding a week overflows.
fn is_near(day: NaiveDate) -> bool {
    (1900..3000).contains(&day.year())
}

fn parse_naive(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

fn parse_with_offset(text: &str) -> Option<DateTime<FixedOffset>> {
    ["%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"].iter().find_map(|format| DateTime::parse_from_str(text, format).ok())
}

#[cfg(test)]
mod tests {
    use chrono_tz::America::New_York;
    use chrono_tz::Europe::Berlin;
    use chrono_tz::Pacific::Apia;
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn wall_clock_time_is_read_in_the_zone() {
        for text in [
            "2026-12-01T09:00",
            "2026-12-01 09:00",
            "2026-12-01T09:00:00",
            " 2026-12-01T09:00 ",
            "2026-12-01T14:00Z",
            "2026-12-01T09:00:00.000-05:00",
        ] {
            assert_eq!(parse(text, New_York), Ok(utc("2026-12-01T14:00:00Z")), "{text}");
        }
        for text in ["tomorrow at nine", "2026-02-30T09:00", "2026-12-01", "09:00", "+200000-01-01T09:00", ""] {
            assert_eq!(parse(text, New_York), Err(LocalTimeError::Unreadable), "{text}");
        }
    }

    #[test]
    fn the_hour_that_does_not_exist_and_the_one_that_comes_twice() {
        assert_eq!(parse("2026-03-29T02:30", Berlin), Err(LocalTimeError::Skipped));
        let (first, second) = (utc("2026-10-25T00:30:00Z"), utc("2026-10-25T01:30:00Z"));
        assert_eq!(parse("2026-10-25T02:30", Berlin), Ok(first));
        assert_eq!(parse("2026-10-25T02:30+01:00", Berlin), Ok(second));
        assert_eq!(format(first, Berlin), "2026-10-25T02:30+02:00");
        assert_eq!(format(second, Berlin), "2026-10-25T02:30+01:00");
        assert_eq!(format(utc("2026-10-25T08:00:00Z"), Berlin), "2026-10-25T09:00");
    }

    #[test]
    fn gaps_resolve_to_their_end() {
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap();
        assert_eq!(resolve(at("2026-03-29T02:30"), Berlin), utc("2026-03-29T01:00:00Z"));
        assert_eq!(resolve(at("2011-12-30T12:00"), Apia), utc("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn a_day_is_a_window() {
        assert_eq!(parse_edge("2026-12-01", New_York, false), Ok(utc("2026-12-01T05:00:00Z")));
        assert_eq!(parse_edge("2026-12-01", New_York, true), Ok(utc("2026-12-02T05:00:00Z")));
        assert_eq!(parse_edge("2026-12-01T12:00", New_York, true), Ok(utc("2026-12-01T17:00:00Z")));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0_i64..4_000_000_000) {
            let moment = DateTime::from_timestamp(seconds / 60 * 60, 0).unwrap();
            prop_assert_eq!(parse(&format(moment, Berlin), Berlin), Ok(moment));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,30}") {
            let _ = parse(&text, Berlin);
            let _ = parse_edge(&text, Berlin, true);
        }
    }
}
