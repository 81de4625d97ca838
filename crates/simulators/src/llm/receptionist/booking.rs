//! Booking: wish, name, number, choice, read-back, code.

use chrono::{Days, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value, json};

use super::facts::{Facts, MOMENT};
use super::names;
use super::numbers;
use super::slots::{self, Choice, Slot};
use super::task::{CHECKING, Fault, Heard, Known, Outcome, Pending, Reaction, Step};
use super::when::{self, Day, Part, When};
use super::words::Words;

/// How far ahead a search looks, in days.
const WINDOW_DAYS: u64 = 13;
/// How often an empty search is repeated further ahead.
const FURTHER_MAX: u32 = 2;

/// A booking under way.
#[derive(Debug, Default)]
pub(super) struct Booking {
    /// An appointment that exists is moved, with `reschedule_appointment`.
    pub(super) moves: bool,
    /// Its code.
    code: Option<String>,
    /// The caller's own words about when, where the clinic's calendar is to make sense of them.
    said: Option<String>,
    when: When,
    practitioner: Option<String>,
    service: Option<String>,
    /// What was found last; `None` before a search.
    slots: Option<Vec<Slot>>,
    choice: Option<Slot>,
    pub(super) pending: Option<Pending>,
    /// The result of the commit.
    pub(super) booked: Option<Value>,
    searched_further: u32,
}

impl Booking {
    pub(super) fn open(heard: &Heard<'_>, facts: &Facts) -> Self {
        let mut booking = Self::default();
        booking.hear_wish(&heard.words, facts);
        booking
    }

    /// The same for an appointment that exists.
    pub(super) fn open_move(heard: &Heard<'_>, facts: &Facts) -> Self {
        Self { moves: true, ..Self::open(heard, facts) }
    }

    /// Whether it is known who asks.
    fn is_identified(&self, known: &Known) -> bool {
        let first = if self.moves { self.code.is_some() } else { known.name.is_some() };
        first && known.phone.is_some()
    }

    /// Takes day, time, practitioner and service; whether anything of it was said.
    fn hear_wish(&mut self, words: &Words, facts: &Facts) -> bool {
        if let Some(said) = facts.reads_phrases.then(|| when::natural(words)).flatten() {
            (self.said, self.when) = (Some(said), When::default());
            return true;
        }
        let when = When::read(&numbers::without_phone(words), facts.now.map(|now| now.date()), self.slots.is_some());
        let mut heard = !when.is_empty();
        if heard {
            self.said = None;
        }
        match when.day {
            Some(_) => self.when = When { part: when.part.or(self.when.part), ..when },
            None if heard => self.when = When { day: self.when.day, ..when },
            None => {}
        }
        for (wish, named) in [(&mut self.practitioner, facts.practitioner(words)), (&mut self.service, facts.service(words))] {
            if let Some(named) = named {
                *wish = Some(named.clone());
                heard = true;
            }
        }
        heard
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, facts: &Facts, reaction: &mut Reaction) -> bool {
        if self.pending.is_some() {
            return self.hear_verdict(heard, known, facts, reaction);
        }
        let choice = slots::choose(self.slots.as_deref().unwrap_or_default(), &heard.words, facts);
        let is_asked = self.is_identified(known) && !known.changed;
        if self.slots.is_some() && is_asked {
            return self.hear_choice(choice, heard, facts);
        }
        let mut used = known.changed;
        if self.moves {
            if let Some(code) = numbers::code(&heard.words) {
                self.code = Some(code);
                return true;
            }
            if self.code.is_some() && known.phone.is_none() && !used {
                used = known.hear_phone(&heard.words);
            }
        } else if known.name.is_none()
            && let Some(name) = names::answered(heard.text)
        {
            known.name = Some(name);
            known.changed = true;
            used = true;
        } else if known.name.is_some() && known.phone.is_none() && !used {
            used = known.hear_phone(&heard.words);
        }
        if let Choice::One(slot) = choice {
            self.choice = Some(slot);
            return true;
        }
        let wished = self.hear_wish(&heard.words, facts);
        if wished {
            self.slots = None;
            self.choice = None;
        }
        wished || used
    }

