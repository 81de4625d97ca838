//! What stands in the files.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use frontdesk_agent::transport::WhenPersonSpeaks;
use frontdesk_agent::{Consent, ServiceKind};
use frontdesk_conversation::EndpointingMode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::features::Features;
use super::notifications::Notifications;
use super::practice::{CoverageRow, DepartmentConfig, Hours, LocationConfig, PractitionerConfig, ServiceConfig};
use super::read;
use crate::ids::TenantId;

/// A clinic, as `agent-config/<tenant>/` describes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The same as the folder's name.
    pub id: TenantId,
    /// As it is spoken.
    pub name: String,
    /// IANA zone in which times are spoken.
    #[serde(deserialize_with = "read::zone")]
    #[schemars(with = "String")]
    pub zone: Tz,
    /// Language tag in which a call begins, English or Spanish.
    pub language: String,
    /// ISO 4217, for co-payments.
    #[serde(default = "usd")]
    pub currency: String,
    /// Digits in front of national numbers: "1", "44".
    pub country_calling_code: String,
    /// The numbers under which the clinic is called, in E.164.
    pub dialled_numbers: Vec<String>,
    /// The first sentence of a call.
    pub greeting: String,
    /// Said before the greeting, and to its end whatever the caller says meanwhile: what the law wants callers to be told, say that they
    /// speak with a computer.
    #[serde(default)]
    pub disclaimer: Option<String>,
    /// When the practice is open; without it, whenever anybody works.
    #[serde(default)]
    pub opening_hours: Vec<Hours>,
    /// Slots begin every so many minutes.
    #[serde(default = "fifteen")]
    pub slot_minutes: u32,
    /// How long before its beginning an appointment can be booked at the latest.
    #[serde(default = "sixty")]
    pub lead_minutes: u32,
    /// How many days ahead can be booked.
    #[serde(default = "ninety")]
    pub horizon_days: u32,
    /// Days on which nobody works, `["2026-12-25"]`.
    #[serde(default, deserialize_with = "read::dates")]
    #[schemars(with = "Vec<String>")]
    pub closed_days: Vec<NaiveDate>,
    /// Whether nothing is booked before the call has identified or registered the patient.
    #[serde(default)]
    pub require_identification: bool,
    /// What the agent does when a person joins a call and speaks to the caller: `"leave"` (the default) leaves the call to the person,
    /// `"stand_aside"` stays, says nothing, and speaks again when the person has left, `"go_on"` changes nothing.
    #[serde(default)]
    pub when_person_speaks: WhenPersonSpeaks,
    /// How the agent sounds.
    #[serde(default)]
    pub voice: Voice,
    /// When turns end and how callers interrupt.
    #[serde(default)]
    pub turn_taking: TurnTaking,
    /// The people to whom callers may be transferred.
    #[serde(default)]
    pub transfer_targets: Vec<TransferTarget>,
    /// What is an emergency, and the answer to it.
    #[serde(default)]
    pub emergency: Emergency,
    /// Frequent questions, and the practice's answers.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// What is told to whom.
    #[serde(default)]
    pub notifications: Notifications,
    /// Where; none, if the clinic has but one place.
    #[serde(default)]
    pub locations: Vec<LocationConfig>,
    /// Its departments; none, if it does not tell any apart.
    #[serde(default)]
    pub departments: Vec<DepartmentConfig>,
    /// What the agent does for callers.
    #[serde(default)]
    pub features: Features,
    /// How long data is kept.
    #[serde(default)]
    pub retention: Retention,
    /// What the clinic pays its providers, in its currency; without it, records tell what was used and not what it costs.
    #[serde(default)]
    pub prices: Vec<PriceConfig>,
    /// How callers consent to being recorded; without it, no call of the clinic is.
    #[serde(default)]
    pub recording: Option<RecordingConfig>,
    /// How many calls are taken.
    #[serde(default)]
    pub limits: Limits,
    /// Who works here.
    pub practitioners: Vec<PractitionerConfig>,
    /// What is offered.
    #[serde(default)]
    pub services: Vec<ServiceConfig>,
    /// The text of `prompt.md`.
    #[serde(skip)]
    pub prompt: String,
    /// The rows of `insurance.toml`.
    #[serde(skip)]
    pub insurance: Vec<CoverageRow>,
}

/// How long data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Years after which `frontdesk retention run` erases calls and patients; HIPAA wants six, a state's law may want more.
    #[schemars(range(min = 1, max = 100))]
    pub years: u32,
    /// Days after which it forgets notices that were sent.
    #[schemars(range(min = 2, max = 36500))]
    pub notice_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { years: 6, notice_days: 90 }
    }
}

/// What a provider asks, in units of the clinic's currency; what is left out is free.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// What it does: `"stt"`, `"llm"` or `"tts"`.
    pub service: ServiceKind,
    /// Its name, as records have it: `"deepgram"`.
    pub provider: String,
    /// A minute of audio, for speech-to-text.
    #[serde(default)]
    pub per_minute: f64,
    /// A thousand characters, for text-to-speech.
    #[serde(default)]
    pub per_1000_characters: f64,
    /// A million tokens of questions, for the language model.
    #[serde(default)]
    pub per_million_tokens_in: f64,
    /// A million tokens of answers, for the language model.
    #[serde(default)]
    pub per_million_tokens_out: f64,
}

