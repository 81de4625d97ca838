//! Times of day in a phrase.

use chrono::NaiveTime;

use super::words::Words;

/// Which half of the day an hour is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Am,
    Pm,
}

/// A time as it is said: "five" is five o'clock in one half of the day or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    hour: u32,
    minute: u32,
    half: Option<Half>,
}

impl Clock {
    const fn at(hour: u32) -> Self {
        Self { hour, minute: 0, half: None }
    }

    /// The time of day. Without "a.m." or "p.m." the other words of the phrase decide, and after them the hours in which clinics
    /// work: from seven in the morning to before seven in the evening.
    pub(super) fn time(self, context: Option<Half>) -> Option<NaiveTime> {
        let hour = match (self.half.or(context.filter(|_| (1..=11).contains(&self.hour))), self.hour) {
            (Some(Half::Am), 12) => 0,
            (Some(Half::Pm), hour @ 1..=11) => hour + 12,
            (None, hour @ 1..=6) => hour + 12,
            (_, hour) => hour,
        };
        NaiveTime::from_hms_opt(hour, self.minute, 0)
    }
}

/// A time at a position: the clock, how many words it takes, and whether the words alone make it plain that a time is meant.
/// `in_range`: "nine to five" is a range, not five minutes before nine.
pub(super) fn clock(words: &Words, at: usize, in_range: bool) -> Option<(Clock, usize, bool)> {
    let article = words.phrase(at, &["las", "la", "el"]).unwrap_or_default();
    let at = at + article;
    let (clock, length, is_plain) = face(words, at, in_range)?;
    let (half, marker) = half(words, at + length);
    let clock = Clock { half, ..clock };
    // "thirteen p.m." is no time.
    let holds = clock.minute < 60 && if half.is_some() { (1..=12).contains(&clock.hour) } else { clock.hour < 24 };
    holds.then_some((clock, article + length + marker, is_plain || half.is_some()))
}

fn face(words: &Words, at: usize, in_range: bool) -> Option<(Clock, usize, bool)> {
    if let Some(length) = words.phrase(at, &["noon", "midday", "mediodia"]) {
        return Some((Clock::at(12), length, true));
    }
    if let Some((hour, minute)) = words.get(at).split_once(':') {
        return Some((Clock { hour: hour.parse().ok()?, minute: minute.parse().ok()?, half: None }, 1, true));
    }
    for (phrases, minute, back) in [(&["half past"], 30, 0), (&["quarter past"], 15, 0), (&["quarter to"], 45, 1)] {
        let article = usize::from(words.get(at) == "a");
        if let Some(length) = words.phrase(at + article, phrases) {
            let (hour, taken) = words.number(at + article + length)?;
            return Some((Clock { hour: hour.checked_sub(back)?, minute, half: None }, article + length + taken, true));
        }
    }
    let (first, length) = words.number(at)?;
    let next = at + length;
    if [5, 10, 20, 25].contains(&first) && !in_range && ["past", "to"].contains(&words.get(next)) {
        let (hour, taken) = words.number(next + 1)?;
        let (hour, minute) = if words.get(next) == "to" { (hour.checked_sub(1)?, 60 - first) } else { (hour, first) };
        return Some((Clock { hour, minute, half: None }, length + 1 + taken, true));
    }
    let hour = Clock::at(first);
    let minutes = |minute: u32, taken: usize| Some((Clock { minute, ..hour }, length + taken, true));
    if let Some(taken) = words.phrase(next, &["y media"]) {
        return minutes(30, taken);
    }
    if let Some(taken) = words.phrase(next, &["y cuarto"]) {
        return minutes(15, taken);
    }
    if let Some(taken) = words.phrase(next, &["menos cuarto"]) {
        return Some((Clock { hour: first.checked_sub(1)?, minute: 45, half: None }, length + taken, true));
    }
    if let Some(taken) = words.phrase(next, &["oclock", "en punto", "horas"]) {
        return minutes(0, taken);
    }
    if ["oh", "o"].contains(&words.get(next))
        && let Some((minute @ 0..=9, taken)) = words.number(next + 1)
    {
        return minutes(minute, 1 + taken);
    }
    let and = usize::from(words.get(next) == "y");
    match words.number(next + and) {
        Some((minute @ 10..=59, taken)) if first < 24 && !(in_range && and > 0) => minutes(minute, and + taken),
        _ => Some((hour, length, false)),
    }
}

/// "a.m.", "in the afternoon", "de la tarde", and how many words that takes.
fn half(words: &Words, at: usize) -> (Option<Half>, usize) {
    if let Some(length) = words.phrase(at, &["am", "in the morning", "de la manana", "por la manana"]) {
        return (Some(Half::Am), length);
    }
    let pm = ["pm", "in the afternoon", "in the evening", "at night", "de la tarde", "de la noche", "por la tarde", "por la noche"];
    words.phrase(at, &pm).map_or((None, 0), |length| (Some(Half::Pm), length))
}
