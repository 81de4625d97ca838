//! From words to a phrase. Strict: a word that no rule takes makes the phrase not understood, because "not on Tuesday" must never
//! be taken for Tuesday.

use chrono::{NaiveDate, NaiveTime};

use super::clock::{Clock, Half, clock};
use super::words::Words;
use super::{Day, Phrase, Third, WhenError, Which};

/// Words that say nothing about when.
const FILLERS: [&str; 62] = [
    "a",
    "al",
    "an",
    "and",
    "any",
    "appointment",
    "at",
    "be",
    "best",
    "cita",
    "come",
    "como",
    "de",
    "del",
    "dia",
    "el",
    "en",
    "favor",
    "fine",
    "for",
    "good",
    "great",
    "hora",
    "hm",
    "i",
    "ideally",
    "id",
    "in",
    "is",
    "la",
    "las",
    "like",
    "los",
    "maybe",
    "more",
    "o",
    "of",
    "on",
    "one",
    "or",
    "para",
    "perhaps",
    "please",
    "por",
    "possibly",
    "preferably",
    "puede",
    "quiero",
    "quisiera",
    "quizas",
    "ser",
    "some",
    "something",
    "sometime",
    "sometimes",
    "that",
    "the",
    "time",
    "to",
    "uh",
    "um",
    "would",
];

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    phrase: Phrase,
    /// Times of day, settled once the half of the day is known.
    exact: Option<Clock>,
    around: Option<Clock>,
    from: Option<Clock>,
    to: Option<Clock>,
    half: Option<Half>,
    /// "Any time": nothing is asked, and yet it is understood.
    is_open: bool,
}

pub(super) fn read(text: &str) -> Result<Phrase, WhenError> {
    let words = Words::of(text);
    let mut found = Found::default();
    let mut at = 0;
    if (0..words.len()).any(|at| is_past(&words, at)) {
        return Err(WhenError::Past);
    }
    while at < words.len() {
        // Parts of a day come first: "first thing" is no first of the month.
        let taken = match part(&words, at, &mut found) {
            Some(length) => Some(length),
            None => day(&words, at, &mut found)?,
        };
        let taken = taken.or_else(|| time(&words, at, &mut found)).or_else(|| FILLERS.contains(&words.get(at)).then_some(1));
        match taken {
            Some(length) => at += length,
            None => return Err(WhenError::NotUnderstood { word: words.get(at).to_owned() }),
        }
    }
    found.settle()
}

impl Found {
    fn settle(mut self) -> Result<Phrase, WhenError> {
        let half = self.half;
        let time = |clock: Option<Clock>| clock.and_then(|clock| clock.time(half));
        let phrase = &mut self.phrase;
        phrase.exact = time(self.exact);
        if let Some(about) = time(self.around) {
            let minutes = chrono::TimeDelta::minutes(45);
            phrase.not_before(about.overflowing_sub_signed(minutes).0);
            phrase.not_after(about.overflowing_add_signed(minutes).0);
        }
        if let Some(from) = time(self.from) {
            phrase.not_before(from);
        }
        if let Some(to) = time(self.to) {
            // "From nine to one": the end is later than the beginning.
            let afternoon = phrase.from.filter(|from| *from >= to).and(to.overflowing_add_signed(chrono::TimeDelta::hours(12)).into());
            phrase.not_after(afternoon.map_or(to, |(to, _)| to));
        }
        // With an exact time, "in the morning" only tells which one is meant.
        if phrase.exact.is_some() {
            (phrase.from, phrase.to) = (None, None);
        }
        if phrase.from.zip(phrase.to).is_some_and(|(from, to)| from >= to) {
            return Err(WhenError::Contradiction);
        }
        if *phrase == Phrase::default() && !self.is_open { Err(WhenError::Empty) } else { Ok(self.phrase) }
    }

    fn set_day(&mut self, day: Day) -> Result<(), WhenError> {
        // "Tuesday in two weeks" is the weekday of that week, which is settled on the calendar; two days at once are neither.
        match self.phrase.day.replace(day) {
            Some(other) if other != day => Err(WhenError::Contradiction),
            _ => Ok(()),
        }
    }
}

