//! How much of an answer's time was our own, from the stages of a turn in the call record (docs/metrics.md).
//!
//! The way of an answer is followed back from its first sample. On each leg of it, what the provider was set to take, or what was
//! chosen to be waited, is taken off; the rest is ours: detector, queues, sockets, codecs of the protocols, the simulated providers'
//! own lateness included.

use frontdesk_agent::record::RecordTurn;
use frontdesk_conversation::{Config, EndpointingMode};

use crate::common::{Delays, millis};

/// The detector judges windows of this length, rounded up.
const WINDOW_MS: u64 = 32;

/// What is not ours, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    mode: EndpointingMode,
    /// Silence after which speech counts as ended; chosen.
    silence: u64,
    /// Whether speech may be asked for before the turn is over.
    ahead: bool,
    min_delay: u64,
    vad_delay: u64,
    stt_final: u64,
    first_token: u64,
    /// From the model's first word to the end of its first clause.
    clause: u64,
    first_byte: u64,
}

impl Allowed {
    /// For a clinic, with services so fast and answers of one clause with so many words.
    pub(super) fn new(config: &Config, delays: &Delays, words: usize) -> Self {
        Self {
            mode: config.endpointing.mode,
            silence: millis(config.interruption.silence_detection),
            ahead: config.preemptive_tts,
            min_delay: millis(config.endpointing.min_delay),
            vad_delay: millis(config.endpointing.vad_delay),
            stt_final: delays.stt_final_ms,
            first_token: delays.llm_first_token_ms,
            clause: delays.llm_word_ms * words.saturating_sub(1) as u64,
            first_byte: delays.tts_first_byte_ms,
        }
    }

    /// Whether the turn model gave no answer in time: the delay was that of a turn of which nothing but silence is known.
    pub(super) fn is_unjudged(&self, turn: &RecordTurn) -> bool {
        self.mode == EndpointingMode::Model && turn.due_ms == Some(self.vad_delay)
    }

    /// Whether the end of speech was known sooner than it can be: the worker took the caller's last sound for later than it was, so
    /// the turn's figures are too small.
    pub(super) fn is_misdated(&self, turn: &RecordTurn) -> bool {
        turn.speech_ended_ms.is_some_and(|ended| ended + WINDOW_MS < self.silence)
    }
}

/// Our own part of an answer's time, by where it arose, in milliseconds. A leg that took less than was taken off is zero, and makes up
/// for no other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// End of speech, final words, turn model, decision.
    pub(super) hearing: u64,
    /// Asking the model and taking its first word.
    pub(super) model: u64,
    /// From the words to the first clause at the synthesiser.
    pub(super) clause: u64,
    /// Asking the synthesiser and taking its first byte.
    pub(super) speech: u64,
    /// From there to the first sample that leaves the pacer.
    pub(super) playout: u64,
}

impl Own {
    /// All of it.
    pub(super) const fn total(&self) -> u64 {
        self.hearing + self.model + self.clause + self.speech + self.playout
    }
}

