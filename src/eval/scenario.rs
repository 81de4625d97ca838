//! What a scenario file says. Every structure refuses unknown keys, so that a mistyped expectation never passes for one that is met.

mod clinic;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

pub use clinic::{Before, CallerMessage, KnownAppointment, KnownPatient, KnownWaiting, Messages, Patient, Settings, Waiting};

/// How deep a scenario goes: which parts of a call are real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Words instead of sound: the caller's words reach the recogniser as they are; conversation, tools and database are real.
    Text,
    /// Speech, in virtual time: espeak-ng through the telephone's codec, Silero VAD, the simulated recogniser, real pacing.
    Audio,
    /// A SIP call in real time: bridge, LiveKit server, worker and Postgres as they are; the services are simulated behind sockets.
    Call,
}

impl Depth {
    /// Its name in files and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Audio => "audio",
            Self::Call => "call",
        }
    }
}

/// One telephone call: what the caller does, what goes wrong, what shall come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Unique; lower case with hyphens.
    pub name: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// The caller's language.
    #[serde(default = "english")]
    pub language: String,
    /// Folder of the clinic below the tenants' directory.
    #[serde(default = "demo")]
    pub tenant: String,
    /// Whether the clinic confirms appointments by text message, as the demo clinic does not.
    #[serde(default)]
    pub text_messages: bool,
    /// The moment of the call. By default Monday, 30 November 2026, seven in the morning in New York.
    #[serde(default = "monday")]
    pub now: DateTime<Utc>,
    /// The depths at which it is run.
    #[serde(default = "all_depths")]
    pub depths: Vec<Depth>,
    /// Among the few calls that `make test` plays at depth call, where time is real.
    #[serde(default)]
    pub smoke: bool,
    /// Amplitude of the noise behind the caller's voice at the depths audio and call, full scale being 32,767.
    #[serde(default)]
    pub noise: i16,
    /// Slots that are booked before the call.
    #[serde(default)]
    pub taken: Vec<Taken>,
    /// Whom the clinic knows before the call.
    #[serde(default)]
    pub before: Before,
    /// Settings of the clinic that are otherwise than in its files.
    #[serde(default)]
    pub settings: Settings,
    /// What the caller does, step by step.
    pub caller: Vec<Step>,
    /// What comes of a transfer, three seconds after it was ordered.
    #[serde(default)]
    pub transfer: TransferOutcome,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Faults,
    /// What shall come of it.
    pub expect: Expect,
    /// A defect of ours that it shows: it must fail, or the run complains.
    pub known_failure: Option<KnownFailure>,
}

/// What comes of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Somebody takes the call.
    #[default]
    Accepted,
    /// The line is busy.
    Busy,
    /// Nobody answers.
    NoAnswer,
    /// The call is refused.
    Declined,
    /// It cannot be done.
    Failed,
}

impl From<TransferOutcome> for frontdesk_conversation::TransferOutcome {
    fn from(outcome: TransferOutcome) -> Self {
        match outcome {
            TransferOutcome::Accepted => Self::Accepted,
            TransferOutcome::Busy => Self::Busy,
            TransferOutcome::NoAnswer => Self::NoAnswer,
            TransferOutcome::Declined => Self::Declined,
            TransferOutcome::Failed => Self::Failed { sip_code: Some(503) },
        }
    }
}

impl TransferOutcome {
    /// The SIP status that tells it.
    #[must_use]
    pub const fn sip_status(self) -> u16 {
        match self {
            Self::Accepted => 200,
            Self::Busy => 486,
            Self::NoAnswer => 480,
            Self::Declined => 603,
            Self::Failed => 503,
        }
    }
}

/// A defect that is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// What is wrong.
    pub reason: String,
    /// At which depths it shows.
    #[serde(default = "virtual_depths")]
    pub depths: Vec<Depth>,
}

/// A slot that somebody else has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Id of the practitioner.
    pub practitioner: String,
    /// Local date and time, `YYYY-MM-DDTHH:MM`.
    pub start: String,
    /// Length in minutes.
    #[serde(default = "thirty")]
    pub minutes: u32,
    /// Booked once the agent has said this, not before the call: somebody who is faster.
    pub once_said: Option<String>,
}