fn is_past(words: &Words, at: usize) -> bool {
    let plain = ["yesterday", "ayer", "anteayer", "ago", "earlier this week"];
    if words.phrase(at, &plain).is_some() {
        return true;
    }
    let is_unit =
        |at: usize| words.weekday(at).is_some() || words.month(at).is_some() || ["week", "month", "semana", "mes"].contains(&words.get(at));
    (["last", "past"].contains(&words.get(at)) && is_unit(at + 1)) || (is_unit(at) && ["pasado", "pasada"].contains(&words.get(at + 1)))
}

/// Days, weeks, months.
fn day(words: &Words, at: usize, found: &mut Found) -> Result<Option<usize>, WhenError> {
    if let Some((day, length)) = calendar(words, at)? {
        found.set_day(day)?;
        return Ok(Some(length));
    }
    for (day, phrases) in [
        (Day::Ahead(2), &["the day after tomorrow", "day after tomorrow", "pasado manana"][..]),
        (Day::Ahead(1), &["tomorrow"]),
        (Day::Ahead(0), &["today", "hoy", "later today"]),
        (Day::Week(2), &["the week after next", "week after next"]),
        (
            Day::Week(1),
            &["next week", "the following week", "la proxima semana", "proxima semana", "la semana que viene", "semana que viene"],
        ),
        (Day::Week(0), &["this week", "later this week", "esta semana"]),
        (Day::Weekend(Which::Next), &["next weekend", "el proximo fin de semana", "proximo fin de semana"]),
        (
            Day::Weekend(Which::Coming),
            &[
                "this weekend",
                "this coming weekend",
                "the weekend",
                "weekend",
                "este fin de semana",
                "fin de semana que viene",
                "fin de semana",
            ],
        ),
        (Day::Month(1), &["next month", "el proximo mes", "proximo mes", "el mes que viene", "mes que viene"]),
        (Day::Month(0), &["this month", "later this month", "este mes"]),
    ] {
        if let Some(length) = words.phrase(at, phrases) {
            found.set_day(day)?;
            return Ok(Some(length));
        }
    }
    if let Some(length) = words.phrase(at, &["weekdays", "a weekday", "weekday", "during the week", "entre semana"]) {
        found.phrase.weekdays |= 0b001_1111;
        return Ok(Some(length));
    }
    if let Some(length) = tomorrow_in_spanish(words, at) {
        found.set_day(Day::Ahead(1))?;
        return Ok(Some(length));
    }
    if let Some(length) = distance(words, at, found)? {
        return Ok(Some(length));
    }
    Ok(weekday(words, at, found))
}

/// "Mañana" is tomorrow unless it is the morning, which has an article.
fn tomorrow_in_spanish(words: &Words, at: usize) -> Option<usize> {
    let has_article = at > 0 && ["la", "esta"].contains(&words.get(at - 1));
    (words.get(at) == "manana" && !has_article).then_some(1)
}

/// "In two weeks", "three days from now", "a week from tomorrow", "dentro de dos semanas".
fn distance(words: &Words, at: usize, found: &mut Found) -> Result<Option<usize>, WhenError> {
    let lead = words.phrase(at, &["in", "dentro de", "en"]);
    let Some((count, number)) = words.count(at + lead.unwrap_or_default()) else { return Ok(None) };
    let unit = at + lead.unwrap_or_default() + number;
    let count = i64::from(count);
    let day = match words.get(unit) {
        "day" | "days" | "dia" | "dias" => Day::Ahead(count),
        "week" | "weeks" | "semana" | "semanas" => Day::Week(count),
        "fortnight" => Day::Week(2),
        "month" | "months" | "mes" | "meses" => Day::InMonths(count),
        _ => return Ok(None),
    };
    let end = unit + 1;
    if lead.is_some() {
        // "In a week or so", "in two weeks' time".
        let tail = words.phrase(end, &["or so", "time", "from now"]).unwrap_or_default();
        found.set_day(day)?;
        return Ok(Some(end + tail - at));
    }
    if let Some(tail) = words.phrase(end, &["from now"]) {
        found.set_day(day)?;
        return Ok(Some(end + tail - at));
    }
    // "A week from Tuesday": so many days later than the day that follows.
    let Some(tail) = words.phrase(end, &["from", "after", "on"]) else { return Ok(None) };
    let is_day = words.weekday(end + tail).is_some() || words.phrase(end + tail, &["today", "tomorrow"]).is_some();
    let days = match day {
        Day::Ahead(days) => days,
        Day::Week(weeks) => weeks * 7,
        _ => return Ok(None),
    };
    if !is_day {
        return Ok(None);
    }
    found.phrase.later_days = days;
    Ok(Some(end + tail - at))
}

