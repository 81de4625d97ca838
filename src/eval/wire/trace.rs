//! From a call over the wire to what the judge and the page want to know of it.

use std::collections::BTreeMap;

use frontdesk_agent::CallRecord;
use frontdesk_audio::SampleRate;
use frontdesk_conversation::ToolStatus;
use frontdesk_simulators::caller::{self, CallEnd, CallOutcome};

use super::plan::kinds;
use super::seen::Seen;
use crate::eval::caller::{Act, ActKind};
use crate::eval::line::LEVEL_MS;
use crate::eval::scenario::Scenario;
use crate::eval::trace::{ToolSpan, Trace};

/// What the call came to. What it left in the database is still to be read.
pub(super) fn of(scenario: &Scenario, outcome: &CallOutcome, seen: &Seen, record: CallRecord) -> Trace {
    let sights = seen.lock();
    let into_speech = |at: std::time::Duration| outcome.agent_spoke.iter().any(|stretch| stretch.began <= at && at <= stretch.last_sound);
    let mut acts: Vec<Act> = outcome
        .turns
        .iter()
        .zip(kinds(&scenario.caller))
        .map(|(turn, kind)| Act {
            start: turn.began.as_secs_f64(),
            end: turn.last_sound.as_secs_f64(),
            text: match &turn.act {
                caller::Act::Say(text) | caller::Act::Press(text) => text.clone(),
                _ => String::new(),
            },
            kind,
            into_speech: into_speech(turn.began),
        })
        .collect();
    let end = outcome.duration.as_secs_f64();
    let hangs_up = scenario.caller.last().is_some_and(|step| step.hang_up) && sights.left.is_none();
    if hangs_up && outcome.end == CallEnd::Caller {
        acts.push(Act { start: end, end, text: String::new(), kind: ActKind::HangUp, into_speech: into_speech(outcome.duration) });
    }
    let unfinished = sights.left.as_ref().map(|(number, title)| format!("the call ended before step {} ({title})", number + 1));
    let lost = match &outcome.end {
        CallEnd::Lost(reason) => Some(format!("the connection was lost: {reason:?}")),
        CallEnd::Caller | CallEnd::Agent => None,
    };
    let tool = |tool: &frontdesk_agent::record::RecordTool| {
        let start = tool.start_ms as f64 / 1000.0;
        let succeeded = match tool.status {
            ToolStatus::Done | ToolStatus::Prepared => Some(true),
            ToolStatus::Failed => Some(false),
            ToolStatus::Cancelled | ToolStatus::Unknown => None,
        };
        ToolSpan { start, end: start + tool.duration_ms as f64 / 1000.0, name: tool.name.clone(), succeeded }
    };
    Trace {
        acts,
        states: sights.states.clone(),
        tools: record.tools.iter().map(tool).collect(),
        levels: [levels(&outcome.recording.caller), levels(&outcome.recording.agent)],
        record,
        appointments: Vec::new(),
        earlier: Vec::new(),
        patients: Vec::new(),
        waiting: Vec::new(),
        messages: Vec::new(),
        audit: BTreeMap::new(),
        recording: None,
        text_messages: 0,
        remembered: Vec::new(),
        trouble: sights.trouble.clone().or(unfinished).or(lost),
        violations: Vec::new(),
    }
}

/// Loudest sample of each block.
fn levels(samples: &[i16]) -> Vec<u16> {
    let block = SampleRate::HZ_8000.samples_in_ms(LEVEL_MS);
    samples.chunks(block).map(|block| block.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)).collect()
}