    fn hear_choice(&mut self, choice: Choice, heard: &Heard<'_>, facts: &Facts) -> bool {
        let only = self.slots.as_ref().and_then(|slots| if let [only] = slots.as_slice() { Some(only.clone()) } else { None });
        match choice {
            Choice::One(slot) => self.choice = Some(slot),
            Choice::Some(slots) => self.slots = Some(slots),
            Choice::Another if self.hear_wish(&heard.words, facts) => self.slots = None,
            Choice::Another => return false,
            Choice::Nothing => {
                let others = heard.words.any(&["none", "other", "others", "another", "else", "different", "later", "neither"]);
                if heard.yes == Some(false) || others {
                    self.look_further();
                } else if heard.yes == Some(true) && only.is_some() {
                    self.choice = only;
                } else if self.hear_wish(&heard.words, facts) {
                    self.slots = None;
                } else {
                    return false;
                }
            }
        }
        true
    }

    /// None of them suits: the others that were found are offered, then what lies after them is looked for.
    fn look_further(&mut self) {
        let mut slots = self.slots.take().unwrap_or_default();
        let rest = slots.split_off(slots::offered(&slots).len());
        if !rest.is_empty() {
            self.slots = Some(rest);
            return;
        }
        let last = slots.last().and_then(Slot::date);
        self.when = When { day: last.and_then(|last| last.checked_add_days(Days::new(1))).map(Day::From), ..When::default() };
        self.said = None;
    }

    /// What the caller says to the read-back: a correction counts before a yes or no.
    fn hear_verdict(&mut self, heard: &Heard<'_>, known: &Known, facts: &Facts, reaction: &mut Reaction) -> bool {
        let choice = slots::choose(self.slots.as_deref().unwrap_or_default(), &heard.words, facts);
        match choice {
            Choice::One(slot) if self.choice.as_ref() != Some(&slot) => self.choice = Some(slot),
            // "Yes, but on Thursday" is no yes.
            Choice::Another if (heard.yes != Some(true) || heard.words.any(&["but"])) && self.hear_wish(&heard.words, facts) => {
                self.slots = None;
                self.choice = None;
            }
            _ if known.changed => {}
            _ => {
                match (heard.yes, &mut self.pending) {
                    (Some(true), Some(pending)) => pending.agreed = true,
                    (Some(false), pending) => {
                        *pending = None;
                        self.choice = None;
                        let moves = self.moves;
                        *reaction =
                            Reaction::say(if moves { "All right, I have not moved it." } else { "All right, I have not booked it." });
                    }
                    _ => return false,
                }
                return true;
            }
        }
        self.pending = None;
        true
    }

    pub(super) fn step(&self, known: &Known, facts: &Facts) -> Step {
        if let Some(pending) = &self.pending {
            return pending.step();
        }
        if self.moves && self.code.is_none() {
            return Step::Ask("What is the confirmation code of the appointment, letter by letter?".into());
        }
        if !self.moves && known.name.is_none() {
            return Step::Ask("May I have the patient's full name?".into());
        }
        let Some(phone) = &known.phone else { return known.ask_phone() };
        if !self.moves && !facts.can_book && facts.can_identify {
            let arguments = json!({ "patient_name": known.name, "phone": phone });
            return Step::Call { say: "Let me see.", name: "identify_patient", arguments };
        }
        let Some(slots) = &self.slots else {
            return Step::Call { say: "Let me see what is free.", name: "find_slots", arguments: self.search(facts) };
        };
        let Some(choice) = &self.choice else {
            let question = if slots.is_empty() { "Which other day would suit you?".into() } else { slots::offer(slots) };
            return Step::Ask(question);
        };
        let mut arguments = self.asked();
        arguments.insert("start".into(), json!(choice.start));
        arguments.insert("phone".into(), json!(phone));
        if self.moves {
            arguments.insert("confirmation_code".into(), json!(self.code));
            return Step::Call { say: "Very well.", name: "reschedule_appointment", arguments: Value::Object(arguments) };
        }
        arguments.insert("patient_name".into(), json!(known.name));
        Step::Call { say: "Very well.", name: "book_appointment", arguments: Value::Object(arguments) }
    }

    /// Whom and what was asked for.
    fn asked(&self) -> Map<String, Value> {
        let wishes = [("practitioner", &self.practitioner), ("service", &self.service)];
        wishes.into_iter().filter_map(|(key, wish)| Some((key.to_owned(), json!(wish.as_ref()?)))).collect()
    }

