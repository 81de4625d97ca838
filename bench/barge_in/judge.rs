//! From calls to barge-ins, and from those to figures.

use std::time::Duration;

use frontdesk_simulators::caller::{CallOutcome, SpokenTurn};

use crate::common::{millis, percentile};

/// What came of the caller's speaking into the agent's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// So many milliseconds after the caller had spoken for `min_duration`, the agent's last sound came in.
    Silent(u64),
    /// The agent had said all before it could be cut off.
    Over,
    /// The agent was silent when the caller began.
    NotSpeaking,
}

/// A barge-in.
#[derive(Debug, Clone, Copy)]
pub(super) struct BargeIn {
    pub(super) caller: usize,
    /// The caller's first sound, from the call's answer.
    pub(super) began: Duration,
    /// How long the agent had been speaking by then.
    pub(super) into: Duration,
    pub(super) effect: Effect,
}

/// The barge-ins of a call: all that the caller said but his first words, which were polite.
pub(super) fn barge_ins(caller: usize, outcome: &CallOutcome, min_duration: Duration) -> Vec<BargeIn> {
    let judged = |turn: &SpokenTurn| {
        let began = turn.began;
        let spoken = outcome.agent_spoke.iter().find(|stretch| stretch.began <= began && began <= stretch.last_sound);
        let Some(stretch) = spoken else { return BargeIn { caller, began, into: Duration::ZERO, effect: Effect::NotSpeaking } };
        let silent = stretch.last_sound.checked_sub(began + min_duration);
        let effect = silent.map_or(Effect::Over, |late| Effect::Silent(millis(late)));
        BargeIn { caller, began, into: began - stretch.began, effect }
    };
    outcome.turns.iter().skip(1).map(judged).collect()
}

/// The figures of all barge-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    /// How many cut the agent off.
    pub(super) measured: usize,
    pub(super) over: usize,
    pub(super) not_speaking: usize,
    pub(super) p50_ms: u64,
    pub(super) p95_ms: u64,
    pub(super) worst_ms: u64,
}

impl Figures {
    pub(super) fn of(all: &[BargeIn]) -> Self {
        let time = |barge_in: &BargeIn| match barge_in.effect {
            Effect::Silent(ms) => Some(ms),
            Effect::Over | Effect::NotSpeaking => None,
        };
        let mut times: Vec<u64> = all.iter().filter_map(time).collect();
        times.sort_unstable();
        let count = |effect: Effect| all.iter().filter(|barge_in| barge_in.effect == effect).count();
        Self {
            measured: times.len(),
            over: count(Effect::Over),
            not_speaking: count(Effect::NotSpeaking),
            p50_ms: percentile(&times, 50),
            p95_ms: percentile(&times, 95),
            worst_ms: times.last().copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_simulators::caller::{Act, CallEnd, Recording, StreamReport, Stretch};

    use super::*;

    const MIN: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What comes of words that the caller begins at 3 s while the agent is heard at these times, in milliseconds.
    fn effect(heard: &[(u64, u64)]) -> BargeIn {
        let turn = |began| SpokenTurn {
            act: Act::Say("words".into()),
            began: ms(began),
            last_sound: ms(began + 1500),
            gap: None,
            is_overlapped: true,
        };
        let outcome = CallOutcome {
            answered_after: Duration::ZERO,
            greeted_after: None,
            duration: ms(9000),
            end: CallEnd::Caller,
            turns: vec![turn(100), turn(3000)],
            agent_spoke: heard.iter().map(|(began, last)| Stretch { began: ms(*began), last_sound: ms(*last) }).collect(),
            transfers: Vec::new(),
            recording: Recording::default(),
            stream: StreamReport::default(),
        };
        barge_ins(0, &outcome, MIN)[0]
    }

    #[test]
    fn the_time_runs_from_min_duration_to_the_last_sound_of_the_stretch_that_was_interrupted() {
        let barge_in = effect(&[(0, 800), (2000, 3620), (5000, 7000)]);
        assert_eq!((barge_in.effect, barge_in.into), (Effect::Silent(120), ms(1000)));
        assert_eq!(effect(&[(2000, 3400)]).effect, Effect::Over);
        assert_eq!(effect(&[(0, 800), (3100, 5000)]).effect, Effect::NotSpeaking);
        assert_eq!(effect(&[(2000, 8000)]).effect, Effect::Silent(4500), "never silenced: it counts with all its length");
    }

    #[test]
    fn figures_count_what_was_cut_off() {
        let all = [effect(&[(2000, 3600)]), effect(&[(2000, 3700)]), effect(&[(2000, 3400)]), effect(&[])];
        let expected = Figures { measured: 2, over: 1, not_speaking: 1, p50_ms: 100, p95_ms: 200, worst_ms: 200 };
        assert_eq!(Figures::of(&all), expected);
    }
}