/// One act of the caller: exactly one of `say`, `backchannel`, `types`, `noise`, `silence`, `dtmf` and `hang_up`.
///
/// Without `hears`, `into` and `wait` he is polite: he waits until the agent has spoken and finished.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Words; `[0.8]` between them is a pause of so many seconds, `{code}` the confirmation code that was told last.
    pub say: Option<String>,
    /// A short word of attention ("mm-hm"); like `say`, but drawn apart.
    pub backchannel: Option<String>,
    /// A text that is typed, not spoken.
    pub types: Option<String>,
    /// Noise without words, in seconds.
    pub noise: Option<f64>,
    /// Nothing at all, in seconds.
    pub silence: Option<f64>,
    /// Keys that are pressed.
    pub dtmf: Option<String>,
    /// The end.
    pub hang_up: bool,
    /// Not before the agent has said this since the step before.
    pub hears: Option<String>,
    /// Into the agent's speech: so many seconds after it began (or after `hears` was heard), while it goes on.
    pub into: Option<f64>,
    /// So many seconds after the step before, whatever the agent does.
    pub wait: Option<f64>,
    /// How long the caller thinks before he acts, in seconds; not with `into` or `wait`.
    pub thinks: Option<f64>,
}

/// What goes wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Tools that fail or are slow.
    pub tools: Vec<ToolFault>,
    /// The language model.
    pub model: Vec<ModelFault>,
    /// Text-to-speech.
    pub speech: Vec<SpeechFault>,
    /// Speech-to-text.
    pub hearing: Vec<HearingFault>,
}

/// A phase of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The one of a `Read` or `Record` tool.
    Run,
    /// The first of a `Commit` tool.
    Prepare,
    /// The second of a `Commit` tool.
    Commit,
}

/// A fault of a tool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFault {
    /// The tool.
    pub tool: String,
    /// The phase; any, if left out.
    pub phase: Option<Phase>,
    /// Which run of it, from 1; every one, if left out.
    pub run: Option<u32>,
    /// It takes so many seconds longer.
    #[serde(default)]
    pub slow: f64,
    /// It fails with this code, and does nothing.
    pub fails: Option<String>,
    /// It does what it shall, but the answer is lost (a commit whose outcome is unknown).
    #[serde(default)]
    pub loses_answer: bool,
}

/// A fault of the language model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFault {
    /// Which request, from 1; every one, if this, `calling` and `saying` are left out.
    pub request: Option<u32>,
    /// The first request that is answered with a call of this tool.
    pub calling: Option<String>,
    /// The first request whose answer contains this.
    pub saying: Option<String>,
    /// The first word comes so many seconds later.
    #[serde(default)]
    pub slow: f64,
    /// The stream breaks after so many pieces.
    pub breaks_after: Option<usize>,
    /// It says this instead.
    pub says: Option<String>,
    /// Arguments of the call that are replaced.
    pub arguments: Option<Value>,
    /// It calls this tool instead, with `arguments`: a model that was talked into something.
    pub calls: Option<String>,
}

/// A fault of text-to-speech.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechFault {
    /// In the first utterance that contains this.
    pub within: String,
    /// The connection breaks after so many seconds of its audio.
    pub breaks_after: f64,
    /// How many connections break so.
    #[serde(default = "one")]
    pub times: u32,
}

/// A fault of speech-to-text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HearingFault {
    /// After so many seconds of audio on the first connection.
    pub after: f64,
    /// It stays open, takes audio, and says nothing any more; otherwise it breaks.
    #[serde(default)]
    pub deaf: bool,
    /// It goes on, but is only so sure of each word, 0 to 1.
    pub unsure: Option<f32>,
    /// It goes on, but understands not a word for so many seconds of audio.
    pub wordless: Option<f64>,
}

