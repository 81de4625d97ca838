//! What a caller said, as plain words, and what short words mean.

/// The words of an utterance: lower case, without punctuation or apostrophes; "a.m." is "am", "o'clock" is "oclock".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let mut text = text.to_lowercase().replace("(keypad)", " ");
        for (written, plain) in [("a.m", "am"), ("p.m", "pm"), ("a. m", "am"), ("p. m", "pm"), ("+", " plus ")] {
            text = text.replace(written, plain);
        }
        let mut words = vec![String::new()];
        let chars: Vec<char> = text.chars().collect();
        for (at, c) in chars.iter().enumerate() {
            let digit_at = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
            let in_time = *c == ':' && digit_at(at.checked_sub(1)) && digit_at(Some(at + 1));
            if c.is_alphanumeric() || in_time {
                if let Some(word) = words.last_mut() {
                    word.push(*c);
                }
            } else if !['\'', '\u{2019}'].contains(c) {
                words.push(String::new());
            }
        }
        words.retain(|word| !word.is_empty());
        Self(words)
    }

    pub(super) fn list(&self) -> &[String] {
        &self.0
    }

    pub(super) fn get(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// The word before a position, "" at the begin.
    pub(super) fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |before| self.get(before))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of these words was said.
    pub(super) fn any(&self, of: &[&str]) -> bool {
        self.0.iter().any(|word| of.contains(&word.as_str()))
    }

    /// Whether any of these phrases was said, word for word.
    pub(super) fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.find(phrase).is_some())
    }

    /// Where a phrase begins.
    pub(super) fn find(&self, phrase: &str) -> Option<usize> {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        self.0.windows(phrase.len()).position(|window| window.iter().zip(&phrase).all(|(word, wanted)| word == wanted))
    }

    /// With some words replaced, by position.
    pub(super) fn replaced(&self, by: impl Fn(usize) -> Option<&'static str>) -> Self {
        let word = |(at, word): (usize, &String)| by(at).map_or_else(|| word.clone(), String::from);
        Self(self.0.iter().enumerate().map(word).collect())
    }

    /// Whether nothing but these words was said.
    pub(super) fn only(&self, of: &[&str]) -> bool {
        self.0.iter().all(|word| of.contains(&word.as_str()))
    }
}

/// A yes, a no, or neither; of both, what was said first counts.
pub(super) fn yes_or_no(words: &Words) -> Option<bool> {
    if words.says(&["dont know", "not sure", "no idea"]) {
        return None;
    }
    const YES: [&str; 21] = [
        "yes",
        "yeah",
        "yep",
        "yup",
        "sure",
        "ok",
        "okay",
        "right",
        "correct",
        "exactly",
        "fine",
        "perfect",
        "absolutely",
        "certainly",
        "definitely",
        "agreed",
        "please",
        "great",
        "good",
        "gladly",
        "works",
    ];
    const NO: [&str; 9] = ["no", "nope", "nah", "not", "wrong", "incorrect", "dont", "never", "neither"];
    if words.says(&["go ahead", "book it", "that works", "please do", "do that", "do it"]) && !words.any(&NO) {
        return Some(true);
    }
    // "Please" and praise alone are no clear yes beside another wish; short answers they are.
    let weak = words.list().len() > 4;
    let strong = |word: &str| !weak || !["please", "good", "great", "works", "fine", "right"].contains(&word);
    for (at, word) in words.list().iter().enumerate() {
        if NO.contains(&word.as_str()) && words.get(at + 1) != "problem" {
            return Some(false);
        }
        if YES.contains(&word.as_str()) && strong(word) && !["not", "isnt"].contains(&words.get(at + 1)) {
            return Some(true);
        }
    }
    None
}

/// Asks to hear it once more.
pub(super) fn wants_repetition(words: &Words) -> bool {
    words.says(&[
        "say that again",
        "once more",
        "come again",
        "excuse me",
        "what was that",
        "what did you say",
        "did not hear",
        "didnt hear",
    ]) || words.any(&["repeat", "pardon"])
        || (words.any(&["again"]) && words.list().len() <= 3)
        || (!words.is_empty() && words.only(&["sorry", "what", "hello", "hi", "are", "you", "there", "still", "hm", "mhm", "uh", "um"]))
}

