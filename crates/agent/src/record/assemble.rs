//! From a conversation's summary to the call record.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_conversation::{
    CallSummary, CallTime, HandOff, HeardWord, SaidLine, Speaker, ToolStatus, ToolTrace, TransferTrace, TurnMetrics,
};
use serde_json::Value;

use super::confidence::Words;
use super::{CallRecord, RECORD_VERSION, RecordField, RecordHandOff, RecordIntent, RecordLine, RecordTool, RecordTransfer, RecordTurn};
use crate::session::SessionOptions;
use crate::tool::ToolSet;

/// Name of the tool whose arguments are the caller's wishes: `intent`, from the closed list, and `note`.
const INTENT_TOOL: &str = "note_intent";

/// Makes the record of one call.
pub(crate) fn assemble(
    summary: CallSummary,
    options: &SessionOptions,
    started_at: DateTime<Utc>,
    incidents: Vec<String>,
    recording: Option<String>,
) -> CallRecord {
    let length = summary.ended_at.since(CallTime::ZERO);
    CallRecord {
        schema_version: RECORD_VERSION,
        call_id: options.call_id.clone(),
        tenant_id: options.tenant_id.clone(),
        started_at,
        ended_at: started_at + chrono::Duration::from_std(length).unwrap_or_default(),
        duration_ms: millis(length),
        intents: summary.tools.iter().filter_map(intent).collect(),
        asked_for: BTreeMap::new(),
        summary: None,
        fields: fields(&summary, &options.tools),
        hand_offs: summary.hand_offs.into_iter().map(hand_off).collect(),
        latency_misses: options.targets.count(&summary.turns),
        turns: summary.turns.iter().map(turn).collect(),
        transcript: summary.transcript.into_iter().map(line).collect(),
        tools: summary.tools.into_iter().map(tool).collect(),
        interruptions: summary.interruptions,
        misunderstood: summary.misunderstood,
        transfers: summary.transfers.into_iter().map(transfer).collect(),
        language: summary.language,
        outcome: summary.end,
        recording,
        usage: Vec::new(),
        cost: None,
        incidents,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lowest(words: &[HeardWord]) -> Option<f32> {
    words.iter().map(|word| word.confidence).reduce(f32::min)
}

fn line(said: SaidLine) -> RecordLine {
    RecordLine {
        confidence: lowest(&said.words),
        speaker: said.speaker,
        text: said.text,
        start_ms: said.start.as_millis(),
        end_ms: said.end.as_millis(),
        interrupted: said.interrupted,
    }
}

fn intent(trace: &ToolTrace) -> Option<RecordIntent> {
    if trace.name != INTENT_TOOL || trace.status != ToolStatus::Done {
        return None;
    }
    let text = |key| trace.arguments.get(key).and_then(Value::as_str).map(String::from);
    Some(RecordIntent { intent: text("intent")?, note: text("note").filter(|note| !note.is_empty()), at_ms: trace.start.as_millis() })
}

/// What tools were called with is what was learnt; a later value of a field replaces the one before.
fn fields(summary: &CallSummary, tools: &ToolSet) -> Vec<RecordField> {
    let heard = summary.transcript.iter().filter(|line| line.speaker == Speaker::Caller);
    let words = Words::new(heard.flat_map(|line| &line.words));
    let mut fields: Vec<RecordField> = Vec::new();
    // Arguments that a tool refused may not mean what their names say.
    let settled = summary.tools.iter().filter(|trace| trace.status != ToolStatus::Failed);
    for trace in settled {
        let Some(tool) = tools.get(&trace.name) else { continue };
        for (name, value) in tool.fields(&trace.arguments) {
            let confidence = words.confidence_of(&value);
            let field = RecordField { name, value, confidence };
            match fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => *known = field,
                None => fields.push(field),
            }
        }
    }
    fields
}

fn tool(trace: ToolTrace) -> RecordTool {
    RecordTool {
        name: trace.name,
        arguments: trace.arguments,
        result: trace.output,
        status: trace.status,
        start_ms: trace.start.as_millis(),
        duration_ms: millis(trace.end.since(trace.start)),
        turn: trace.turn,
    }
}

fn hand_off(hand_off: HandOff) -> RecordHandOff {
    RecordHandOff { agent: hand_off.to, at_ms: hand_off.at.as_millis() }
}

fn transfer(trace: TransferTrace) -> RecordTransfer {
    RecordTransfer { target: trace.target, at_ms: trace.at.as_millis(), outcome: trace.outcome }
}

fn turn(metrics: &TurnMetrics) -> RecordTurn {
    let since = |stage: Option<CallTime>| metrics.last_speech.zip(stage).map(|(last, stage)| millis(stage.since(last)));
    RecordTurn {
        turn: metrics.turn,
        speech_ended_ms: since(metrics.speech_ended),
        transcript_final_ms: since(metrics.transcript_final),
        due_ms: since(metrics.due),
        committed_ms: since(metrics.committed),
        model_asked_ms: since(metrics.model_asked),
        first_token_ms: since(metrics.first_token),
        first_clause_ms: since(metrics.first_clause),
        first_audio_ms: since(metrics.first_audio),
        playback_started_ms: since(metrics.playback_started),
    }
}
