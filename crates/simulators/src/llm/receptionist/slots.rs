//! Free times: as tools give them, as they are offered, as callers choose among them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::Value;

use super::facts::{Facts, MOMENT};
use super::numbers::ordinal;
use super::when::When;
use super::words::Words;

/// More than so many a caller cannot keep in mind.
const OFFERED_MAX: usize = 3;

/// A free time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// As the tool wrote it.
    pub(super) start: String,
    pub(super) spoken: String,
    practitioner: String,
    moment: Option<NaiveDateTime>,
}

impl Slot {
    pub(super) fn date(&self) -> Option<NaiveDate> {
        self.moment.map(|moment| moment.date())
    }

    /// Whether it suits the wish, as far as can be told.
    pub(super) fn fits(&self, when: &When) -> bool {
        self.moment.is_none_or(|moment| when.fits(moment))
    }
}

/// The slots of a tool's list.
pub(super) fn read(list: &Value) -> Vec<Slot> {
    let text = |slot: &Value, key: &str| slot.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let slot = |slot: &Value| {
        let start = text(slot, "start");
        // An offset may follow in the night in which the clocks go back.
        let moment = start.get(..16).and_then(|moment| NaiveDateTime::parse_from_str(moment, MOMENT).ok());
        let spoken = Some(text(slot, "spoken")).filter(|spoken| !spoken.is_empty()).unwrap_or_else(|| start.clone());
        Slot { start, spoken, practitioner: text(slot, "practitioner"), moment }
    };
    let all = list.as_array().map(|list| list.iter().map(slot).collect::<Vec<_>>()).unwrap_or_default();
    all.into_iter().filter(|slot| !slot.start.is_empty()).collect()
}

/// Those that suit the wish, or all of them if none does.
pub(super) fn suiting(slots: Vec<Slot>, when: &When) -> Vec<Slot> {
    let suiting: Vec<Slot> = slots.iter().filter(|slot| slot.fits(when)).cloned().collect();
    if suiting.is_empty() { slots } else { suiting }
}

/// The few that are offered.
pub(super) fn offered(slots: &[Slot]) -> &[Slot] {
    &slots[..slots.len().min(OFFERED_MAX)]
}

/// The offer in words, ending with a question.
pub(super) fn offer(slots: &[Slot]) -> String {
    let offered = offered(slots);
    let spoken = |slot: &Slot| {
        let is_ambiguous = offered.iter().filter(|other| other.spoken == slot.spoken).count() > 1;
        if is_ambiguous { format!("{} with {}", slot.spoken, slot.practitioner) } else { slot.spoken.clone() }
    };
    let spoken: Vec<String> = offered.iter().map(spoken).collect();
    match spoken.as_slice() {
        [] => String::new(),
        [only] => format!("I have {} Would that suit you?", stopped(only)),
        [first, second] => format!("I have two times for you. {first}, or {} Which one would you like?", stopped(second)),
        [first, second, rest @ ..] => {
            format!("I have three times for you. {first}, {second}, or {} Which one would you like?", stopped(&rest.join(", or ")))
        }
    }
}

/// With a full stop, which "a.m." brings along.
pub(super) fn stopped(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.into() } else { format!("{text}.") }
}

/// What a caller's words say about the slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    One(Slot),
    /// These are meant; it is not clear which.
    Some(Vec<Slot>),
    /// A time was named that is not among them.
    Another,
    /// Nothing was said about them.
    Nothing,
}

/// Which slot is chosen.
pub(super) fn choose(slots: &[Slot], words: &Words, facts: &Facts) -> Choice {
    let offered = offered(slots);
    if offered.is_empty() {
        return Choice::Nothing;
    }
    let words = &super::numbers::without_phone(words);
    let when = When::read(words, facts.now.map(|now| now.date()), true);
    let named = facts.practitioner(words);
    if when.is_empty() && named.is_none() {
        return position(words, offered.len()).map_or(Choice::Nothing, |at| offered.get(at).cloned().map_or(Choice::Another, Choice::One));
    }
    let fits = |slot: &&Slot| slot.moment.is_some_and(|moment| when.fits(moment)) && named.is_none_or(|name| *name == slot.practitioner);
    // What was offered is meant before what was merely found.
    for group in [offered, slots] {
        let meant: Vec<Slot> = group.iter().filter(fits).cloned().collect();
        match meant.as_slice() {
            [] => {}
            [only] => return Choice::One(only.clone()),
            // "The first one on Monday".
            several => {
                return match position(words, several.len()).and_then(|at| several.get(at)) {
                    Some(slot) => Choice::One(slot.clone()),
                    None => Choice::Some(meant),
                };
            }
        }
    }
    Choice::Another
}

