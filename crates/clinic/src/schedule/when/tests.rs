//! Phrases on one day, and every phrase on every day.

use chrono::Timelike;
use chrono_tz::America::New_York;
use chrono_tz::Europe::Madrid;

use super::*;

/// Monday, 30 November 2026, seven in the morning.
fn monday() -> NaiveDateTime {
    at("2026-11-30T07:00")
}

fn at(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
}

fn understood(text: &str, now: NaiveDateTime) -> Result<String, WhenError> {
    Phrase::read(text)?.on(now, TimeDelta::days(400)).map(|wish| wish.describe())
}

const ENGLISH: [(&str, &str); 62] = [
    ("tomorrow", "Tuesday 2026-12-01"),
    ("Tomorrow, please.", "Tuesday 2026-12-01"),
    ("the day after tomorrow at nine", "Wednesday 2026-12-02, at 09:00"),
    ("today", "Monday 2026-11-30"),
    ("this afternoon", "Monday 2026-11-30, beginning from 12:00 to before 18:00"),
    ("tonight", "Monday 2026-11-30, beginning from 17:00 on"),
    ("next Tuesday morning", "Tuesday 2026-12-08, beginning before 12:00"),
    ("next Monday", "Monday 2026-12-07"),
    ("this Friday", "Friday 2026-12-04"),
    ("Friday", "Friday 2026-12-04"),
    ("on Monday", "Monday 2026-12-07"),
    ("first thing Monday", "Monday 2026-12-07, beginning before 10:00"),
    ("Monday first thing in the morning", "Monday 2026-12-07, beginning before 10:00"),
    ("after five", "2026-11-30 to 2026-12-13, beginning from 17:00 on"),
    ("Thursday after 5 p.m.", "Thursday 2026-12-03, beginning from 17:00 on"),
    ("tomorrow before ten", "Tuesday 2026-12-01, beginning before 10:00"),
    ("tomorrow between nine and eleven", "Tuesday 2026-12-01, beginning from 09:00 to before 11:00"),
    ("Wednesday from ten to two", "Wednesday 2026-12-02, beginning from 10:00 to before 14:00"),
    ("Wednesday from nine to five", "Wednesday 2026-12-02, beginning from 09:00 to before 17:00"),
    ("around ten on Thursday", "Thursday 2026-12-03, beginning from 09:15 to before 10:45"),
    ("tomorrow at half past nine", "Tuesday 2026-12-01, at 09:30"),
    ("tomorrow at quarter to ten", "Tuesday 2026-12-01, at 09:45"),
    ("tomorrow at ten to nine", "Tuesday 2026-12-01, at 08:50"),
    ("tomorrow nine thirty", "Tuesday 2026-12-01, at 09:30"),
    ("tomorrow at 2:15 pm", "Tuesday 2026-12-01, at 14:15"),
    ("tomorrow at three in the afternoon", "Tuesday 2026-12-01, at 15:00"),
    ("Friday evening at seven", "Friday 2026-12-04, at 19:00"),
    ("tomorrow at noon", "Tuesday 2026-12-01, at 12:00"),
    ("tomorrow at eight o'clock", "Tuesday 2026-12-01, at 08:00"),
    ("tomorrow afternoon after three", "Tuesday 2026-12-01, beginning from 15:00 to before 18:00"),
    ("tomorrow after lunch", "Tuesday 2026-12-01, beginning from 13:00 on"),
    ("in two weeks", "2026-12-14 to 2026-12-20"),
    ("in a couple of weeks", "2026-12-14 to 2026-12-20"),
    ("two weeks from now", "2026-12-14 to 2026-12-20"),
    ("a week from Tuesday", "Tuesday 2026-12-08"),
    ("a week from tomorrow at ten", "Tuesday 2026-12-08, at 10:00"),
    ("in three days", "Thursday 2026-12-03"),
    ("in two months", "2027-01-25 to 2027-01-31"),
    ("the week after next", "2026-12-14 to 2026-12-20"),
    ("next week", "2026-12-07 to 2026-12-13"),
    ("next week in the morning", "2026-12-07 to 2026-12-13, beginning before 12:00"),
    ("Tuesday next week", "Tuesday 2026-12-08"),
    ("next week on Tuesday or Thursday", "2026-12-07 to 2026-12-13, Tue, Thu"),
    ("later this week", "2026-11-30 to 2026-12-06"),
    ("this weekend", "2026-12-05 to 2026-12-06"),
    ("next month", "2026-12-01 to 2026-12-31"),
    ("early in January", "2027-01-01 to 2027-01-10"),
    ("the end of next month", "2026-12-21 to 2026-12-31"),
    ("in January", "2027-01-01 to 2027-01-31"),
    ("December third at nine", "Thursday 2026-12-03, at 09:00"),
    ("the third of December", "Thursday 2026-12-03"),
    ("Tuesday the first of December", "Tuesday 2026-12-01"),
    ("Tuesday the first", "Tuesday 2026-12-01"),
    ("the twenty-fourth", "Thursday 2026-12-24"),
    ("Dec 3rd", "Thursday 2026-12-03"),
    ("December 3, 2026", "Thursday 2026-12-03"),
    ("2026-12-03", "Thursday 2026-12-03"),
    ("12/24", "Thursday 2026-12-24"),
    ("March fourteenth", "Sunday 2027-03-14"),
    ("Tuesdays or Thursdays after four", "2026-11-30 to 2026-12-28, Tue, Thu, beginning from 16:00 on"),
    ("any weekday morning", "2026-11-30 to 2026-12-28, Mon, Tue, Wed, Thu, Fri, beginning before 12:00"),
    ("as soon as possible", "2026-11-30 to 2026-12-13"),
];

