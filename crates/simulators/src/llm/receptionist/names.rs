//! Names of people as they introduce themselves.

/// Longest name, in words.
const NAME_WORDS_MAX: usize = 5;

/// Words that no name has and that end one.
const NO_NAME: &[&str] = &[
    "a",
    "an",
    "and",
    "any",
    "appointment",
    "are",
    "at",
    "book",
    "booking",
    "but",
    "calling",
    "can",
    "cancel",
    "code",
    "could",
    "do",
    "first",
    "for",
    "from",
    "good",
    "goodbye",
    "have",
    "hello",
    "help",
    "here",
    "hi",
    "how",
    "i",
    "im",
    "in",
    "is",
    "it",
    "its",
    "just",
    "like",
    "looking",
    "me",
    "move",
    "my",
    "name",
    "need",
    "no",
    "not",
    "number",
    "of",
    "on",
    "one",
    "phone",
    "please",
    "second",
    "sorry",
    "speaking",
    "zero",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "why",
    "who",
    "where",
    "when",
    "which",
    "um",
    "uh",
    "er",
    "hm",
    "dont",
    "cant",
    "maybe",
    "nothing",
    "nobody",
    "next",
    "last",
    "morning",
    "afternoon",
    "today",
    "tomorrow",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "ok",
    "okay",
    "right",
    "sure",
    "wait",
    "pardon",
    "again",
    "telephone",
    "thank",
    "thanks",
    "that",
    "the",
    "third",
    "this",
    "to",
    "want",
    "what",
    "with",
    "would",
    "yes",
    "you",
    "your",
];

/// A name that the caller announces: "my name is …".
pub(super) fn announced(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let after = ["my name is ", "my name's ", "name is ", "name's "].iter().find_map(|trigger| {
        let at = lower.find(trigger)? + trigger.len();
        // Lower case may be longer in bytes than upper case; then the position means nothing.
        text.get(at..).filter(|_| lower.len() == text.len())
    });
    after.and_then(leading)
}

/// A name in answer to the question for it, with or without an introduction.
pub(super) fn answered(text: &str) -> Option<String> {
    if let Some(name) = announced(text) {
        return Some(name);
    }
    let mut rest = text.trim();
    loop {
        let lower = rest.to_lowercase();
        let openings = [
            "yes",
            "sure",
            "okay",
            "ok",
            "of course",
            "certainly",
            "hello",
            "hi",
            "uh",
            "um",
            "oh",
            "well",
            "sorry",
            "no",
            "it's",
            "it is",
            "it’s",
            "i'm",
            "i am",
            "i’m",
            "this is",
            "that's",
            "that is",
            "that would be",
            "the name is",
            "call me",
            "for",
        ];
        let opening = openings.iter().find(|opening| {
            lower.len() == rest.len() && lower.strip_prefix(**opening).is_some_and(|rest| rest.starts_with([' ', ',', '.']))
        });
        let Some(opening) = opening else { break };
        rest = rest[opening.len()..].trim_start_matches([' ', ',', '.']);
    }
    leading(rest)
}

/// The name at the begin of a text.
fn leading(text: &str) -> Option<String> {
    let mut name: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let plain: String = bare.to_lowercase().chars().filter(|c| !['\'', '’'].contains(c)).collect();
        let fits = !bare.is_empty() && bare.chars().all(|c| c.is_alphabetic() || ['-', '\'', '’'].contains(&c));
        if !fits || NO_NAME.contains(&plain.as_str()) {
            break;
        }
        name.push(capitalised(bare));
        let is_initial = bare.chars().count() == 1 || ["dr", "mr", "mrs", "ms", "st"].contains(&plain.as_str());
        if word.ends_with([',', ';', '!', '?']) || (word.ends_with('.') && !is_initial) {
            break;
        }
    }
    (1..=NAME_WORDS_MAX).contains(&name.len()).then(|| name.join(" "))
}

/// A recogniser may write all in lower case.
fn capitalised(word: &str) -> String {
    if word.chars().any(char::is_uppercase) {
        return word.into();
    }
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introductions() {
        for (text, expected) in [
            ("My name is Ada Lovelace.", Some("Ada Lovelace")),
            ("hello my name is ada lovelace and i want to book", Some("Ada Lovelace")),
            ("No, my name is Mary O'Neil-Smith, please.", Some("Mary O'Neil-Smith")),
            ("My name's J. R. Tolkien.", Some("J R Tolkien")),
            ("What is your name?", None),
            ("My name is, um.", None),
        ] {
            assert_eq!(announced(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn answers_to_the_question() {
        for (text, expected) in [
            ("Ada Lovelace.", Some("Ada Lovelace")),
            ("Sure, it's Ada Lovelace.", Some("Ada Lovelace")),
            ("I'm Émilie du Châtelet, thanks.", Some("Émilie Du Châtelet")),
            ("This is Grace Hopper calling.", Some("Grace Hopper")),
            ("The second one, please.", None),
            ("Why do you want to know that, what for, and who are you?", None),
            ("five five five", None),
            ("…", None),
            ("Yes.", None),
        ] {
            assert_eq!(answered(text).as_deref(), expected, "{text}");
        }
    }
}