/// "The second one", "number two", "the last one", "the earliest".
fn position(words: &Words, count: usize) -> Option<usize> {
    if words.any(&["last", "latest"]) || (count == 2 && words.any(&["later", "latter"])) {
        return Some(count - 1);
    }
    if words.any(&["earliest", "soonest", "earlier", "former", "either", "any", "whichever", "whatever"]) {
        return Some(0);
    }
    for at in 0..words.list().len() {
        let counted = ["number", "option", "choice"].contains(&words.before(at)).then(|| super::numbers::number(words, at)).flatten();
        if let Some((value, _)) = ordinal(words, at).or(counted) {
            return usize::try_from(value).ok()?.checked_sub(1);
        }
    }
    (words.says(&["middle one"]) && count == 3).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slots() -> Vec<Slot> {
        read(&json!([
            {"start": "2026-11-23T08:00", "duration_minutes": 30, "practitioner": "Doctor Chidi Okafor", "spoken": "Monday the twenty-third of November at eight a.m."},
            {"start": "2026-11-23T12:00", "duration_minutes": 30, "practitioner": "Doctor Ada Lovelace", "spoken": "Monday the twenty-third of November at noon"},
            {"start": "2026-11-24T09:00", "duration_minutes": 30, "practitioner": "Doctor Ada Lovelace", "spoken": "Tuesday the twenty-fourth of November at nine a.m."},
            {"start": "2026-11-25T14:30", "duration_minutes": 30, "practitioner": "Doctor Chidi Okafor", "spoken": "Wednesday the twenty-fifth of November at two thirty p.m."},
        ]))
    }

    fn facts() -> Facts {
        Facts {
            now: NaiveDateTime::parse_from_str("2026-11-21T10:00", MOMENT).ok(),
            practitioners: vec!["Doctor Ada Lovelace".into(), "Doctor Chidi Okafor".into()],
            ..Facts::default()
        }
    }

    #[test]
    fn three_are_offered_in_the_tools_wording() {
        assert_eq!(
            offer(&slots()),
            "I have three times for you. Monday the twenty-third of November at eight a.m., Monday the twenty-third of November at noon, \
             or Tuesday the twenty-fourth of November at nine a.m. Which one would you like?"
        );
        assert_eq!(offer(&slots()[1..2]), "I have Monday the twenty-third of November at noon. Would that suit you?");
        let same = [slots()[1].clone(), Slot { practitioner: "Doctor Chidi Okafor".into(), ..slots()[1].clone() }];
        assert!(offer(&same).contains("at noon with Doctor Ada Lovelace, or"), "{}", offer(&same));
        assert_eq!(offer(&[]), "");
    }

    #[test]
    fn choices_by_place_day_time_and_name() {
        let all = slots();
        for (text, expected) in [
            ("The first one, please.", Some(0)),
            ("the second one", Some(1)),
            ("Number three.", Some(2)),
            ("the last one", Some(2)),
            ("Tuesday, please.", Some(2)),
            ("Monday at noon.", Some(1)),
            ("At eight.", Some(0)),
            ("The second one on Monday.", Some(1)),
            ("The one with Doctor Okafor.", Some(0)),
            ("Wednesday at two thirty.", Some(3)),
            ("Tuesday the twenty-fourth at nine.", Some(2)),
            ("Either is fine.", Some(0)),
        ] {
            let expected = expected.map_or(Choice::Nothing, |at| Choice::One(all[at].clone()));
            assert_eq!(choose(&all, &Words::of(text), &facts()), expected, "{text}");
        }
        let of = |text: &str| choose(&all, &Words::of(text), &facts());
        assert_eq!(of("Monday."), Choice::Some(all[..2].to_vec()));
        assert_eq!(of("Friday."), Choice::Another);
        assert_eq!(of("The fifth one."), Choice::Another);
        assert_eq!((of("My name is Ada."), of("Yes, that is right.")), (Choice::Nothing, Choice::Nothing));
        assert_eq!(choose(&[], &Words::of("the first one"), &facts()), Choice::Nothing);
    }

    #[test]
    fn what_the_tool_gave_is_narrowed_to_the_wish() {
        let today = facts().now.map(|now| now.date());
        let when = |text: &str| When::read(&Words::of(text), today, false);
        assert_eq!(suiting(slots(), &when("in the afternoon")).len(), 2);
        assert_eq!(suiting(slots(), &when("on Friday")).len(), 4);
        assert_eq!(read(&json!({"no": "list"})), []);
        assert_eq!(read(&json!([{"spoken": "soon"}, 7])), []);
    }
}