const SPANISH: [(&str, &str); 24] = [
    ("el martes por la mañana", "Tuesday 2026-12-01, beginning before 12:00"),
    ("mañana", "Tuesday 2026-12-01"),
    ("mañana por la mañana", "Tuesday 2026-12-01, beginning before 12:00"),
    ("pasado mañana", "Wednesday 2026-12-02"),
    ("pasado mañana a las diez y media", "Wednesday 2026-12-02, at 10:30"),
    ("hoy por la tarde", "Monday 2026-11-30, beginning from 12:00 to before 18:00"),
    ("esta tarde", "Monday 2026-11-30, beginning from 12:00 to before 18:00"),
    ("después de las cinco", "2026-11-30 to 2026-12-13, beginning from 17:00 on"),
    ("el jueves a partir de las tres", "Thursday 2026-12-03, beginning from 15:00 on"),
    ("antes de las diez de la mañana", "2026-11-30 to 2026-12-13, beginning before 10:00"),
    ("el viernes a las nueve", "Friday 2026-12-04, at 09:00"),
    ("el viernes a la una y cuarto", "Friday 2026-12-04, at 13:15"),
    ("el viernes a las diez menos cuarto", "Friday 2026-12-04, at 09:45"),
    ("entre las nueve y las once", "2026-11-30 to 2026-12-13, beginning from 09:00 to before 11:00"),
    ("el tres de diciembre", "Thursday 2026-12-03"),
    ("el 3 de diciembre a las 9", "Thursday 2026-12-03, at 09:00"),
    ("el primero de diciembre", "Tuesday 2026-12-01"),
    ("la semana que viene", "2026-12-07 to 2026-12-13"),
    ("la próxima semana por la tarde", "2026-12-07 to 2026-12-13, beginning from 12:00 to before 18:00"),
    ("dentro de dos semanas", "2026-12-14 to 2026-12-20"),
    ("el miércoles que viene", "Wednesday 2026-12-02"),
    ("los martes", "2026-11-30 to 2026-12-28, Tue"),
    ("a primera hora del lunes", "Monday 2026-12-07, beginning before 10:00"),
    ("lo antes posible, por favor", "2026-11-30 to 2026-12-13"),
];

