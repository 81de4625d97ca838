//! The stages of our own turns, from the call records.

use frontdesk_agent::CallRecord;

/// A named stage.
type Stage = (&'static str, fn(&frontdesk_agent::record::RecordTurn) -> Option<u64>);

/// The stages in their order, each in milliseconds from the caller's last sound.
pub(super) const STAGES: [Stage; 6] = [
    ("end of speech detected", |turn| turn.speech_ended_ms),
    ("final transcript", |turn| turn.transcript_final_ms),
    ("turn committed", |turn| turn.committed_ms),
    ("first clause to the synthesiser", |turn| turn.first_clause_ms),
    ("first byte of speech", |turn| turn.first_audio_ms),
    ("first sample played", |turn| turn.playback_started_ms),
];

/// The place of "first byte of speech" among [`STAGES`].
pub(super) const FIRST_AUDIO: usize = 4;

/// A stage's times over all turns of all calls but the first of each, sorted.
pub(super) fn times(records: &[CallRecord], stage: usize) -> Vec<u64> {
    let read = STAGES[stage].1;
    let mut times: Vec<u64> = records.iter().flat_map(|record| record.turns.iter().skip(1)).filter_map(read).collect();
    times.sort_unstable();
    times
}
