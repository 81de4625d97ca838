//! What the callers say, and when: the same in every row.

use std::time::Duration;

use frontdesk_simulators::caller::{Line, Scripted};

/// What the language model answers to everything: one clause, so that how soon a side hands text to the synthesiser matters little.
pub(super) const ANSWER: &str = "Sure, I can help with that.";
/// From the answer of the call to the caller's first word.
const FIRST_WORD_AFTER: Duration = Duration::from_millis(3500);
/// The shortest and the longest pause within an utterance.
const PAUSES_MS: (u64, u64) = (300, 1200);

/// Said in one breath.
const PLAIN: [&str; 16] = [
    "I would like to book an appointment for my daughter.",
    "Can you tell me whether you are open on Saturday morning?",
    "My back has been hurting since the weekend.",
    "Could someone renew my prescription this week?",
    "We moved house and want to change our address.",
    "Does the doctor speak any Spanish at all?",
    "Where should I park when I come to see you?",
    "The nurse asked me to call about my blood test.",
    "Is it too late to get a flu vaccination?",
    "Please let Doctor Okafor know that I feel much better.",
    "Somebody left a message on my telephone yesterday.",
    "How long does a normal consultation usually take?",
    "Will my insurance pay for the new treatment?",
    "What should my son eat before the examination?",
    "Have the results from the laboratory arrived yet?",
    "You told me to ask for an earlier time.",
];

/// Said with a pause where the comma ends the first part.
const PAUSED: [[&str; 2]; 16] = [
    ["I would like to book,", "an appointment with Doctor Lee."],
    ["My mother needs to see,", "somebody about her left knee."],
    ["Do you have anything free,", "on a Thursday after lunch?"],
    ["It started with a cough,", "and now my throat is sore."],
    ["The pills that you gave me,", "make me rather dizzy."],
    ["Could I come in for,", "a general examination soon?"],
    ["We are new in town and,", "we are looking for a doctor."],
    ["Last month my husband had,", "an operation on his shoulder."],
    ["Before I come to you should I,", "stop eating the night before?"],
    ["Tell the practitioner that,", "the swelling has gone down."],
    ["There is something about,", "the bill that puzzles me."],
    ["Because of the holidays we must,", "change our plans again."],
    ["If it is possible I want,", "the same room as usual."],
    ["Our youngest boy has got,", "a rash on both his arms."],
    ["Whenever she climbs the stairs,", "her heart beats very fast."],
    ["Yesterday evening I noticed,", "some pain behind my ear."],
];

/// One utterance of a caller: a turn of his, in one or two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Utterance {
    /// What is said, part after part.
    pub(super) parts: Vec<String>,
    /// The silence between the parts; zero for a single one.
    pub(super) pause: Duration,
    /// The first of a call lets both sides get warm and is not counted.
    pub(super) is_warm_up: bool,
}

/// What one caller says in one call.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// In order.
    pub(super) utterances: Vec<Utterance>,
    /// From an utterance's last sound to the next one's first: room for an answer.
    pub(super) answer_window: Duration,
}

/// Most turns of a call that are counted, times callers: no two callers of a round may say the same.
pub(super) const UTTERANCES_MAX: usize = PLAIN.len() + PAUSED.len();

impl Script {
    /// The script of the caller with this number, of so many, in a round. Half of its turns have a pause, of another length in each
    /// round; the two kinds alternate.
    pub(super) fn new(caller: usize, round: usize, turns: usize, answer_window: Duration) -> Self {
        let mut utterances = vec![Utterance { parts: vec!["Hello there.".to_owned()], pause: Duration::ZERO, is_warm_up: true }];
        for turn in 0..turns {
            let place = caller * turns + turn;
            let index = place / 2 % PLAIN.len();
            utterances.push(if (place + round).is_multiple_of(2) { plain(index) } else { paused(index, index * 7 + round * 5) });
        }
        Self { utterances, answer_window }
    }

    /// How long the call lasts from its answer, about.
    pub(super) fn duration(&self) -> Duration {
        let speech = |utterance: &Utterance| Duration::from_secs(3) + utterance.pause + self.answer_window;
        FIRST_WORD_AFTER + self.utterances.iter().map(speech).sum::<Duration>()
    }

    /// As a plan. The caller keeps his time whatever the agent does, so that every row hears the very same.
    pub(super) fn plan(&self) -> Scripted {
        let mut lines = Vec::new();
        for (number, utterance) in self.utterances.iter().enumerate() {
            for (part, text) in utterance.parts.iter().enumerate() {
                let after = match (number, part) {
                    (0, 0) => FIRST_WORD_AFTER,
                    (_, 0) => self.answer_window,
                    _ => utterance.pause,
                };
                lines.push(Line::say_after(after, text));
            }
        }
        lines.push(Line::hang_up_after(self.answer_window));
        Scripted::new(lines)
    }
}

fn plain(index: usize) -> Utterance {
    Utterance { parts: vec![PLAIN[index].to_owned()], pause: Duration::ZERO, is_warm_up: false }
}

/// Pauses are spread evenly over their range.
fn paused(index: usize, step: usize) -> Utterance {
    let (shortest, longest) = PAUSES_MS;
    let steps = PAUSED.len();
    let pause = shortest + (longest - shortest) * (step % steps) as u64 / (steps as u64 - 1);
    let parts = PAUSED[index].map(str::to_owned).to_vec();
    Utterance { parts, pause: Duration::from_millis(pause), is_warm_up: false }
}

/// Everything that any caller may say, for the recogniser.
pub(super) fn texts() -> Vec<String> {
    let parts = PAUSED.iter().flatten().chain(&PLAIN);
    parts.map(|text| (*text).to_owned()).chain(["Hello there.".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_turns_have_a_pause_and_no_two_callers_say_the_same() {
        let (callers, turns) = (4, 8);
        for round in 0..2 {
            let scripts = (0..callers).map(|caller| Script::new(caller, round, turns, Duration::from_secs(5)));
            let mut said: Vec<Utterance> = scripts.flat_map(|script| script.utterances).filter(|utterance| !utterance.is_warm_up).collect();
            let paused: Vec<u64> =
                said.iter().filter(|utterance| utterance.parts.len() > 1).map(|utterance| utterance.pause.as_millis() as u64).collect();
            assert_eq!((said.len(), paused.len()), (32, 16));
            assert!(paused.iter().all(|pause| (PAUSES_MS.0..=PAUSES_MS.1).contains(pause)), "{paused:?}");
            assert!(paused.contains(&PAUSES_MS.0) && paused.contains(&PAUSES_MS.1), "{paused:?}");
            said.sort_by(|a, b| a.parts.cmp(&b.parts));
            said.dedup_by(|a, b| a.parts == b.parts);
            assert_eq!(said.len(), callers * turns);
        }
    }

    #[test]
    fn the_recogniser_knows_every_part() {
        let known = texts();
        let script = Script::new(1, 1, 8, Duration::from_secs(5));
        assert!(script.utterances.iter().flat_map(|utterance| &utterance.parts).all(|part| known.contains(part)));
    }
}
