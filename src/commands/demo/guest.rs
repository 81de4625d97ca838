//! What a caller of the demo says, and to what: he answers the agent's words, so that he keeps step however long an answer takes.

use frontdesk_simulators::caller::{Act, CallerPlan, Heard};

/// Name and spoken number of each caller.
const PEOPLE: [(&str, &str); 8] = [
    ("Ada Lovelace", "five five five, zero one two, three four five six"),
    ("Grace Hopper", "five five five, zero one three, four five six seven"),
    ("Alan Turing", "five five five, zero one four, five six seven eight"),
    ("Mary Shelley", "five five five, zero one five, six seven eight nine"),
    ("Isaac Newton", "five five five, zero one six, seven eight nine zero"),
    ("Emmy Noether", "five five five, zero one seven, eight nine zero one"),
    ("Niels Bohr", "five five five, zero one eight, nine zero one two"),
    ("Lise Meitner", "five five five, zero one nine, zero one two three"),
];
const CHOICES: [&str; 3] = ["The second one, please.", "The first one, please.", "The third one, please."];

/// A sentence, and words of the agent of which any one asks for it.
#[derive(Debug)]
struct Answer {
    to: &'static [&'static str],
    text: String,
    was_said: bool,
}

/// The plan of one caller: the sentences in the order in which they are usually asked for.
#[derive(Debug)]
pub(super) struct Guest {
    answers: Vec<Answer>,
}

impl Guest {
    /// The caller with this number, counted from 0.
    pub(super) fn new(caller: usize) -> Self {
        let (name, number) = PEOPLE[caller % PEOPLE.len()];
        let answer = |to, text: &str| Answer { to, text: text.to_owned(), was_said: false };
        Self {
            answers: vec![
                answer(&["help you", "do for you today"], "Hello, I would like to book an appointment, please."),
                answer(&["name"], &format!("My name is {name}.")),
                answer(&["number"], &format!("My number is {number}.")),
                answer(&["which", "prefer", "work for you", "suit"], CHOICES[caller % CHOICES.len()]),
                answer(&["shall i", "is that right", "is that correct", "confirm that", "go ahead"], "Yes, that is right."),
                answer(&["confirmation code", "anything else"], "No, thank you, goodbye."),
            ],
        }
    }

    /// Everything that he may say, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.answers.iter().map(|answer| answer.text.as_str())
    }

    /// The place of the answer to these words. A read-back names the number too, so later questions go before earlier ones.
    fn answer_to(&self, words: &str) -> Option<usize> {
        let words = words.to_lowercase();
        self.answers.iter().rposition(|answer| answer.to.iter().any(|part| words.contains(part)))
    }
}

impl CallerPlan for Guest {
    fn act(&mut self, heard: Heard<'_>) -> Act {
        let words = heard.text.filter(|words| !words.is_empty());
        // What was said is said again when it is asked for again.
        let asked_for = words.and_then(|words| self.answer_to(words));
        let at_a_loss = words.is_none() || heard.is_overdue;
        let next = || self.answers.iter().position(|answer| !answer.was_said);
        let Some(place) = asked_for.or_else(|| if at_a_loss { next() } else { None }) else { return Act::Listen };
        let answer = &mut self.answers[place];
        answer.was_said = true;
        Act::Say(answer.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(text: &str) -> Heard<'_> {
        Heard { text: Some(text), is_overdue: false }
    }

    #[test]
    fn each_question_gets_its_answer_and_a_preamble_none() {
        let mut guest = Guest::new(0);
        let texts: Vec<String> = guest.texts().map(str::to_owned).collect();
        let asked = [
            "Lakeside Family Clinic, good day. How can I help you?",
            "May I have the patient's full name?",
            "Thank you. May I have your telephone number, with the area code?",
            "Thank you. Let me see what is free. I have two times for you: eight or nine. Which one would you like?",
            "I have nine for Ada Lovelace, telephone number five five five. Shall I book that?",
            "Your appointment is booked. Your confirmation code is W, L, M. Is there anything else I can do for you?",
        ];
        for (question, answer) in asked.into_iter().zip(&texts) {
            assert_eq!(guest.act(hears("Thank you. One moment, please.")), Act::Listen);
            assert_eq!(guest.act(hears(question)), Act::Say(answer.clone()), "{question}");
        }
        assert_eq!(guest.act(hears("I'm sorry, may I have the number again?")), Act::Say(texts[2].clone()));
    }

    #[test]
    fn who_cannot_read_the_agents_words_says_his_sentences_in_order() {
        let mut guest = Guest::new(3);
        let texts: Vec<String> = guest.texts().map(str::to_owned).collect();
        for text in texts {
            assert_eq!(guest.act(Heard { text: Some(""), is_overdue: false }), Act::Say(text));
        }
        assert_eq!(guest.act(Heard { text: None, is_overdue: true }), Act::Listen);
    }
}
