//! From calls to turns, and from turns to figures.

use std::time::Duration;

use frontdesk_simulators::caller::CallOutcome;
use serde::Serialize;

use super::script::{Script, Utterance};
use crate::common::{millis, percentile};

/// One turn of a caller and what came of it. Times in milliseconds from the call's answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    pub(super) row: &'static str,
    pub(super) round: usize,
    pub(super) caller: usize,
    pub(super) turn: usize,
    /// The pause within it as it was meant; 0 for none.
    pub(super) pause_ms: u64,
    /// The same as it was made.
    pub(super) measured_pause_ms: u64,
    pub(super) began_ms: u64,
    pub(super) last_sound_ms: u64,
    /// From the caller's last sound to the agent's first after it; none if nothing came before the next turn.
    pub(super) gap_ms: Option<u64>,
    /// The agent was heard before the utterance was over.
    pub(super) was_spoken_into: bool,
    /// In the history that the model was given, a line of the caller ends within the utterance.
    pub(super) was_committed_early: bool,
    pub(super) text: String,
}

impl Turn {
    pub(super) const fn is_cut_off(&self) -> bool {
        self.was_spoken_into || self.was_committed_early
    }
}

/// Which turns a figure is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    All,
    Plain,
    Paused,
}

impl Kind {
    pub(super) const fn holds(self, turn: &Turn) -> bool {
        match self {
            Self::All => true,
            Self::Plain => turn.pause_ms == 0,
            Self::Paused => turn.pause_ms > 0,
        }
    }
}

/// The figures of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) turns: usize,
    pub(super) unanswered: usize,
    pub(super) median_ms: u64,
    pub(super) p95_ms: u64,
    pub(super) worst_ms: u64,
    pub(super) spoken_into: usize,
    pub(super) committed_early: usize,
    /// Either of the two.
    pub(super) cut_off: usize,
}

impl Figures {
    pub(super) fn of<'a>(turns: impl IntoIterator<Item = &'a Turn>, kind: Kind) -> Self {
        let turns: Vec<&Turn> = turns.into_iter().filter(|turn| kind.holds(turn)).collect();
        let mut gaps: Vec<u64> = turns.iter().filter_map(|turn| turn.gap_ms).collect();
        gaps.sort_unstable();
        let count = |wanted: fn(&Turn) -> bool| turns.iter().filter(|turn| wanted(turn)).count();
        Self {
            turns: turns.len(),
            unanswered: count(|turn| turn.gap_ms.is_none()),
            median_ms: percentile(&gaps, 50),
            p95_ms: percentile(&gaps, 95),
            worst_ms: gaps.last().copied().unwrap_or_default(),
            spoken_into: count(|turn| turn.was_spoken_into),
            committed_early: count(|turn| turn.was_committed_early),
            cut_off: count(Turn::is_cut_off),
        }
    }
}

/// Which call of which row a turn belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) row: &'static str,
    pub(super) round: usize,
    pub(super) caller: usize,
}

/// The turns of a call. `histories` are the caller's lines of every request to the model during the row, of all its calls: no two
/// callers of a round say the same.
pub(super) fn turns(place: Place, script: &Script, outcome: &CallOutcome, histories: &[Vec<String>]) -> Vec<Turn> {
    let mut acts = outcome.turns.iter();
    let mut spans = Vec::new();
    for utterance in &script.utterances {
        let parts: Vec<_> = acts.by_ref().take(utterance.parts.len()).collect();
        // A call that broke off leaves its last utterances unsaid.
        let (Some(first), Some(last)) = (parts.first(), parts.last().filter(|_| parts.len() == utterance.parts.len())) else { break };
        let pause = if parts.len() > 1 { last.began.saturating_sub(first.last_sound) } else { Duration::ZERO };
        spans.push((utterance, first.began, last.last_sound, pause));
    }
    let next_began = |number: usize| spans.get(number + 1).map_or(outcome.duration, |(_, began, ..)| *began);
    let turn = |(number, (utterance, began, last_sound, pause)): (usize, &(&Utterance, Duration, Duration, Duration))| {
        let mut sounds = outcome.agent_spoke.iter().map(|stretch| stretch.began);
        let first_after = sounds.clone().find(|at| at >= last_sound).filter(|at| *at < next_began(number));
        Turn {
            row: place.row,
            round: place.round,
            caller: place.caller,
            turn: number,
            pause_ms: millis(utterance.pause),
            measured_pause_ms: millis(*pause),
            began_ms: millis(*began),
            last_sound_ms: millis(*last_sound),
            gap_ms: first_after.map(|at| millis(at - *last_sound)),
            was_spoken_into: sounds.any(|at| *began < at && at < *last_sound),
            was_committed_early: is_committed_early(utterance, histories),
            text: utterance.parts.join(" "),
        }
    };
    spans.iter().enumerate().filter(|(_, (utterance, ..))| !utterance.is_warm_up).map(turn).collect()
}