/// What shall come of a call. What is left out is not looked at, but for `incidents`: none are expected then.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// `completed`, `transferred`, `caller_hung_up`, `caller_away`, `failed`, `stopped`.
    pub outcome: Option<String>,
    /// Tool calls in this order; others may lie between.
    pub tools: Vec<ToolCall>,
    /// Tools that are never called.
    pub never_tools: Vec<String>,
    /// All appointments that the call made, whatever became of them, by time.
    pub appointments: Option<Vec<Appointment>>,
    /// How many text messages wait in the outbox.
    pub text_messages: Option<usize>,
    /// The appointments that were there before the call, by time.
    pub earlier: Option<Vec<Appointment>>,
    /// All patients whom the clinic knows after the call, in the order in which they came.
    pub patients: Option<Vec<Patient>>,
    /// The whole waiting list after the call, in the order in which it was joined.
    pub waiting: Option<Vec<Waiting>>,
    /// How many messages were taken, or which.
    pub messages: Option<Messages>,
    /// Whether a recording was kept in which both sides are heard, none of it from before a consent that was asked for; or nothing at
    /// all was.
    pub recorded: Option<bool>,
    /// How often the call did what the audit log calls so.
    pub audit: BTreeMap<String, u64>,
    /// Words that were said.
    pub said: Vec<Said>,
    /// Words that were not.
    pub never_said: Vec<Said>,
    /// Words that the model's last history holds.
    pub remembered: Vec<String>,
    /// How often the agent was cut short.
    pub interruptions: Option<u32>,
    /// Faults in the record: each contains one of these, and each of these occurs.
    pub incidents: Vec<String>,
    /// From the caller's last sound to the agent's first, over all turns, in milliseconds.
    pub latency: Option<Latency>,
    /// The longest the agent may be silent while it owes the floor, in seconds.
    pub dead_air_max: Option<f64>,
}

/// A tool call that is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub tool: String,
    /// Arguments among those given; a text is found within the one given.
    pub arguments: Option<Value>,
    /// `done`, `prepared`, `failed`, `cancelled`, `unknown`.
    pub status: Option<String>,
}

/// An appointment that is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appointment {
    /// `booked` or `cancelled`.
    #[serde(default = "booked")]
    pub status: String,
    /// Id of the practitioner.
    pub practitioner: Option<String>,
    /// Begin of the local date and time, `2026-12-03` or `2026-12-03T09:00`.
    pub start: Option<String>,
    /// The patient.
    pub name: Option<String>,
    /// Digits at the end of the number.
    pub phone: Option<String>,
    /// The service's name.
    pub service: Option<String>,
}

/// Words of one side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Whose; anybody's, if left out.
    pub by: Option<By>,
    /// A part of what was said; case does not matter.
    pub text: Option<String>,
    /// A regular expression over all that was said, lines joined by blanks; case does not matter.
    pub pattern: Option<String>,
    /// How often; at least once, if left out.
    pub times: Option<usize>,
}

/// A side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Who calls.
    Caller,
    /// Who answers.
    Agent,
}

/// A budget.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Of the median turn.
    pub median_ms_max: Option<u64>,
    /// Of the slowest turn.
    pub ms_max: Option<u64>,
}

fn english() -> String {
    "en-US".into()
}

fn demo() -> String {
    "demo".into()
}

fn monday() -> DateTime<Utc> {
    DateTime::from_timestamp(1_796_040_000, 0).unwrap_or_default()
}

fn all_depths() -> Vec<Depth> {
    vec![Depth::Text, Depth::Audio, Depth::Call]
}

fn virtual_depths() -> Vec<Depth> {
    vec![Depth::Text, Depth::Audio]
}

fn booked() -> String {
    "booked".into()
}

const fn thirty() -> u32 {
    30
}

const fn one() -> u32 {
    1
}

impl Step {
    /// What the caller does in it, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        let spoken = self.say.as_ref().or(self.backchannel.as_ref()).or(self.types.as_ref());
        match spoken {
            Some(text) => format!("\"{text}\""),
            None if self.hang_up => "hang_up".into(),
            None if self.dtmf.is_some() => "dtmf".into(),
            None if self.noise.is_some() => "noise".into(),
            None => "silence".into(),
        }
    }

    /// Pieces of speech and the pauses after them, in seconds.
    #[must_use]
    pub fn pieces(text: &str) -> Vec<(String, f64)> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('[') {
            let Some((pause, further)) = after.split_once(']') else { break };
            pieces.push((before.trim().to_owned(), pause.trim().parse().unwrap_or(0.5)));
            rest = further;
        }
        pieces.push((rest.trim().to_owned(), 0.0));
        pieces.retain(|(text, pause)| !text.is_empty() || *pause > 0.0);
        pieces
    }
}

impl Scenario {
    /// Every piece of speech of the caller, for a recogniser that must learn it.
    pub fn utterances(&self) -> impl Iterator<Item = String> {
        let spoken = self.caller.iter().filter_map(|step| step.say.as_ref().or(step.backchannel.as_ref()));
        spoken.flat_map(|text| Step::pieces(text)).map(|(text, _)| text).filter(|text| !text.is_empty() && !text.contains("{code}"))
    }