/// Asks for a person instead of the agent.
pub(super) fn wants_person(words: &Words) -> bool {
    words.says(&[
        "a person",
        "a human",
        "real person",
        "somebody else",
        "someone else",
        "a colleague",
        "put me through",
        "the front office",
    ]) || words.any(&["operator", "receptionist", "human"])
}

/// Takes leave.
pub(super) fn says_goodbye(words: &Words) -> bool {
    words.any(&["goodbye", "bye", "adiós", "adios"])
        || words.says(&["good bye", "hang up", "good night", "have a nice day", "have a good day"])
}

/// Wants nothing more.
pub(super) fn is_done(words: &Words) -> bool {
    words.says(&[
        "thats all",
        "that is all",
        "that was all",
        "thats it",
        "that is it",
        "that will be all",
        "nothing else",
        "nothing more",
        "im good",
        "all set",
    ]) || words.any(&["nothing"])
}

/// What a caller may want; the closed list of `note_intent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Book,
    Move,
    Cancel,
    /// Which appointments the caller has; a question to `note_intent`.
    List,
    /// To have the confirmation sent again; a question, too.
    Resend,
    /// To be registered as a patient.
    Register,
    /// To be put on the waiting list, or taken off it.
    Queue,
    /// A question that the practice's own words may answer.
    Ask,
    /// What to do about one's health.
    Advice,
    Question,
    Insurance,
    Message,
    Emergency,
    Other,
}

impl Intent {
    /// As the tool wants it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Book | Self::Queue => "book",
            Self::Move => "move",
            Self::Cancel => "cancel",
            Self::List | Self::Resend | Self::Question | Self::Ask | Self::Advice => "question",
            Self::Insurance => "insurance",
            Self::Message => "message",
            Self::Emergency => "emergency",
            Self::Register | Self::Other => "other",
        }
    }
}

const VISITS: [&str; 11] = [
    "appointment",
    "appointments",
    "booking",
    "visit",
    "slot",
    "checkup",
    "vaccination",
    "consultation",
    "examination",
    "reservation",
    "exam",
];

/// What an utterance asks for. `busy`: something else is under way, so only plain words for it count.
pub(super) fn intent(words: &Words, busy: bool) -> Option<Intent> {
    if is_emergency(words) {
        return Some(Intent::Emergency);
    }
    if asks_for_advice(words) {
        return Some(Intent::Advice);
    }
    if words.says(&["waiting list", "wait list"]) || words.any(&["waitlist"]) {
        return Some(Intent::Queue);
    }
    let registers = words.any(&["register", "registered", "registration", "registrarme"]);
    if registers || words.says(&["new patient", "new here", "paciente nuevo", "paciente nueva"]) {
        return Some(Intent::Register);
    }
    let visit = words.any(&VISITS) || words.says(&["check up", "time slot"]);
    let or_it = visit || (!busy && words.any(&["it", "time"]));
    if words.any(&["reschedule", "rearrange", "postpone"]) || (words.any(&["move", "change", "shift"]) && or_it) {
        return Some(Intent::Move);
    }
    if words.any(&["cancel", "cancellation"]) && (or_it || !busy) || (words.says(&["call off"]) && visit) {
        return Some(Intent::Cancel);
    }
    if words.any(&["insurance", "insurer", "insured", "covered", "coverage", "copay", "copayment"]) {
        return Some(Intent::Insurance);
    }
    let sends = words.any(&["send", "resend", "text"]) && words.any(&["confirmation", "text", "message"]);
    if sends && words.any(&["again", "resend", "once", "another", "me"]) {
        return Some(Intent::Resend);
    }
    if words.says(&["leave a message", "take a message", "pass on a message", "call me back", "ring me back"])
        || (!busy && (words.any(&["message", "callback"]) || words.says(&["please tell", "could you tell", "can you tell the"])))
    {
        return Some(Intent::Message);
    }
    let of_own = words.says(&["my appointment", "my appointments", "do i have", "have i got"]);
    if visit && of_own && words.any(&["which", "what", "when", "list", "tell", "any"]) {
        return Some(Intent::List);
    }
    let asks_for = words.any(&["book", "schedule", "make", "need", "want", "like", "arrange", "get", "have"]);
    let to_see = words.says(&["see a doctor", "see the doctor", "see doctor", "come in", "book"]);
    if (asks_for && visit) || (!busy && (to_see || visit)) {
        return Some(Intent::Book);
    }
    if words.any(&["cita"]) && words.any(&["quiero", "quisiera", "necesito", "pedir", "reservar"]) {
        return Some(Intent::Book);
    }
    let first = words.get(0);
    let asks = ["who", "what", "whats", "when", "where", "how", "which", "why", "do", "does", "is", "are", "can", "could"].contains(&first);
    (!busy && asks && words.list().len() > 2 && !wants_repetition(words)).then_some(Intent::Question)
}