    /// The arguments of the search.
    fn search(&self, facts: &Facts) -> Value {
        let mut arguments = self.asked();
        if let Some(said) = &self.said {
            arguments.insert("when".into(), json!(said));
            return Value::Object(arguments);
        }
        let date = |date: NaiveDate| date.format("%Y-%m-%d").to_string();
        let mut set = |key: &str, value: String| arguments.insert(key.into(), json!(value));
        if let (Some(Day::On(day)), Some(time)) = (self.when.day, self.when.time) {
            set("exact_start", NaiveDateTime::new(day, time).format(MOMENT).to_string());
            return Value::Object(arguments);
        }
        let today = facts.now.map(|now| now.date());
        let (first, last) = match self.when.day {
            Some(Day::On(day)) => (Some(day), Some(day)),
            Some(Day::Between(first, last)) => (Some(first), Some(last)),
            Some(Day::From(first)) => (Some(first), None),
            Some(Day::Any(_)) | None => (today, None),
        };
        if let Some(first) = first {
            let noon = self.when.part == Some(Part::Afternoon) && last == Some(first);
            // What is left of today begins now.
            let now = facts.now.filter(|now| now.date() == first && !noon).map(|now| now.format(MOMENT).to_string());
            set("window_start", if noon { format!("{}T12:00", date(first)) } else { now.unwrap_or_else(|| date(first)) });
            if let Some(last) = last.or_else(|| first.checked_add_days(Days::new(WINDOW_DAYS))) {
                let morning = self.when.part == Some(Part::Morning) && last == first;
                set("window_end", if morning { format!("{}T12:00", date(last)) } else { date(last) });
            }
        }
        Value::Object(arguments)
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let Some(outcome) = Pending::turn(&mut self.pending, outcome) else { return Reaction::default() };
        match outcome {
            Outcome::Result(found) if found.get("identified").is_some() => Reaction::default(),
            Outcome::Result(found) => self.found(&found),
            Outcome::Prepared(_) => Reaction::default(),
            Outcome::Done(result) => {
                let spoken = result.get("spoken").and_then(Value::as_str).unwrap_or_default();
                let moved = format!("That is done. Your appointment is now on {} Your code stays the same.", slots::stopped(spoken));
                self.booked = Some(result);
                if self.moves {
                    return Reaction::say(moved);
                }
                Reaction::say(format!("Your appointment is booked. {}", self.code().unwrap_or_default()).trim_end())
            }
            Outcome::Unknown => Reaction::say(CHECKING),
            Outcome::Failed(fault) => self.failed(&fault, known),
        }
    }

    /// The confirmation code in a sentence.
    pub(super) fn code(&self) -> Option<String> {
        self.spoken_code().map(|code| format!("Your confirmation code is {code}."))
    }

    /// The confirmation code as it is spoken.
    pub(super) fn spoken_code(&self) -> Option<&str> {
        self.booked.as_ref()?.get("confirmation_code_spoken")?.as_str()
    }

    fn found(&mut self, found: &Value) -> Reaction {
        let found_slots = slots::read(found.get("slots").unwrap_or(&Value::Null));
        let available = found.get("available").and_then(Value::as_bool);
        if found_slots.is_empty() {
            return self.found_nothing();
        }
        let note = found.get("note").and_then(Value::as_str).unwrap_or_default();
        let fits = found_slots.iter().any(|slot| slot.fits(&self.when));
        let say = match available {
            Some(true) => {
                self.choice = found_slots.first().cloned();
                ""
            }
            Some(false) if note.contains("taken") => "I'm sorry, that time is taken.",
            Some(false) => "I'm sorry, that time cannot be booked.",
            None if !fits => "I'm sorry, there is nothing at that time.",
            None => "",
        };
        self.slots = Some(if available.is_some() { found_slots } else { slots::suiting(found_slots, &self.when) });
        Reaction::say(say)
    }