/// Our own part of a turn; `None` for one whose answer was not begun.
pub(super) fn own(turn: &RecordTurn, allowed: &Allowed) -> Option<Own> {
    let RecordTurn { transcript_final_ms, due_ms, committed_ms, model_asked_ms, first_token_ms, .. } = *turn;
    let (heard, due, committed) = (transcript_final_ms?, due_ms?, committed_ms?);
    let (asked, token) = (model_asked_ms?, first_token_ms?);
    let (clause, audio, played) = (turn.first_clause_ms?, turn.first_audio_ms?, turn.playback_started_ms?);
    // A turn model that is late made us wait: only the shortest delay was chosen.
    let chosen = if allowed.is_unjudged(turn) { allowed.min_delay } else { due };
    // The recogniser may end a segment by itself before it is asked; later than when asked is ours.
    let words = heard.min(allowed.silence + allowed.stt_final);
    let decided = chosen.max(words);
    let text = token + allowed.clause;
    let late = u64::saturating_sub;
    let trigger = match asked {
        _ if asked >= committed => decided,
        _ if asked >= heard => words,
        // Asked ahead, as soon as the caller fell silent.
        _ => allowed.silence,
    };
    let (asking, answering) = (late(asked, trigger), late(token, asked + allowed.first_token));
    let is_ready = committed >= text;
    // Words that were whole before the turn was over can be spoken ahead; where they were not, that is ours as well.
    let spoken = if allowed.ahead && is_ready { text } else { clause } + allowed.first_byte;
    let own = if spoken > clause && allowed.ahead && is_ready {
        Own { hearing: asking, model: answering, clause: 0, speech: late(audio, spoken), playout: 0 }
    } else if is_ready {
        // The answer lay ready: the decision was waited for.
        let expected = if allowed.ahead { clause } else { spoken };
        Own { hearing: late(committed, decided), model: 0, clause: late(clause, committed), speech: late(audio, expected), playout: 0 }
    } else {
        Own { hearing: asking, model: answering, clause: late(clause, text), speech: late(audio, spoken), playout: 0 }
    };
    Some(Own { playout: late(played, audio), ..own })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use frontdesk_conversation::TurnId;

    use super::*;

    fn allowed(mode: EndpointingMode) -> Allowed {
        allowed_with(mode, false)
    }

    fn allowed_with(mode: EndpointingMode, ahead: bool) -> Allowed {
        let mut config = Config { preemptive_tts: ahead, ..Config::default() };
        config.endpointing.mode = mode;
        config.endpointing.min_delay = Duration::from_millis(300);
        config.interruption.silence_detection = Duration::from_millis(250);
        let delays = Delays { stt_final_ms: 150, llm_first_token_ms: 200, llm_word_ms: 20, tts_first_byte_ms: 150 };
        Allowed::new(&config, &delays, 4)
    }

    /// Final words, due, committed, model asked, first token, first clause, first audio, played.
    fn turn(stages: [u64; 8]) -> RecordTurn {
        let [heard, due, committed, asked, token, clause, audio, played] = stages.map(Some);
        RecordTurn {
            turn: TurnId(1),
            speech_ended_ms: Some(260),
            transcript_final_ms: heard,
            due_ms: due,
            committed_ms: committed,
            model_asked_ms: asked,
            first_token_ms: token,
            first_clause_ms: clause,
            first_audio_ms: audio,
            playback_started_ms: played,
        }
    }

    #[test]
    fn an_answer_that_lay_ready_waits_for_the_decision_alone() {
        let own = own(&turn([420, 550, 552, 260, 470, 553, 710, 720]), &allowed(EndpointingMode::Vad)).expect("complete");
        assert_eq!(own, Own { hearing: 2, model: 0, clause: 1, speech: 7, playout: 10 });
        assert_eq!(own.total(), 20);
    }

    #[test]
    fn an_answer_that_was_begun_ahead_counts_from_the_silence_or_the_final_words() {
        let allowed = allowed(EndpointingMode::Model);
        let ahead = own(&turn([410, 300, 410, 262, 470, 535, 690, 700]), &allowed).expect("complete");
        assert_eq!(ahead, Own { hearing: 12, model: 8, clause: 5, speech: 5, playout: 10 });
        let again = own(&turn([405, 500, 501, 407, 615, 680, 835, 840]), &allowed).expect("complete");
        assert_eq!(again, Own { hearing: 7, model: 8, clause: 5, speech: 5, playout: 5 });
        let after = own(&turn([405, 300, 405, 405, 610, 670, 820, 825]), &allowed).expect("complete");
        assert_eq!(after.hearing, 5);
    }

    #[test]
    fn speech_that_was_asked_for_ahead_is_due_from_the_words_or_at_the_decision() {
        let allowed = allowed_with(EndpointingMode::Vad, true);
        let waits_for_speech = own(&turn([410, 550, 552, 260, 470, 553, 690, 695]), &allowed).expect("complete");
        assert_eq!(waits_for_speech, Own { hearing: 10, model: 10, clause: 0, speech: 10, playout: 5 });
        let lay_ready = own(&turn([410, 800, 803, 260, 470, 804, 806, 810]), &allowed).expect("complete");
        assert_eq!(lay_ready, Own { hearing: 3, model: 0, clause: 1, speech: 2, playout: 4 });
        let was_not_begun = own(&turn([410, 800, 800, 260, 470, 800, 960, 960]), &allowed).expect("complete");
        assert_eq!(was_not_begun.speech, 160);
        let too_late = own(&turn([410, 300, 410, 260, 470, 535, 690, 700]), &allowed).expect("complete");
        assert_eq!(too_late, Own { hearing: 10, model: 10, clause: 5, speech: 5, playout: 10 });
    }

    #[test]
    fn late_words_and_a_turn_model_that_gave_no_answer_are_ours() {
        let late_words = own(&turn([480, 300, 480, 260, 460, 521, 672, 680]), &allowed(EndpointingMode::Vad)).expect("complete");
        assert_eq!(late_words.hearing, 10, "the answer was not ready when the words came: the model was waited for");
        let waited = own(&turn([600, 300, 600, 260, 460, 600, 750, 750]), &allowed(EndpointingMode::Vad)).expect("complete");
        assert_eq!(waited.total(), 200);
        let unjudged = own(&turn([400, 550, 550, 260, 460, 550, 700, 700]), &allowed(EndpointingMode::Model)).expect("complete");
        assert_eq!(unjudged.hearing, 150);
    }

    #[test]
    fn a_turn_without_an_answer_has_no_figure() {
        let mut unanswered = turn([420, 550, 552, 260, 470, 553, 710, 720]);
        unanswered.playback_started_ms = None;
        assert_eq!(own(&unanswered, &allowed(EndpointingMode::Vad)), None);
    }
}