/// What somebody has, takes or should do about his health.
fn asks_for_advice(words: &Words) -> bool {
    words.any(&["dose", "dosage", "ibuprofen", "antibiotics", "aspirin", "diagnosis"])
        || words.says(&["how many pills", "how many tablets", "should i take", "is it serious", "what do i have against", "stop taking"])
}

fn is_emergency(words: &Words) -> bool {
    words.any(&["emergency", "unconscious", "ambulance", "suicide"])
        || words.says(&[
            "heart attack",
            "chest pain",
            "a stroke",
            "cant breathe",
            "cannot breathe",
            "not breathing",
            "bleeding badly",
            "bleeding heavily",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain() {
        assert_eq!(Words::of("No, that's at 9:30 A.M. — Dr. O'Neil!").list(), ["no", "thats", "at", "9:30", "am", "dr", "oneil"]);
        assert_eq!(Words::of("(keypad) 555#").list(), ["555"]);
        assert!(Words::of(" …?! ").is_empty());
    }

    #[test]
    fn yes_and_no_in_their_many_forms() {
        for (text, expected) in [
            ("Yes, that is right.", Some(true)),
            ("Right.", Some(true)),
            ("Please do.", Some(true)),
            ("Sure, go ahead.", Some(true)),
            ("No, that is not right.", Some(false)),
            ("That is not right.", Some(false)),
            ("Nope.", Some(false)),
            ("No problem, yes.", Some(true)),
            ("No, thank you, goodbye.", Some(false)),
            ("I don't know.", None),
            ("My dog ate the good homework, please wait.", None),
            ("I know.", None),
        ] {
            assert_eq!(yes_or_no(&Words::of(text)), expected, "{text}");
        }
    }

    #[test]
    fn wishes_are_told_apart() {
        for (text, expected) in [
            ("Hello, I would like to book an appointment, please.", Some(Intent::Book)),
            ("I need to see a doctor.", Some(Intent::Book)),
            ("Can I have a check-up next week?", Some(Intent::Book)),
            ("I want to cancel my appointment.", Some(Intent::Cancel)),
            ("Can I move my appointment to Friday?", Some(Intent::Move)),
            ("I need to reschedule.", Some(Intent::Move)),
            ("Is a vaccination covered by my insurance?", Some(Intent::Insurance)),
            ("Could you take a message?", Some(Intent::Message)),
            ("Could you send me the confirmation again?", Some(Intent::Resend)),
            ("I have terrible chest pain.", Some(Intent::Emergency)),
            ("Where can I park?", Some(Intent::Question)),
            ("The weather is lovely.", None),
            ("Hello?", None),
        ] {
            assert_eq!(intent(&Words::of(text), false), expected, "{text}");
        }
        for text in ["No, cancel that.", "What was the time?", "The second one, please.", "My number is five."] {
            assert_eq!(intent(&Words::of(text), true), None, "{text}");
        }
        assert_eq!(intent(&Words::of("I want to cancel an appointment instead."), true), Some(Intent::Cancel));
    }
}