#[test]
fn phrases_are_placed_on_the_calendar() {
    let wrong = ENGLISH.iter().chain(&SPANISH).filter_map(|(text, expected)| {
        let understood = understood(text, monday());
        (understood.as_deref() != Ok(*expected)).then(|| format!("{text}: {understood:?}, expected {expected}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_may_mean_two_days_or_is_past_is_said_so() {
    let date = |text: &str| text.parse::<NaiveDate>().unwrap();
    let ambiguous = |one: &str, other: &str| WhenError::Ambiguous { one: date(one), other: date(other) };
    for (text, now, expected) in [
        ("next Friday", "2026-11-30T07:00", ambiguous("2026-12-04", "2026-12-11")),
        ("next weekend", "2026-11-30T07:00", ambiguous("2026-12-05", "2026-12-12")),
        ("4/5", "2026-11-30T07:00", WhenError::DayOrMonth),
        ("yesterday", "2026-11-30T07:00", WhenError::Past),
        ("last Tuesday", "2026-11-30T07:00", WhenError::Past),
        ("el martes pasado", "2026-11-30T07:00", WhenError::Past),
        ("two weeks ago", "2026-11-30T07:00", WhenError::Past),
        ("this morning", "2026-11-30T13:00", WhenError::Past),
        ("today at nine", "2026-11-30T09:00", WhenError::Past),
        ("2026-11-29", "2026-11-30T07:00", WhenError::Past),
        ("Monday this week", "2026-12-02T07:00", WhenError::Past),
        ("February 30th", "2026-11-30T07:00", WhenError::NoSuchDay),
        ("Wednesday December first", "2026-11-30T07:00", WhenError::OtherWeekday { date: date("2026-12-01") }),
        ("tomorrow after five before three", "2026-11-30T07:00", WhenError::Contradiction),
        ("tomorrow, in three days", "2026-11-30T07:00", WhenError::Contradiction),
        ("not on Tuesday", "2026-11-30T07:00", WhenError::NotUnderstood { word: "not".into() }),
        ("any day except Friday", "2026-11-30T07:00", WhenError::NotUnderstood { word: "except".into() }),
        ("the Tuesday after Thanksgiving", "2026-11-30T07:00", WhenError::NotUnderstood { word: "after".into() }),
        ("please", "2026-11-30T07:00", WhenError::Empty),
        ("", "2026-11-30T07:00", WhenError::Empty),
        ("2028-12-01", "2026-11-30T07:00", WhenError::TooFar { first: date("2028-12-01") }),
    ] {
        assert_eq!(understood(text, at(now)), Err(expected), "{text}");
    }
    // On Tuesday "next Friday" may be either, on Thursday it would be tomorrow's, on Saturday there is but one.
    assert!(understood("next Friday", at("2026-12-01T07:00")).is_err());
    assert_eq!(understood("next Friday", at("2026-12-03T07:00")).as_deref(), Ok("Friday 2026-12-11"));
    assert_eq!(understood("next Friday", at("2026-12-05T07:00")).as_deref(), Ok("Friday 2026-12-11"));
}

#[test]
fn an_hour_that_the_clocks_skip_does_not_exist() {
    let wish =
        Phrase::read("March fourteenth at half past two in the morning").unwrap().on(at("2027-03-10T09:00"), TimeDelta::days(90)).unwrap();
    assert_eq!(wish.exact(New_York), Err(WhenError::NoSuchTime(LocalTimeError::Skipped)));
    assert!(wish.exact(Madrid).unwrap().is_some(), "the clocks of Madrid go forward two weeks later");
}

/// Every phrase on every day of a year, at four times of day: whatever is understood lies ahead and within the horizon, and what
/// is not says why. Both changes of the clocks are among the days, in both zones.
#[test]
fn every_phrase_on_every_day_lies_ahead() {
    let horizon = TimeDelta::days(120);
    let first = "2026-06-01".parse::<NaiveDate>().unwrap();
    let mut understood = 0;
    for (text, _) in ENGLISH.iter().chain(&SPANISH) {
        let phrase = Phrase::read(text).unwrap();
        for (day, hour) in first.iter_days().take(366).flat_map(|day| [0, 7, 13, 23].map(|hour| (day, hour))) {
            for zone in [New_York, Madrid] {
                let now = local_time::resolve(day.and_hms_opt(hour, 30, 0).unwrap(), zone);
                let local = local_time::local(now, zone);
                let wish = match phrase.on(local, horizon) {
                    Ok(wish) => wish,
                    Err(WhenError::Ambiguous { one, other }) => {
                        assert!(local.date() < one && one < other, "{text} on {local}: {one}, {other}");
                        continue;
                    }
                    Err(WhenError::Past | WhenError::TooFar { .. } | WhenError::OtherWeekday { .. }) => continue,
                    Err(error) => panic!("{text} on {local}: {error}"),
                };
                understood += 1;
                let window = wish.window(zone);
                assert!(window.end > now && window.start < window.end, "{text} on {local}: {}", wish.describe());
                assert!(wish.first >= local.date() && wish.first <= (local + horizon).date(), "{text} on {local}: {}", wish.describe());
                if let Ok(Some(exact)) = wish.exact(zone) {
                    assert!(exact > now && window.start <= exact && exact < window.end, "{text} on {local}: {exact}");
                    assert!(wish.admits(local_time::local(exact, zone)), "{text} on {local}");
                }
            }
        }
    }
    // Most phrases mean something on most days.
    assert!(understood > 200_000, "{understood}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}", day in 0_u64..800) {
        let now = monday().checked_add_days(Days::new(day)).unwrap();
        let _ = understood(&text, now);
    }

    /// Words of the grammar in any order.
    #[test]
    fn no_order_of_known_words_panics(picks in proptest::collection::vec(0_usize..400, 1..9), day in 0_u64..800) {
        let all: Vec<&str> = ENGLISH.iter().chain(&SPANISH).flat_map(|(text, _)| text.split(' ')).collect();
        let text = picks.iter().map(|pick| all[pick % all.len()]).collect::<Vec<_>>().join(" ");
        let now = monday().checked_add_days(Days::new(day)).unwrap();
        if let Ok(wish) = Phrase::read(&text).and_then(|phrase| phrase.on(now, TimeDelta::days(120))) {
            proptest::prop_assert!(wish.last >= now.date() && wish.window(New_York).end > local_time::resolve(now, New_York));
            proptest::prop_assert!(now.hour() == 7);
        }
    }
}