fn weekday(words: &Words, at: usize, found: &mut Found) -> Option<usize> {
    let lead = [
        (Which::Next, &["next", "el proximo", "proximo"][..]),
        (Which::Coming, &["this coming", "this", "the coming", "coming", "este"][..]),
    ];
    let (which, lead) = lead.iter().find_map(|(which, phrases)| Some((Some(*which), words.phrase(at, phrases)?))).unwrap_or((None, 0));
    let any = if lead == 0 { words.phrase(at, &["any", "a", "some", "every", "los", "cualquier"]).unwrap_or_default() } else { 0 };
    let (weekday, is_plural) = words.weekday(at + lead + any)?;
    let mut length = lead + any + 1;
    let mut which = which;
    if let Some(tail) = words.phrase(at + length, &["que viene", "proximo"]) {
        // "El martes que viene" is the coming one.
        which = which.or(Some(Which::Coming));
        length += tail;
    }
    found.phrase.weekdays |= 1 << weekday.num_days_from_monday();
    // A "los" before a word that is the same in the plural ("los martes") tells as much as an "s".
    let los = at > 0 && words.get(at - 1) == "los";
    found.phrase.repeats |= is_plural || any > 0 || los;
    found.phrase.which = which.or(found.phrase.which);
    Some(length)
}

/// Dates: "December third", "the third of December", "3 de diciembre", "2026-12-03", "12/24", "late in December", "the 24th".
fn calendar(words: &Words, at: usize) -> Result<Option<(Day, usize)>, WhenError> {
    let word = words.get(at);
    if let Ok(date) = NaiveDate::parse_from_str(word, "%Y-%m-%d") {
        return Ok(Some((Day::On(date), 1)));
    }
    if word.contains('/') {
        return slashes(word).map(|day| Some((day, 1)));
    }
    let thirds = [
        (
            Third::First,
            &["early in", "early", "the beginning of", "beginning of", "the start of", "start of", "a principios de", "principios de"][..],
        ),
        (Third::Middle, &["the middle of", "middle of", "mid", "a mediados de", "mediados de"]),
        (Third::Last, &["late in", "late", "the end of", "end of", "a finales de", "finales de", "a fines de"]),
    ];
    for (third, phrases) in thirds {
        if let Some(length) = words.phrase(at, phrases) {
            if let Some(month) = words.month(at + length) {
                return Ok(Some((Day::InMonth { month, third: Some(third) }, length + 1)));
            }
            let next = words.phrase(at + length, &["next month", "proximo mes", "mes que viene"]);
            if let Some(tail) = next {
                return Ok(Some((Day::ThirdOfNextMonth(third), length + tail)));
            }
        }
    }
    let with_year = |month: u32, day: u32, length: usize| {
        let of = usize::from(["of", "de", "del"].contains(&words.get(at + length)));
        let year = words.year(at + length + of);
        Ok(Some((Day::Date { month, day, year }, length + if year.is_some() { of + 1 } else { 0 })))
    };
    if let Some(month) = words.month(at) {
        let the = usize::from(words.get(at + 1) == "the");
        // "December at nine" has no day: a bare number is one unless a time follows from it.
        return match words.ordinal(at + 1 + the).or_else(|| words.number(at + 1 + the)) {
            Some((day @ 1..=31, length)) => with_year(month, day, 1 + the + length),
            _ => Ok(Some((Day::InMonth { month, third: None }, 1))),
        };
    }
    let article = words.phrase(at, &["the", "el dia", "el"]).unwrap_or_default();
    let of_month = |length: usize| {
        let of = usize::from(["of", "de"].contains(&words.get(at + length)));
        words.month(at + length + of).map(|month| (month, of + 1))
    };
    if let Some((day, length)) = words.ordinal(at + article) {
        return match of_month(article + length) {
            Some((month, tail)) => with_year(month, day, article + length + tail),
            None if article > 0 || word.ends_with(|c: char| c.is_alphabetic()) => Ok(Some((Day::OfMonth(day), article + length))),
            None => Ok(None),
        };
    }
    if let Some((day @ 1..=31, length)) = words.number(at + article) {
        if let Some((month, tail)) = of_month(article + length) {
            return with_year(month, day, article + length + tail);
        }
        // "El 24": an article before a bare number.
        if article > 0 && words.get(at) == "el" {
            return Ok(Some((Day::OfMonth(day), article + length)));
        }
    }
    Ok(None)
}

