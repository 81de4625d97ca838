//! Words after which a turn is hardly over: "I would like to", "an appointment for", "because".
//!
//! A voice that pauses there often falls as it does at an end, so that neither silence nor the turn model tells; the words do.

use crate::backchannel::normalise;

/// English: articles, possessives, conjunctions, prepositions that seldom end a sentence, beginnings of clauses, verbs that want
/// an object, and sounds of thinking.
const ENGLISH: &str = "a, an, the, my, your, our, their, some, every, and, or, but, because, if, whether, unless, although, than, of, to, \
     for, with, from, at, into, about, between, without, during, i, i'm, i've, i'd, i'll, we're, we've, we'd, we'll, it's, there's, \
     must, i want, i need, i have, has got, have got, name is, number is, this is, to book, to make, to get, to have, to take, to see, to bring, \
     to change, to ask, to speak, um, uh, er, erm, let me see, let me think, let me check";
/// Spanish: the same.
const SPANISH: &str = "el, la, los, las, un, una, unos, unas, mi, mis, su, sus, y, e, o, u, pero, porque, que, cuando, aunque, de, del, \
     al, para, por, con, sin, en, entre, desde, hasta, sobre, quiero, quisiera, necesito, tengo, tengo que, hacer, pedir, ver a, me llamo, \
     eh, em, a ver, déjeme ver";

/// What [`crate::config::Endpointing::unfinished`] holds at first.
pub(crate) fn phrases() -> Vec<String> {
    [ENGLISH, SPANISH].into_iter().flat_map(|list| list.split(',')).map(|phrase| phrase.trim().to_owned()).collect()
}

/// Whether a text ends with one of the phrases. A question is finished: "What is it for?"
pub(crate) fn is_unfinished(text: &str, phrases: &[String]) -> bool {
    let text = text.trim_end();
    if text.is_empty() || text.ends_with('?') {
        return false;
    }
    let words = normalise(text);
    phrases.iter().any(|phrase| {
        let rest = words.strip_suffix(normalise(phrase).as_str());
        !phrase.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(' '))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_unfinished, phrases};

    #[test]
    fn the_last_words_tell() {
        let phrases = phrases();
        for text in [
            "I would like to",
            "I'd like to book.",
            "Could I come in for,",
            "We are new in town and…",
            "There is something about",
            "It hurts because",
            "My name is",
            "um",
            "Quisiera una cita para",
            "Me duele la",
        ] {
            assert!(is_unfinished(text, &phrases), "{text}");
        }
        for text in [
            "",
            "...",
            "Yes.",
            "Yes, I do",
            "I can",
            "I'd like that",
            "What is it for?",
            "Tuesday",
            "my banana",
            "I think so",
            "Thank you",
            "Sí, gracias",
            "el martes",
            "Quiero cancelar",
        ] {
            assert!(!is_unfinished(text, &phrases), "{text}");
        }
    }

    #[test]
    fn no_phrases_no_waiting() {
        assert!(!is_unfinished("I would like to", &[]));
        assert!(!is_unfinished("I would like to", &[String::new()]));
    }
}
