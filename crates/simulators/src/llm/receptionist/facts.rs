//! What the instructions tell: the time, who works here, what is offered.

use chrono::NaiveDateTime;
use frontdesk_agent::ToolSchema;
use frontdesk_agent::llm::Message;

use super::words::Words;

/// How times are written.
pub(super) const MOMENT: &str = "%Y-%m-%dT%H:%M";

/// What is known from the system message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    /// Local time when the call began, if it is told.
    pub(super) now: Option<NaiveDateTime>,
    pub(super) practitioners: Vec<String>,
    pub(super) services: Vec<String>,
    /// `find_slots` takes the caller's own words about when.
    pub(super) reads_phrases: bool,
    /// An appointment can be moved in one step.
    pub(super) can_move: bool,
    /// The caller's own appointments can be looked up.
    pub(super) can_list: bool,
    /// Whether confirmations can be sent again.
    pub(super) can_resend: bool,
    /// An appointment can be booked; where the clinic demands it, not before the patient is known.
    pub(super) can_book: bool,
    /// It can be found out who calls.
    pub(super) can_identify: bool,
    /// A patient can be registered.
    pub(super) can_register: bool,
    /// The waiting list can be joined.
    pub(super) can_queue: bool,
    /// The practice has answers.
    pub(super) can_ask: bool,
    /// What the caller says to being recorded can be noted.
    pub(super) can_consent: bool,
}

impl Facts {
    /// Reads the first system message. Practitioners stand in lines like "- Name (id `…`)", services in lines like
    /// "- name (code `…`, 30 minutes)".
    pub(super) fn of(messages: &[Message]) -> Self {
        let Some(text) = messages.iter().find_map(|message| match message {
            Message::System { text } => Some(text),
            _ => None,
        }) else {
            return Self::default();
        };
        let listed = |key: &str| -> Vec<String> {
            let name = |line: &str| line.trim().strip_prefix("- ")?.split_once(&format!(" ({key} `")).map(|(name, _)| name.to_owned());
            text.lines().filter_map(name).collect()
        };
        let after = text.find("now is").or_else(|| text.find("is now")).unwrap_or_default();
        let now = moment_in(&text[after..]).or_else(|| moment_in(text));
        Self { now, practitioners: listed("id"), services: listed("code"), ..Self::default() }
    }

    /// And what the tools that came along can do.
    pub(super) fn with_tools(self, tools: &[ToolSchema]) -> Self {
        let has = |name: &str| tools.iter().find(|schema| schema.name == name);
        let takes_words = |schema: &ToolSchema| schema.parameters.pointer("/properties/when").is_some();
        Self {
            reads_phrases: has("find_slots").is_some_and(takes_words),
            can_move: has("reschedule_appointment").is_some(),
            can_list: has("list_appointments").is_some(),
            can_resend: has("resend_confirmation").is_some(),
            can_book: has("book_appointment").is_some(),
            can_identify: has("identify_patient").is_some(),
            can_register: has("register_patient").is_some(),
            can_queue: has("join_waiting_list").is_some() || has("leave_waiting_list").is_some(),
            can_ask: has("practice_information").is_some(),
            can_consent: has(super::CONSENT).is_some(),
            ..self
        }
    }

    /// The practitioner whom the caller names, with a title or after "with" or "see": callers bear names, too.
    pub(super) fn practitioner(&self, words: &Words) -> Option<&String> {
        let named = |name: &&String| {
            let titled = |at: usize| {
                let before = [words.before(at), words.before(at.saturating_sub(1))];
                before.iter().any(|word| ["doctor", "dr", "with", "see"].contains(word))
            };
            let parts = Words::of(name);
            parts
                .list()
                .iter()
                .filter(|part| part.len() > 1 && !["doctor", "dr", "prof", "professor", "nurse"].contains(&part.as_str()))
                .any(|part| words.list().iter().enumerate().any(|(at, word)| word == part && titled(at)))
        };
        self.practitioners.iter().find(named)
    }

    /// The service that the caller names.
    pub(super) fn service(&self, words: &Words) -> Option<&String> {
        self.services.iter().find(|name| {
            let parts = Words::of(name);
            words.says(&[&parts.list().join(" ")]) || words.any(&[&parts.list().concat()])
        })
    }
}

/// The first moment that is written in a text.
fn moment_in(text: &str) -> Option<NaiveDateTime> {
    text.char_indices().find_map(|(at, c)| {
        let moment = c.is_ascii_digit().then(|| text.get(at..at + 16)).flatten()?;
        NaiveDateTime::parse_from_str(moment, MOMENT).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "Dates are written like 2026-12-01T09:00.\nIt is now Monday, 2026-11-23T08:05 (America/New_York).\n\
        Who works here:\n- Doctor Ada Lovelace (id `dr-lovelace`)\n- Doctor Chidi Okafor (id `dr-okafor`)\n\
        What is offered:\n- check-up (code `checkup`, 30 minutes)\n- consultation (code `consultation`, 60 minutes)\n";

    #[test]
    fn the_instructions_are_read() {
        let facts = Facts::of(&[Message::System { text: PROMPT.into() }, Message::System { text: "A note.".into() }]);
        assert_eq!(facts.now.map(|now| now.format(MOMENT).to_string()).as_deref(), Some("2026-11-23T08:05"));
        assert_eq!(facts.practitioners, ["Doctor Ada Lovelace", "Doctor Chidi Okafor"]);
        assert_eq!(facts.services, ["check-up", "consultation"]);
        assert_eq!(Facts::of(&[]), Facts::default());
        assert_eq!(Facts::of(&[Message::System { text: "Ünd 2026-1é".into() }]), Facts::default());
    }

    #[test]
    fn a_caller_called_like_a_doctor_does_not_ask_for_her() {
        let facts = Facts::of(&[Message::System { text: PROMPT.into() }]);
        let asked = |text: &str| facts.practitioner(&Words::of(text)).map(String::as_str);
        assert_eq!(asked("My name is Ada Lovelace."), None);
        assert_eq!(asked("With Doctor Lovelace, please."), Some("Doctor Ada Lovelace"));
        assert_eq!(asked("Can I see Chidi Okafor?"), Some("Doctor Chidi Okafor"));
        let service = |text: &str| facts.service(&Words::of(text)).map(String::as_str);
        assert_eq!((service("a check-up"), service("a checkup"), service("an X-ray")), (Some("check-up"), Some("check-up"), None));
    }
}
