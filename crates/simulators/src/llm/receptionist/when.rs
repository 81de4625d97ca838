//! Days and times as callers name them.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::numbers::{number, ordinal};
use super::words::Words;

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// Which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    /// One day.
    On(NaiveDate),
    /// From the first to the last.
    Between(NaiveDate, NaiveDate),
    /// That day or later.
    From(NaiveDate),
    /// Any such day; today's date is not known.
    Any(Weekday),
}

/// Half a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Morning,
    Afternoon,
}

/// What was said about when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct When {
    pub(super) day: Option<Day>,
    /// A time of day; without "a.m." or "p.m." the one within usual working hours.
    pub(super) time: Option<NaiveTime>,
    pub(super) part: Option<Part>,
}

impl When {
    /// Reads an utterance. `loosely`: an hour with its minutes counts as a time without "at" before it.
    pub(super) fn read(words: &Words, today: Option<NaiveDate>, loosely: bool) -> Self {
        let part = if words.any(&["morning"]) && !words.says(&["good morning"]) {
            Some(Part::Morning)
        } else if words.any(&["afternoon", "evening"]) && !words.says(&["good afternoon", "good evening"]) {
            Some(Part::Afternoon)
        } else {
            None
        };
        Self { day: day(words, today), time: time(words, part, loosely), part }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.day.is_none() && self.time.is_none() && self.part.is_none()
    }

    /// Whether a moment is meant, as far as anything was said.
    pub(super) fn fits(&self, moment: NaiveDateTime) -> bool {
        let date = moment.date();
        let day = match self.day {
            None => true,
            Some(Day::On(day)) => date == day,
            Some(Day::Between(first, last)) => (first..=last).contains(&date),
            Some(Day::From(first)) => date >= first,
            Some(Day::Any(weekday)) => date.weekday() == weekday,
        };
        let part = self.part.is_none_or(|part| (moment.hour() < 12) == (part == Part::Morning));
        day && part && self.time.is_none_or(|time| moment.time() == time)
    }
}

/// Words about when that a clinic's calendar understands better than [`When`]: "after five", "first thing Thursday", "in two weeks".
pub(super) fn natural(words: &Words) -> Option<String> {
    const SIGNS: [&str; 9] =
        ["after", "before", "between", "first thing", "week after next", "two weeks", "three weeks", "late in", "early in"];
    const WITH: [&str; 32] = [
        "after",
        "before",
        "between",
        "and",
        "first",
        "thing",
        "the",
        "week",
        "weeks",
        "next",
        "in",
        "on",
        "at",
        "of",
        "this",
        "late",
        "early",
        "tomorrow",
        "today",
        "morning",
        "afternoon",
        "evening",
        "lunch",
        "work",
        "noon",
        "half",
        "past",
        "quarter",
        "to",
        "am",
        "pm",
        "oclock",
    ];
    let is_timely = |at: usize| {
        let word = words.get(at);
        let number = number(words, at).is_some() || ordinal(words, at).is_some();
        WITH.contains(&word) || MONTHS.contains(&word) || weekday(word).is_some() || number
    };
    let sign = SIGNS.iter().filter_map(|sign| words.find(sign)).min()?;
    let first = (0..=sign).rev().take_while(|at| is_timely(*at)).last()?;
    let end = (sign..words.list().len()).take_while(|at| is_timely(*at)).last()? + 1;
    // "Before" alone says nothing about when.
    let says_when = |at: usize| !["the", "and", "in", "on", "at", "of", "to", "after", "before", "between"].contains(&words.get(at));
    (first..end).any(says_when).then(|| words.list()[first..end].join(" "))
}

fn weekday(word: &str) -> Option<Weekday> {
    let name = word.strip_suffix('s').unwrap_or(word);
    let known = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    known.contains(&name).then(|| name.parse().ok()).flatten()
}

fn day(words: &Words, today: Option<NaiveDate>) -> Option<Day> {
    let named = words.list().iter().find_map(|word| weekday(word));
    if let Some(date) = calendar_date(words, named, today) {
        return Some(Day::On(date));
    }
    let Some(today) = today else { return named.map(Day::Any) };
    let later = |days: u64| today.checked_add_days(Days::new(days));
    if words.says(&["day after tomorrow"]) {
        return later(2).map(Day::On);
    }
    if words.any(&["tomorrow"]) {
        return later(1).map(Day::On);
    }
    if let Some(weekday) = named {
        let ahead = u64::from((7 + weekday.num_days_from_monday() - today.weekday().num_days_from_monday() - 1) % 7 + 1);
        return later(ahead).map(Day::On);
    }
    if words.any(&["today"]) {
        return Some(Day::On(today));
    }
    let to_monday = u64::from(7 - today.weekday().num_days_from_monday());
    if words.says(&["next week"]) {
        return later(to_monday).zip(later(to_monday + 6)).map(|(first, last)| Day::Between(first, last));
    }
    words.says(&["this week"]).then(|| later(to_monday - 1)).flatten().map(|last| Day::Between(today, last))
}

