//! Dates and times as English words.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::number::{cardinal, ordinal};

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// "Tuesday".
#[must_use]
pub fn weekday(day: Weekday) -> &'static str {
    WEEKDAYS[day.num_days_from_monday() as usize]
}

/// "Tuesday the first of December".
#[must_use]
pub fn date(date: NaiveDate) -> String {
    format!("{} the {} of {}", weekday(date.weekday()), ordinal(date.day()), MONTHS[date.month0() as usize])
}

/// "nine a.m.", "nine oh five a.m.", "twelve thirty p.m.", "noon", "midnight".
#[must_use]
pub fn time(time: NaiveTime) -> String {
    let (is_afternoon, hour) = time.hour12();
    let half = if is_afternoon { "p.m." } else { "a.m." };
    match (time.hour(), time.minute()) {
        (0, 0) => "midnight".into(),
        (12, 0) => "noon".into(),
        (_, 0) => format!("{} {half}", cardinal(hour)),
        (_, minute @ 1..=9) => format!("{} oh {} {half}", cardinal(hour), cardinal(minute)),
        (_, minute) => format!("{} {} {half}", cardinal(hour), cardinal(minute)),
    }
}

/// "Tuesday the first of December at nine a.m."
#[must_use]
pub fn moment(moment: NaiveDateTime) -> String {
    format!("{} at {}", date(moment.date()), time(moment.time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_can_be_said() {
        let say = |text: &str| moment(NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap());
        assert_eq!(say("2026-12-01T09:00"), "Tuesday the first of December at nine a.m.");
        assert_eq!(say("2026-12-22T12:00"), "Tuesday the twenty-second of December at noon");
        assert_eq!(say("2027-01-31T12:30"), "Sunday the thirty-first of January at twelve thirty p.m.");
        assert_eq!(say("2027-02-03T15:05"), "Wednesday the third of February at three oh five p.m.");
        assert_eq!(say("2027-02-03T00:15"), "Wednesday the third of February at twelve fifteen a.m.");
        assert_eq!(say("2027-02-03T00:00"), "Wednesday the third of February at midnight");
    }
}