/// Whether a settled line of the caller ends within an utterance. The newest line of a request is not settled: a side may ask ahead,
/// and drop the question again.
fn is_committed_early(utterance: &Utterance, histories: &[Vec<String>]) -> bool {
    let said: Vec<String> = utterance.parts.iter().flat_map(|part| words(part)).collect();
    let longest = histories.iter().filter(|lines| lines.iter().any(|line| begins(line, &said).is_some())).max_by_key(|lines| lines.len());
    let settled = longest.map_or(&[][..], |lines| lines.split_last().map_or(&[][..], |(_, settled)| settled));
    settled.iter().any(|line| begins(line, &said).is_some_and(|length| length < said.len()))
}

/// How many words of `said`, from its first, stand at the end of a line; at least two, else none.
fn begins(line: &str, said: &[String]) -> Option<usize> {
    let line = words(line);
    (2..=said.len()).rev().find(|length| line.ends_with(&said[..*length]))
}

fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use frontdesk_simulators::caller::{Act, CallEnd, Recording, SpokenTurn, StreamReport, Stretch};

    use super::*;

    const PLACE: Place = Place { row: "row", round: 0, caller: 0 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A call of one utterance in two parts, 1000 to 2000 and 2600 to 4000 ms, with the agent heard at these moments.
    fn call(agent_began: &[u64], histories: &[&[&str]]) -> Turn {
        let parts = vec!["I would like to book,".to_owned(), "an appointment.".to_owned()];
        let utterance = Utterance { parts: parts.clone(), pause: ms(600), is_warm_up: false };
        let script = Script { utterances: vec![utterance], answer_window: ms(5500) };
        let spoken = |text: &String, began, last_sound| SpokenTurn {
            act: Act::Say(text.clone()),
            began: ms(began),
            last_sound: ms(last_sound),
            gap: None,
            is_overlapped: false,
        };
        let outcome = CallOutcome {
            answered_after: Duration::ZERO,
            greeted_after: None,
            duration: ms(9500),
            end: CallEnd::Caller,
            turns: vec![spoken(&parts[0], 1000, 2000), spoken(&parts[1], 2600, 4000)],
            agent_spoke: agent_began.iter().copied().map(ms).map(|at| Stretch { began: at, last_sound: at }).collect(),
            transfers: Vec::new(),
            recording: Recording::default(),
            stream: StreamReport::default(),
        };
        let histories: Vec<Vec<String>> = histories.iter().map(|lines| lines.iter().map(|line| (*line).to_owned()).collect()).collect();
        turns(PLACE, &script, &outcome, &histories).remove(0)
    }

    #[test]
    fn the_gap_runs_to_the_first_sound_after_the_whole_utterance() {
        let turn = call(&[300, 4700, 5300], &[]);
        assert_eq!((turn.gap_ms, turn.measured_pause_ms, turn.is_cut_off()), (Some(700), 600, false));
        let cut = call(&[2400, 4900], &[]);
        assert_eq!((cut.gap_ms, cut.was_spoken_into), (Some(900), true));
        assert_eq!(call(&[300], &[]).gap_ms, None);
    }

    #[test]
    fn a_settled_line_that_ends_within_the_utterance_is_an_early_commit() {
        let whole = "i would like to book an appointment";
        assert!(!call(&[], &[&["hello there", "I would like to book,"]]).was_committed_early, "asked ahead, and dropped");
        assert!(!call(&[], &[&["I would like to book,"], &["hello there", whole]]).was_committed_early);
        assert!(call(&[], &[&["I would like to book,"], &["I would like to book,", "an appointment."]]).was_committed_early);
        assert!(
            call(&[], &[&["Hello there. I would like"], &["Hello there. I would like", "to book an appointment."]]).was_committed_early
        );
        assert!(!call(&[], &[&[whole, "something else"]]).was_committed_early);
    }
}