/// "12/24": month and day in either order, if only one of them can be meant.
fn slashes(word: &str) -> Result<Day, WhenError> {
    let unreadable = || WhenError::NotUnderstood { word: word.to_owned() };
    let numbers: Vec<u32> = word.split('/').map(str::parse).collect::<Result<_, _>>().map_err(|_| unreadable())?;
    let (first, second, year) = match numbers.as_slice() {
        [first, second] => (*first, *second, None),
        [first, second, year] => {
            let year = i32::try_from(*year).map_err(|_| unreadable())?;
            (*first, *second, Some(if year < 100 { 2000 + year } else { year }))
        }
        _ => return Err(unreadable()),
    };
    match (first, second) {
        (1..=12, 13..=31) => Ok(Day::Date { month: first, day: second, year }),
        (13..=31, 1..=12) => Ok(Day::Date { month: second, day: first, year }),
        (1..=12, 1..=12) if first == second => Ok(Day::Date { month: first, day: second, year }),
        (1..=12, 1..=12) => Err(WhenError::DayOrMonth),
        _ => Err(WhenError::NoSuchDay),
    }
}

/// Parts of a day.
fn part(words: &Words, at: usize, found: &mut Found) -> Option<usize> {
    let of = |hour: u32, minute: u32| NaiveTime::from_hms_opt(hour, minute, 0);
    let early = &[
        "first thing in the morning",
        "first thing",
        "early in the morning",
        "early morning",
        "a primera hora de la manana",
        "a primera hora",
        "primera hora",
    ];
    let late = &[
        "at the end of the day",
        "end of the day",
        "late in the day",
        "late afternoon",
        "late in the afternoon",
        "a ultima hora de la tarde",
        "a ultima hora",
        "ultima hora",
    ];
    let lunch = &[
        "over lunch",
        "at lunchtime",
        "at lunch time",
        "lunchtime",
        "lunch time",
        "at lunch",
        "al mediodia",
        "a mediodia",
        "around lunchtime",
    ];
    let morning = &[
        "in the morning",
        "this morning",
        "mornings",
        "morning",
        "por la manana",
        "en la manana",
        "de la manana",
        "esta manana",
        "la manana",
    ];
    let afternoon = &[
        "in the afternoon",
        "this afternoon",
        "afternoons",
        "afternoon",
        "por la tarde",
        "en la tarde",
        "de la tarde",
        "esta tarde",
        "la tarde",
        "tardes",
    ];
    let evening =
        &["in the evening", "this evening", "evenings", "evening", "tonight", "at night", "por la noche", "esta noche", "la noche"];
    for (phrases, from, to, half) in [
        (&early[..], None, of(10, 0), Some(Half::Am)),
        (&["late morning", "late in the morning"], of(10, 0), of(12, 0), Some(Half::Am)),
        (&["mid morning", "midmorning", "a media manana"], of(9, 30), of(11, 30), Some(Half::Am)),
        (&["early afternoon", "early in the afternoon"], of(12, 0), of(15, 0), Some(Half::Pm)),
        (&late[..], of(15, 30), None, Some(Half::Pm)),
        (&lunch[..], of(11, 30), of(13, 30), None),
        (&["after lunch", "despues de comer", "despues del almuerzo"], of(13, 0), None, Some(Half::Pm)),
        (&["before lunch", "antes de comer"], None, of(12, 0), Some(Half::Am)),
        (&["after work", "despues del trabajo"], of(17, 0), None, Some(Half::Pm)),
        (&["before work", "antes del trabajo"], None, of(9, 0), Some(Half::Am)),
        (&["after school"], of(15, 0), None, Some(Half::Pm)),
        (&morning[..], None, of(12, 0), Some(Half::Am)),
        (&afternoon[..], of(12, 0), of(18, 0), Some(Half::Pm)),
        (&evening[..], of(17, 0), None, Some(Half::Pm)),
    ] {
        if let Some(length) = words.phrase(at, phrases) {
            let today = ["this morning", "this afternoon", "this evening", "tonight", "esta manana", "esta tarde", "esta noche"];
            if words.phrase(at, &today).is_some() && found.phrase.day.is_none() {
                found.phrase.day = Some(Day::Ahead(0));
            }
            if let Some(from) = from {
                found.phrase.not_before(from);
            }
            if let Some(to) = to {
                found.phrase.not_after(to);
            }
            found.half = half.or(found.half);
            return Some(length);
        }
    }
    let open = [
        "as soon as possible",
        "as early as possible",
        "the soonest",
        "soonest",
        "earliest",
        "asap",
        "soon",
        "now",
        "anytime",
        "any time",
        "whenever",
        "any day",
        "lo antes posible",
        "cuanto antes",
        "pronto",
        "ahora",
        "cuando sea",
        "cualquier dia",
        "cualquier hora",
    ];
    words.phrase(at, &open).inspect(|_| found.is_open = true)
}

