//! What happened in a call, on one clock: seconds since the answer.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use frontdesk_agent::CallRecord;

use super::caller::Act;

/// Everything that is known of a call that was rehearsed.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What the caller did.
    pub acts: Vec<Act>,
    /// What the agent did, and when it began: `listening`, `thinking`, `speaking`.
    pub states: Vec<(f64, &'static str)>,
    /// Tools.
    pub tools: Vec<ToolSpan>,
    /// Loudest sample of each 40 ms, caller's and agent's.
    pub levels: [Vec<u16>; 2],
    /// The record of the call.
    pub record: CallRecord,
    /// What the call left in the database.
    pub appointments: Vec<Booked>,
    /// What became of the appointments that were there before.
    pub earlier: Vec<Booked>,
    /// The patients whom the clinic knows after the call.
    pub patients: Vec<Registered>,
    /// The waiting list after the call.
    pub waiting: Vec<Waiting>,
    /// Messages that were taken.
    pub messages: Vec<Taken>,
    /// The recording that was kept.
    pub recording: Option<Recorded>,
    /// How many text messages were in the outbox at the end.
    pub text_messages: usize,
    /// What the call did, as the audit log has it, and how often.
    pub audit: BTreeMap<String, u64>,
    /// Texts of the model's last history.
    pub remembered: Vec<String>,
    /// What kept the caller from following the steps.
    pub trouble: Option<String>,
    /// Violations of what every history must keep to.
    pub violations: Vec<String>,
}

/// A tool at work.
#[derive(Debug, Clone)]
pub struct ToolSpan {
    /// Seconds since the answer.
    pub start: f64,
    /// Seconds since the answer.
    pub end: f64,
    /// The tool, with its phase if it has several.
    pub name: String,
    /// Whether it did what it shall; `None` when that cannot be told.
    pub succeeded: Option<bool>,
}

/// An appointment that the call made.
#[derive(Debug, Clone)]
pub struct Booked {
    /// `booked` or `cancelled`.
    pub status: String,
    /// Id of the practitioner.
    pub practitioner: String,
    /// Local date and time.
    pub start: String,
    /// The patient.
    pub name: String,
    /// The number.
    pub phone: String,
    /// The service.
    pub service: String,
}

/// A patient, as the clinic knows him.
#[derive(Debug, Clone, Default)]
pub struct Registered {
    /// Full name.
    pub name: String,
    /// The number.
    pub phone: String,
    /// What he told at registration, if he registered.
    pub born: Option<NaiveDate>,
    /// His e-mail address; empty for none.
    pub email: String,
    /// What he told of his allergies.
    pub allergies: String,
}

/// An entry of the waiting list.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its status.
    pub status: String,
    /// Local date and time of the beginning of what is waited for.
    pub from: String,
    /// Id of the practitioner; empty for anybody.
    pub practitioner: String,
    /// Code of the service; empty for any.
    pub service: String,
    /// Local date and time that was offered last; empty for none.
    pub offered: String,
}

/// A recording that was kept.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    /// From when on anything is heard of the caller, and of the agent, in milliseconds since the answer; `None` for nothing at all.
    pub heard_from_ms: [Option<u64>; 2],
}

/// A message that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its text.
    pub text: String,
    /// Who left it; empty if unknown.
    pub name: String,
    /// The number to call back; empty if unknown.
    pub phone: String,
}

impl Trace {
    /// Length of the call in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.record.duration_ms as f64 / 1000.0
    }

    /// From the caller's last sound to the agent's first, for each turn that was answered, in milliseconds.
    #[must_use]
    pub fn latencies(&self) -> Vec<u64> {
        self.record.turns.iter().filter_map(|turn| turn.playback_started_ms).collect()
    }

    /// Stretches of sound of one side (0: caller, 1: agent), in seconds; gaps below 0.3 s are bridged.
    #[must_use]
    pub fn sounds(&self, side: usize) -> Vec<(f64, f64)> {
        let block = f64::from(super::line::LEVEL_MS) / 1000.0;
        let mut found: Vec<(f64, f64)> = Vec::new();
        for (at, _) in self.levels[side].iter().enumerate().filter(|(_, level)| **level > 60) {
            let (start, end) = (at as f64 * block, (at + 1) as f64 * block);
            match found.last_mut() {
                Some(last) if start - last.1 < 0.3 => last.1 = end,
                _ => found.push((start, end)),
            }
        }
        found
    }

    /// The longest silence after words of the caller until the agent's next sound, and when it began; words that the agent let
    /// pass (a backchannel) or talked over count for nothing.
    #[must_use]
    pub fn dead_air(&self) -> Option<(f64, f64)> {
        use super::caller::ActKind;
        let agent = self.sounds(1);
        let gap = |act: &&Act| {
            let owes = matches!(act.kind, ActKind::Speech | ActKind::Typed) && !act.text.is_empty();
            let next_act = self.acts.iter().map(|next| next.start).filter(|start| *start >= act.end).fold(self.seconds(), f64::min);
            let covered = agent.iter().any(|(start, end)| *start <= act.end && *end > act.end);
            let answer = agent.iter().map(|(start, _)| *start).find(|start| *start > act.end)?;
            (owes && !covered && answer < next_act).then_some((act.end, answer - act.end))
        };
        self.acts.iter().filter_map(|act| gap(&act)).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}
