//! Cuts the model's stream of text into pieces that can be spoken as soon as they are whole.
//!
//! The first piece of a reply may end at a clause ("Sure, let me see,"), so that speech starts early; the others end with
//! their sentence, which gives the synthesiser the melody. A boundary is only seen once the text after it is known, so that
//! "9.30", "Dr. Lee" and "at 9 a.m. on Friday" stay whole.

use serde::{Deserialize, Serialize};

/// A clause shorter than this is not worth a request of its own.
const CLAUSE_CHARS_MIN: usize = 12;
/// A piece longer than this is cut at a space; no sentence for the ear is that long.
const PIECE_CHARS_MAX: usize = 400;
/// Words that end in a full stop without ending a sentence, lower case, without the stop.
const ABBREVIATIONS: [&str; 22] = [
    "dr", "drs", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "vs", "approx", "dept", "tel", "ext", "min", "max", "mt", "ave", "inc",
    "ltd", "fig", "sra",
];

/// Cuts one answer of the model; its state is part of the stored conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SentenceSplitter {
    buffer: String,
    clause_given: bool,
}

impl SentenceSplitter {
    /// A splitter whose first piece may be a clause (`early`) or must be a sentence.
    #[must_use]
    pub fn new(early: bool) -> Self {
        Self { buffer: String::new(), clause_given: !early }
    }

    /// Takes a piece of the stream and gives what became speakable, in order.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.push_str(text);
        let mut pieces = Vec::new();
        while let Some(end) = boundary(&self.buffer, !self.clause_given) {
            let rest = self.buffer.split_off(end);
            let piece = std::mem::replace(&mut self.buffer, rest);
            self.give(&piece, &mut pieces);
        }
        pieces
    }

    /// Gives what is left at the end of the answer.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        let mut pieces = Vec::new();
        self.give(&rest, &mut pieces);
        pieces.pop()
    }

    fn give(&mut self, piece: &str, pieces: &mut Vec<String>) {
        if is_speakable(piece) {
            self.clause_given = true;
            pieces.push(piece.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}

/// Whether there is anything to pronounce.
#[must_use]
pub fn is_speakable(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Where the first speakable piece ends (a byte offset), if that can be told yet.
fn boundary(buffer: &str, clause: bool) -> Option<usize> {
    let mut letters = false;
    let mut last_space = None;
    for (count, (at, c)) in buffer.char_indices().enumerate() {
        let end = at + c.len_utf8();
        letters |= c.is_alphanumeric();
        if c.is_whitespace() {
            last_space = Some(end);
        }
        if count >= PIECE_CHARS_MAX {
            return last_space.or(Some(end));
        }
        if !letters {
            continue;
        }
        let (before, after) = (&buffer[..at], &buffer[end..]);
        let found = match c {
            '\n' | '。' | '！' | '？' => Some(end),
            '.' | '!' | '?' | '…' => sentence_end(before, c, after).map(|extra| end + extra),
            ',' | ';' | ':' | '–' | '—' if clause && count + 1 >= CLAUSE_CHARS_MIN => clause_end(before, after).then_some(end),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// How many bytes after the mark still belong to the sentence; `None` if it does not end there or that cannot be told yet.
fn sentence_end(before: &str, mark: char, after: &str) -> Option<usize> {
    let closers = after.len() - after.trim_start_matches(['"', '\'', '”', '’', ')', ']', '.', '!', '?', '*']).len();
    let rest = after.get(closers..)?;
    if !rest.chars().next()?.is_whitespace() {
        return None;
    }
    if mark != '.' || closers > 0 {
        return Some(closers);
    }
    // A hard line break ends a sentence whatever follows.
    let line_break = rest.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\n');
    if line_break {
        return (!is_list_number(before)).then_some(0);
    }
    let next = rest.trim_start().chars().next()?;
    let word = before.rsplit([' ', '\n', '\t', '(', '"', '“']).next().unwrap_or_default();
    let goes_on = next.is_lowercase() || is_abbreviation(word, next) || is_list_number(before);
    let decimal = next.is_ascii_digit() && word.ends_with(|c: char| c.is_ascii_digit());
    (!goes_on && !decimal).then_some(0)
}

fn is_abbreviation(word: &str, next: char) -> bool {
    let word = word.to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let number = word == "no" && next.is_ascii_digit();
    // "a.m", "p.m", "e.g", "u.s": a stop inside the word, letters around it.
    let inner = word.contains('.') && word.chars().all(|c| c == '.' || c.is_alphabetic());
    initial || number || inner || ABBREVIATIONS.contains(&word.as_str())
}

/// "1." at the head of a piece numbers a list.
fn is_list_number(before: &str) -> bool {
    let trimmed = before.trim();
    !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit())
}

/// Whether a comma or its like ends a speakable clause: a space follows, and it does not stand between two numbers.
fn clause_end(before: &str, after: &str) -> bool {
    let Some(space) = after.chars().next() else { return false };
    let Some(next) = after.trim_start().chars().next() else { return false };
    let between_numbers = next.is_ascii_digit() && before.trim_end().ends_with(|c: char| c.is_ascii_digit());
    space.is_whitespace() && !between_numbers
}

#[cfg(test)]
mod tests {
    use super::SentenceSplitter;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = SentenceSplitter::new(true);
        // One character at a time: the hardest way to stream.
        let mut pieces: Vec<String> = text.chars().flat_map(|c| splitter.push(&c.to_string())).collect();
        pieces.extend(splitter.finish());
        pieces
    }

    #[test]
    fn the_first_piece_may_be_a_clause() {
        assert_eq!(split("Let me see, one moment, please. All good."), ["Let me see, one moment,", "please.", "All good."]);
        assert_eq!(split("Sure, I can do that for you, of course."), ["Sure, I can do that for you,", "of course."]);
    }

    #[test]
    fn numbers_and_abbreviations_stay_whole() {
        for whole in [
            "I have 9.30 and 10.15 on Friday.",
            "Dr. Lee is free at 9 a.m. on Friday.",
            "You meet Dr. Lee at 9 a.m. Monday.",
            "Take no. 5 to St. Mary.",
            "It costs 1,000 dollars.",
            "J. Smith calls.",
        ] {
            assert_eq!(split(whole), [whole]);
        }
        assert_eq!(split("It is 5, 5, 5, 1, 2, 1, 2. Is that right?"), ["It is 5, 5, 5, 1, 2, 1, 2.", "Is that right?"]);
    }

    #[test]
    fn sentences_are_cut_and_blanks_dropped() {
        assert_eq!(split("Hi. How are you?  Fine!\n\n- Well\n***\n"), ["Hi.", "How are you?", "Fine!", "- Well"]);
        assert_eq!(split("1. Cleaning\n2. Filling"), ["1. Cleaning", "2. Filling"]);
        assert_eq!(split("He said \"yes.\" Then he left."), ["He said \"yes.\"", "Then he left."]);
        assert_eq!(split("  "), Vec::<String>::new());
    }

    #[test]
    fn nothing_grows_without_end() {
        let pieces = split(&"word ".repeat(400));
        assert!(pieces.len() > 4 && pieces.iter().all(|piece| piece.chars().count() <= 401));
        assert!(split(&"x".repeat(2000)).len() > 4);
    }
}