/// How callers consent to being recorded. Whether calls are recorded at all is the operator's setting, `calls.record_audio`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingConfig {
    /// How.
    pub consent: ConsentBy,
    /// Said in front of the greeting of a call that is, or may be, recorded.
    #[serde(default)]
    pub notice: Option<String>,
}

/// By what a caller consents. What the law wants differs from place to place; ask before choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsentBy {
    /// He is told by the notice and goes on; when he objects, what was recorded is deleted and nothing more is recorded.
    Notice,
    /// He is asked by the notice; nothing is recorded before his yes.
    Ask,
    /// He was told before the call comes here, say by an announcement of the trunk's. He can object as with a notice.
    Elsewhere,
}

impl RecordingConfig {
    /// How consent stands when a call begins.
    #[must_use]
    pub const fn consent_at_first(&self) -> Consent {
        match self.consent {
            ConsentBy::Notice | ConsentBy::Elsewhere => Consent::Given,
            ConsentBy::Ask => Consent::Awaited,
        }
    }
}

/// How many calls are taken, over all workers together, and how long one may last; what is left out is without limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls at once.
    #[schemars(range(min = 1, max = 10000))]
    pub calls_at_once: Option<u32>,
    /// Calls that begin within one minute of the clock.
    #[schemars(range(min = 1, max = 10000))]
    pub new_calls_per_minute: Option<u32>,
    /// Said to a caller beyond the limit, who can then leave a message and do nothing else; without it, such a call is not answered.
    pub busy: Option<String>,
    /// Seconds that a call may last, in the place of the worker's `calls.duration_max_s`; the caller is told a minute before.
    #[schemars(range(min = 30, max = 86400))]
    pub call_duration_max_s: Option<u32>,
}

/// How the agent sounds; what is left out is the provider's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    /// The synthesiser's name of the voice, `aura-2-thalia-en`.
    pub text_to_speech: Option<String>,
    /// The recogniser's name of its model, `nova-3`; the worker's, if left out.
    pub speech_to_text: Option<String>,
    /// The language model's name, as its service has it; the worker's, if left out.
    pub language_model: Option<String>,
    /// Words that the recogniser would not expect: names of people and procedures.
    pub key_terms: Vec<String>,
    /// The synthesiser's voices for further languages, by primary tag: `{ es = "aura-2-celeste-es" }`. The call follows a caller into
    /// one of them.
    pub by_language: BTreeMap<String, String>,
    /// Whether two soft notes are heard while the agent thinks for longer than a second and a half.
    pub thinking_sound: bool,
}

/// What is an emergency, and the answer to it: said at once and whole, without asking the language model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emergency {
    /// Words of a caller that mean one: "chest pain", "can't breathe".
    pub phrases: Vec<String>,
    /// What is said then.
    pub text: String,
    /// The same in the other languages that the agent speaks (`voice.by_language`), by their tags; without it, `text` is said there, too.
    #[serde(default)]
    pub text_by_language: BTreeMap<String, String>,
}

/// A question that callers often ask.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Words that it is about, any of which is enough: "parking", "what to bring".
    pub about: Vec<String>,
    /// The answer, as it is spoken.
    pub answer: String,
}

/// A person, or a desk, to whom callers may be transferred. The language model knows the name; it never sees or chooses a number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferTarget {
    /// As the model names it, `front office`; unique.
    pub name: String,
    /// The number, in E.164.
    pub number: String,
    /// When this is the right one, worded for the model: "the caller asks about a bill".
    pub when: Option<String>,
    /// Whether callers go here when the agent cannot go on; one at most.
    #[serde(default)]
    pub in_trouble: bool,
}

/// When turns end and how callers interrupt: LiveKit's names, seconds. What is left out keeps its default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TurnTaking {
    /// Who decides that the caller's turn is over: `"model"` (which the worker then needs), `"vad"`, `"stt"` or `"manual"`.
    pub turn_detection: Option<EndpointingMode>,
    /// Whether the language model is asked while the last words are still being recognised.
    pub preemptive_generation: Option<bool>,
    /// Whether the beginning of its answer is synthesised meanwhile as well.
    pub preemptive_tts: Option<bool>,
    /// A turn never ends sooner after the last sound.
    pub min_endpointing_delay: Option<f64>,
    /// A turn never ends later after the last sound.
    pub max_endpointing_delay: Option<f64>,
    /// Speech of this length pauses the agent.
    pub min_interruption_duration: Option<f64>,
    /// The agent goes on when no words came this long after the pause.
    pub false_interruption_timeout: Option<f64>,
    /// The caller is asked whether he is still there after this much silence.
    pub user_away_timeout: Option<f64>,
}

fn usd() -> String {
    "USD".into()
}

const fn fifteen() -> u32 {
    15
}

const fn sixty() -> u32 {
    60
}

const fn ninety() -> u32 {
    90
}