/// "The first of December", "December first", "Tuesday the first", "on the twenty-fourth": the next such day.
fn calendar_date(words: &Words, named: Option<Weekday>, today: Option<NaiveDate>) -> Option<NaiveDate> {
    let today = today?;
    let month = |at: usize| MONTHS.iter().position(|name| *name == words.get(at)).and_then(|at| u32::try_from(at + 1).ok());
    let ahead = |fits: &dyn Fn(NaiveDate) -> bool| today.iter_days().take(366).find(|date| fits(*date));
    for at in 0..words.list().len() {
        if let Some(month) = month(at) {
            let next = if words.get(at + 1) == "the" { at + 2 } else { at + 1 };
            if let Some((day, _)) = ordinal(words, next).or_else(|| number(words, next)) {
                return ahead(&|date| (date.month(), date.day()) == (month, day));
            }
        }
        let Some((day, length)) = ordinal(words, at) else { continue };
        if words.get(at + length) == "of"
            && let Some(month) = month(at + length + 1)
        {
            return ahead(&|date| (date.month(), date.day()) == (month, day));
        }
        // "The first one" is a choice, no date.
        let after = words.get(at + length);
        let is_choice = ["one", "time", "option", "slot"].contains(&after);
        let the = words.before(at) == "the";
        let before = words.before(at - usize::from(the && at > 0));
        if the && !is_choice && weekday(before).is_some() {
            return ahead(&|date| date.day() == day && named.is_none_or(|named| date.weekday() == named));
        }
        if the && !is_choice && before == "on" {
            return ahead(&|date| date.day() == day);
        }
    }
    None
}

fn time(words: &Words, part: Option<Part>, loosely: bool) -> Option<NaiveTime> {
    if words.any(&["noon", "midday"]) {
        return NaiveTime::from_hms_opt(12, 0, 0);
    }
    (0..words.list().len()).find_map(|at| time_at(words, at, part, loosely))
}

fn time_at(words: &Words, at: usize, part: Option<Part>, loosely: bool) -> Option<NaiveTime> {
    let (hour, minute, end, plain) = if let Some((hour, minute)) = words.get(at).split_once(':') {
        (hour.parse().ok()?, minute.parse().ok()?, at + 1, true)
    } else {
        let (hour, length) = number(words, at)?;
        let next = at + length;
        let of = [words.before(at), words.before(at.saturating_sub(1))];
        match of {
            ["past", "half"] => (hour, 30, next, true),
            ["past", "quarter"] => (hour, 15, next, true),
            ["to", "quarter"] => (hour.checked_sub(1)?, 45, next, true),
            _ => {
                let minutes = match (words.get(next), number(words, next)) {
                    ("oh", _) => number(words, next + 1).filter(|(minute, _)| *minute < 10).map(|(minute, length)| (minute, length + 1)),
                    (_, Some((minute @ 10..=59, length))) => Some((minute, length)),
                    _ => None,
                };
                let anchored = ["at", "around", "about", "by"].contains(&words.before(at));
                let (minute, length) = minutes.unwrap_or_default();
                (hour, minute, next + length, anchored || (loosely && minutes.is_some()))
            }
        }
    };
    let half = words.get(end);
    let marked = ["am", "pm", "oclock"].contains(&half);
    if !(plain || marked) || hour > 23 || minute > 59 {
        return None;
    }
    let hour = match (half, part, hour) {
        ("am", _, 12) => 0,
        ("pm", _, hour @ 1..=11) => hour + 12,
        ("am" | "pm", ..) => hour,
        (_, Some(Part::Afternoon), hour @ 1..=11) => hour + 12,
        (_, Some(Part::Morning), hour) => hour,
        // Nobody sees a doctor at three in the night.
        (_, None, hour @ 1..=6) => hour + 12,
        (_, _, hour) => hour,
    };
    NaiveTime::from_hms_opt(hour, minute, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> When {
        // A Saturday.
        When::read(&Words::of(text), NaiveDate::from_ymd_opt(2026, 11, 21), true)
    }

    fn on(month: u32, day: u32) -> Option<Day> {
        NaiveDate::from_ymd_opt(2026, month, day).map(Day::On)
    }

    #[test]
    fn days() {
        for (text, expected) in [
            ("today", on(11, 21)),
            ("tomorrow morning", on(11, 22)),
            ("the day after tomorrow", on(11, 23)),
            ("next Tuesday", on(11, 24)),
            ("on Saturday", on(11, 28)),
            ("the first of December", on(12, 1)),
            ("December 1st", on(12, 1)),
            ("December the second", on(12, 2)),
            ("Tuesday the first at nine", on(12, 1)),
            ("on the twenty-fourth", on(11, 24)),
            ("The first one, please.", None),
            ("the second", None),
            ("Monday, the second one", on(11, 23)),
            ("May I come?", None),
        ] {
            assert_eq!(read(text).day, expected, "{text}");
        }
        let week = |first, last| Some(Day::Between(first, last));
        let date = |day| NaiveDate::from_ymd_opt(2026, 11, day).expect("a date");
        assert_eq!(read("some time next week").day, week(date(23), date(29)));
        assert_eq!(read("this week").day, week(date(21), date(22)));
        assert_eq!(When::read(&Words::of("on Friday"), None, false).day, Some(Day::Any(Weekday::Fri)));
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("at nine", Some((9, 0))),
            ("at nine a.m.", Some((9, 0))),
            ("nine thirty", Some((9, 30))),
            ("at two", Some((14, 0))),
            ("at eight in the evening", Some((20, 0))),
            ("half past two", Some((14, 30))),
            ("a quarter to ten", Some((9, 45))),
            ("9:30", Some((9, 30))),
            ("14:15", Some((14, 15))),
            ("three oh five p.m.", Some((15, 5))),
            ("noon", Some((12, 0))),
            ("ten o'clock", Some((10, 0))),
            ("the second one", None),
            ("at 99", None),
        ] {
            let expected = expected.and_then(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0));
            assert_eq!(read(text).time, expected, "{text}");
        }
        assert_eq!(When::read(&Words::of("five fifteen"), None, false).time, None);
        assert_eq!(read("Good morning!").part, None);
        assert_eq!(read("in the afternoon").part, Some(Part::Afternoon));
    }
}