    /// Whether it is known to fail at this depth, and why.
    #[must_use]
    pub fn known_failure(&self, depth: Depth) -> Option<&str> {
        self.known_failure.as_ref().filter(|known| known.depths.contains(&depth)).map(|known| known.reason.as_str())
    }

    /// Why it cannot be played at this depth, if it cannot: what is simulated within the process has no counterpart on the wire.
    #[must_use]
    pub fn unfit_for(&self, depth: Depth) -> Option<&'static str> {
        let Faults { tools, model, speech, hearing } = &self.faults;
        let reasons = [
            (self.caller.iter().any(|step| step.types.is_some()), "a telephone cannot type"),
            (
                self.settings.require_identification.is_some() || self.settings.recording.is_some(),
                "the worker reads the clinic's settings from its files",
            ),
            (!tools.is_empty(), "the worker's own tools do not fail on demand"),
            (!model.is_empty(), "the simulated model behind its socket does not go wrong within an answer"),
            (!speech.is_empty(), "the simulated speech behind its socket does not break within an utterance"),
            (!hearing.is_empty(), "the simulated recogniser behind its socket does not break at a moment of its audio"),
            (!self.expect.remembered.is_empty(), "what the model was last shown is not seen from outside"),
        ];
        let unfit = reasons.into_iter().find(|(is_so, _)| *is_so && depth == Depth::Call);
        unfit.map(|(_, reason)| reason)
    }

    /// What no schema can say.
    pub(super) fn faults_of_form(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            found.push(format!("name {:?}: lower-case letters, digits and hyphens are expected", self.name));
        }
        for (number, step) in self.caller.iter().enumerate() {
            let acts = [
                step.say.is_some(),
                step.backchannel.is_some(),
                step.types.is_some(),
                step.noise.is_some(),
                step.silence.is_some(),
                step.dtmf.is_some(),
                step.hang_up,
            ];
            let count = acts.iter().filter(|act| **act).count();
            if count != 1 {
                found.push(format!(
                    "caller step {}: exactly one of say, backchannel, types, noise, silence, dtmf, hang_up is expected, not {count}",
                    number + 1
                ));
            }
            if step.wait.is_some() && (step.into.is_some() || step.hears.is_some()) {
                found.push(format!(
                    "caller step {}: `wait` goes by the clock, so neither `into` nor `hears` may stand beside it",
                    number + 1
                ));
            }
            let times = [step.noise, step.silence, step.into, step.wait, step.thinks];
            if times.into_iter().flatten().any(|seconds| !(0.0..=600.0).contains(&seconds)) {
                found.push(format!("caller step {}: times are seconds from 0 to 600", number + 1));
            }
            if let Some(key) = step.dtmf.iter().flat_map(|keys| keys.chars()).find(|key| !"0123456789*#ABCD".contains(*key)) {
                found.push(format!("caller step {}: {key:?} is no key of a telephone", number + 1));
            }
        }
        for waiting in self.expect.waiting.iter().flatten() {
            if !["waiting", "offered", "booked", "left", "expired"].contains(&waiting.status.as_str()) {
                found.push(format!("expect.waiting: {:?} is no status of the waiting list", waiting.status));
            }
        }
        if self
            .faults
            .model
            .iter()
            .any(|fault| fault.calls.is_some() && fault.request.is_none() && fault.saying.is_none() && fault.calling.is_none())
        {
            found.push("faults.model: `calls` needs `request`, `saying` or `calling`: when?".into());
        }
        let known = ["completed", "transferred", "caller_hung_up", "caller_away", "failed", "stopped"];
        if let Some(outcome) = self.expect.outcome.as_deref().filter(|outcome| !known.contains(outcome)) {
            found.push(format!("expect.outcome {outcome:?}: one of {} is expected", known.join(", ")));
        }
        for said in self.expect.said.iter().chain(&self.expect.never_said) {
            match (&said.text, &said.pattern) {
                (Some(_), None) => {}
                (None, Some(pattern)) => {
                    if let Err(error) = regex::Regex::new(pattern) {
                        found.push(format!("expect: pattern {pattern:?}: {error}"));
                    }
                }
                _ => found.push("expect: each of said and never_said has either `text` or `pattern`".into()),
            }
        }
        found
    }
}