    /// Looks elsewhere, a few times.
    fn found_nothing(&mut self) -> Reaction {
        self.slots = None;
        self.said = None;
        self.searched_further += 1;
        if self.searched_further > FURTHER_MAX {
            self.slots = Some(Vec::new());
            return Reaction::stuck("I'm sorry, I find nothing that is free.");
        }
        let (next, say) = match self.when.day {
            Some(Day::On(day)) => (Some(day), "I'm sorry, nothing is free then."),
            Some(Day::Between(_, last)) => (Some(last), "I'm sorry, nothing is free then."),
            Some(Day::From(first)) => (first.checked_add_days(Days::new(WINDOW_DAYS)), ""),
            Some(Day::Any(_)) | None => (None, ""),
        };
        self.when = When { day: next.and_then(|day| day.checked_add_days(Days::new(1))).map(Day::From), ..When::default() };
        Reaction::say(say)
    }

    fn failed(&mut self, fault: &Fault, known: &mut Known) -> Reaction {
        match fault.code.as_str() {
            "slot_taken" | "not_bookable" => self.refused(fault),
            "not_found" if self.moves => {
                self.code = None;
                known.phone = None;
                self.searched_further += 1;
                let say = "I'm sorry, I find no appointment under that code and number.";
                if self.searched_further > FURTHER_MAX { Reaction::stuck(say) } else { Reaction::say(say) }
            }
            "too_many_attempts" => Reaction::stuck("I'm sorry, I cannot look that up."),
            "same_time" => {
                (self.choice, self.slots) = (None, None);
                Reaction::say("It is at that time already.")
            }
            "changed_meanwhile" | "already_cancelled" | "past" => Reaction::stuck("I'm sorry, that appointment cannot be moved any more."),
            "patient_busy" => {
                let choice = self.choice.take();
                let left: Vec<Slot> =
                    self.slots.take().unwrap_or_default().into_iter().filter(|slot| Some(slot) != choice.as_ref()).collect();
                self.slots = (!left.is_empty()).then_some(left);
                Reaction::say("I'm sorry, the patient has another appointment at that time.")
            }
            "not_offered" => {
                *self = Self { when: self.when, moves: self.moves, code: self.code.take(), ..Self::default() };
                Reaction::say("I'm sorry, that is not offered any more.")
            }
            "invalid_arguments" => self.repair(fault, known),
            // There is somebody to be registered first.
            "unknown_patient" => Reaction::default(),
            "not_identified" => Reaction::stuck("I'm sorry, I cannot book that."),
            _ if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot reach the calendar at the moment."),
        }
    }

    /// Somebody was faster, or nobody works then: the alternatives take the place of what was found.
    fn refused(&mut self, fault: &Fault) -> Reaction {
        let alternatives = slots::read(fault.details.get("alternatives").unwrap_or(&Value::Null));
        let day = self.choice.take().and_then(|choice| choice.date());
        if alternatives.is_empty() {
            self.when = When { day: day.map(Day::From), ..When::default() };
        }
        self.slots = (!alternatives.is_empty()).then_some(alternatives);
        let is_taken = fault.code == "slot_taken";
        Reaction::say(if is_taken { "I'm sorry, that time has just been taken." } else { "I'm sorry, that time cannot be booked." })
    }

    /// Forgets what was wrong, so that it is asked for or left out.
    fn repair(&mut self, fault: &Fault, known: &mut Known) -> Reaction {
        let mut say = "";
        let fields = fault.fields();
        for field in &fields {
            match *field {
                "phone" => {
                    known.phone = None;
                    say = "I'm sorry, that number does not seem to be complete.";
                }
                "patient_name" => {
                    known.name = None;
                    say = "I'm sorry, I did not get the name.";
                }
                "practitioner" if self.practitioner.take().is_some() => say = "I'm sorry, I know nobody of that name here.",
                "service" if self.service.take().is_some() => say = "I'm sorry, I do not know that service.",
                "when" if self.said.take().is_some() => {
                    self.slots = Some(Vec::new());
                    say = "I'm sorry, I am not sure which day you mean.";
                }
                "confirmation_code" if self.moves => {
                    self.code = None;
                    say = "I'm sorry, that code does not seem to be complete.";
                }
                "start" | "exact_start" | "window_start" | "window_end" if !self.when.is_empty() || self.choice.is_some() => {
                    self.when = When::default();
                    self.choice = None;
                    self.slots = None;
                    say = "I'm sorry, I did not get the day.";
                }
                _ => return Reaction::stuck("I'm sorry, that does not work at the moment."),
            }
        }
        if fields.is_empty() { Reaction::stuck("I'm sorry, that does not work at the moment.") } else { Reaction::say(say) }
    }
}