/// Times of day.
fn time(words: &Words, at: usize, found: &mut Found) -> Option<usize> {
    let lead = |phrases: &[&str]| words.phrase(at, phrases).unwrap_or(usize::MAX);
    let range = lead(&["between", "from", "entre", "desde", "de"]);
    if range < usize::MAX
        && let Some((from, length, _)) = clock(words, at + range, true)
        && let Some(link) = words.phrase(at + range + length, &["and", "to", "till", "until", "y", "a", "hasta"])
        && let Some((to, tail, _)) = clock(words, at + range + length + link, true)
    {
        (found.from, found.to) = (Some(from), Some(to));
        return Some(range + length + link + tail);
    }
    let from = lead(&[
        "any time after",
        "anytime after",
        "some time after",
        "after",
        "past",
        "not before",
        "later than",
        "from",
        "despues de",
        "a partir de",
        "desde",
        "pasadas",
    ]);
    if from < usize::MAX
        && let Some((clock, length, _)) = clock(words, at + from, false)
    {
        found.from = Some(clock);
        let tail = words.phrase(at + from + length, &["on", "onwards", "onward", "or later", "en adelante"]).unwrap_or_default();
        return Some(from + length + tail);
    }
    let to =
        lead(&["any time before", "anytime before", "before", "by", "until", "till", "no later than", "not after", "antes de", "hasta"]);
    if to < usize::MAX
        && let Some((clock, length, _)) = clock(words, at + to, false)
    {
        found.to = Some(clock);
        return Some(to + length);
    }
    let about = lead(&["at around", "at about", "around", "about", "roughly", "sobre", "hacia", "alrededor de", "a eso de"]);
    if about < usize::MAX
        && let Some((clock, length, _)) = clock(words, at + about, false)
    {
        found.around = Some(clock);
        return Some(about + length);
    }
    let exactly = words.phrase(at, &["at", "a"]);
    let (clock, length, is_plain) = clock(words, at + exactly.unwrap_or_default(), false)?;
    let article = words.phrase(at + exactly.unwrap_or_default(), &["las", "la"]).is_some();
    if !(is_plain || article || exactly.is_some() && words.get(at) == "at") {
        return None;
    }
    let length = exactly.unwrap_or_default() + length;
    if let Some(tail) = words.phrase(at + length, &["or later", "or after", "onwards", "en adelante", "o mas tarde"]) {
        found.from = Some(clock);
        return Some(length + tail);
    }
    if let Some(tail) = words.phrase(at + length, &["or earlier", "or before", "o antes"]) {
        found.to = Some(clock);
        return Some(length + tail);
    }
    found.exact = Some(clock);
    Some(length)
}
