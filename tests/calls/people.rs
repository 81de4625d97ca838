//! Who calls, and what is said. The recogniser knows these sentences and no others.

/// A caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    /// The number that he tells.
    pub(crate) number: &'static str,
    /// The same as digits.
    pub(crate) digits: &'static str,
    /// A wish; that of each of the first eight has a day and time of its own.
    pub(crate) wish: &'static str,
}

const fn person(name: &'static str, number: &'static str, digits: &'static str, wish: &'static str) -> Person {
    Person { name, number, digits, wish }
}

/// Ten callers, the first eight of whom want eight times.
pub(crate) const PEOPLE: [Person; 10] = [
    person(
        "Grace Hopper",
        "five five five, zero one three, four five six seven",
        "5550134567",
        "I would like an appointment tomorrow at nine, please.",
    ),
    person(
        "Alan Turing",
        "five five five, zero one four, five six seven eight",
        "5550145678",
        "Hello, can I come in on Monday at eleven o'clock?",
    ),
    person(
        "Mary Shelley",
        "five five five, zero one five, six seven eight nine",
        "5550156789",
        "I need a check-up on Tuesday at two in the afternoon.",
    ),
    person(
        "Isaac Newton",
        "five five five, zero one six, seven eight nine zero",
        "5550167890",
        "Could I see a doctor on Wednesday at ten thirty?",
    ),
    person(
        "Emmy Noether",
        "five five five, zero one seven, eight nine zero one",
        "5550178901",
        "Please book me a visit on Thursday at four p.m.",
    ),
    person(
        "Niels Bohr",
        "five five five, zero one eight, nine zero one two",
        "5550189012",
        "I want to make an appointment for Friday at half past eight.",
    ),
    person(
        "Lise Meitner",
        "five five five, zero one nine, zero one two three",
        "5550190123",
        "Good morning, I need an appointment on Saturday at noon.",
    ),
    person(
        "Ada Lovelace",
        "five five five, zero one two, three four five six",
        "5550123456",
        "Hi, I have to see a doctor on Sunday at half past three.",
    ),
    person("Max Planck", "five five five, zero two zero, one two three four", "5550201234", WISH),
    person("Marie Curie", "five five five, zero two one, two three four five", "5550212345", WISH),
];

/// A wish that leaves the time open.
pub(crate) const WISH: &str = "Hello, I would like to book an appointment, please.";
/// A wish that somebody else has, too.
pub(crate) const RIVAL_WISH: &str = "I would like to see Doctor Osei tomorrow at nine, please.";
/// The choice among three times.
pub(crate) const SECOND: &str = "The second one, please.";
/// Another choice.
pub(crate) const FIRST: &str = "The first one, please.";
/// The answer to the read-back.
pub(crate) const YES: &str = "Yes, that is right.";
/// The wish for somebody else.
pub(crate) const PERSON: &str = "Can I talk to a person, please?";

/// The end.
pub(crate) const GOODBYE: &str = "No, thank you, goodbye.";

impl Person {
    /// How he introduces himself.
    pub(crate) fn introduction(&self) -> String {
        format!("My name is {}.", self.name)
    }

    /// How he tells his number.
    pub(crate) fn tells_number(&self) -> String {
        format!("My number is {}.", self.number)
    }
}

/// All that is ever said.
pub(crate) fn utterances() -> Vec<String> {
    let of = |person: &Person| [person.introduction(), person.tells_number(), person.wish.to_owned()];
    let common = [WISH, RIVAL_WISH, SECOND, FIRST, YES, PERSON, GOODBYE].map(str::to_owned);
    PEOPLE.iter().flat_map(of).chain(common).collect()
}
