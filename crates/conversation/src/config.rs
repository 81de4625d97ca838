//! The conversation's settings; every value can come from the tenant's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fields::FieldKind;

/// Settings of one conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The system message.
    pub instructions: String,
    /// Said when the call is answered, before the greeting, and never cut off (a legal notice); empty for none.
    pub disclaimer: String,
    /// Said when the call is answered; empty for none.
    pub greeting: String,
    /// The tools that the model may call, `confirm` not among them: the conversation adds it.
    pub tools: Vec<ToolSpec>,
    /// End of the caller's turn.
    pub endpointing: Endpointing,
    /// Barge-in.
    pub interruption: Interruption,
    /// Silence on either side.
    pub silence: Silence,
    /// Turns that were not understood.
    pub misunderstanding: Misunderstanding,
    /// To whom the caller is transferred when the agent cannot go on, a name that the shell knows; `None` to apologise and hang up.
    pub trouble_transfer: Option<String>,
    /// A transfer that has no outcome after this long has failed.
    pub transfer_timeout: Duration,
    /// How long a call may last, from the answer; then the agent says so and hangs up. Zero for as long as it takes.
    pub duration_max: Duration,
    /// How long before that the caller is told, once nobody speaks; zero for never. A limit of less than twice as long is not announced.
    pub duration_warning: Duration,
    /// The language in which the call begins: a primary language tag, `en`.
    pub language: String,
    /// Sentences that the agent says by itself, in the language in which the call begins.
    pub phrases: Phrases,
    /// The same in the other languages that the agent speaks, by their tags.
    pub languages: BTreeMap<String, Phrases>,
    /// Words that mean an emergency, in any of the agent's languages ("chest pain"): a turn that holds one is answered at once with
    /// [`Phrases::emergency`], and the model is not asked.
    pub emergency_phrases: Vec<String>,
    /// What single keys stand for while no number is asked for ("1" → "I want to book").
    pub menu: BTreeMap<char, String>,
    /// Whether the model is asked as soon as the caller falls silent, on words that are not final yet; its answer counts only if
    /// the final ones agree.
    pub preemptive_generation: bool,
    /// Whether the beginning of such an answer is synthesised as well before the turn is over; nothing of it is heard unless the
    /// answer counts (LiveKit: `preemptive_tts`).
    pub preemptive_tts: bool,
    /// How often the model may be asked within one reply (LiveKit: `max_tool_steps`).
    pub max_tool_steps: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instructions: String::new(),
            disclaimer: String::new(),
            greeting: String::new(),
            tools: Vec::new(),
            endpointing: Endpointing::default(),
            interruption: Interruption::default(),
            silence: Silence::default(),
            misunderstanding: Misunderstanding::default(),
            trouble_transfer: None,
            transfer_timeout: Duration::from_secs(45),
            duration_max: Duration::from_secs(30 * 60),
            duration_warning: Duration::from_secs(60),
            language: "en".into(),
            phrases: Phrases::default(),
            languages: BTreeMap::new(),
            emergency_phrases: Vec::new(),
            menu: BTreeMap::new(),
            preemptive_generation: true,
            preemptive_tts: true,
            max_tool_steps: 5,
        }
    }
}

/// Who speaks for the agent: what changes when one agent hands the call to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentProfile {
    /// Its name, for the record; no personal data.
    pub name: String,
    /// The system prompt.
    pub instructions: String,
    /// Its tools.
    pub tools: Vec<ToolSpec>,
}

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Reads only: may run in parallel and may be dropped.
    Read,
    /// Harmless to repeat under its key.
    Record,
    /// Two-phase: prepared, read back, confirmed in a later turn, committed at most once.
    Commit,
}

/// What the conversation needs to know of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// Its effect.
    pub effect: Effect,
    /// After this long a `Read` or `Record` has failed and a `Commit` is `Unknown`.
    pub timeout: Duration,
    /// Whether its success ends the call once everything was said (`end_call`).
    pub ends_call: bool,
    /// Whether its success transfers the call once everything was said; its result then names the target, `{"target": "…"}`, and
    /// the model is told what came of the transfer instead.
    #[serde(default)]
    pub transfers_call: bool,
}

/// Who decides that the caller's turn is over (LiveKit: `turn_detection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointingMode {
    /// Silence of [`Endpointing::vad_delay`].
    Vad,
    /// The turn model, between `min_delay` and `max_delay`; without its answer, silence as in `vad`.
    #[default]
    Model,
    /// The recogniser's own end of turn ([`crate::Transcript::ends_turn`]); without it, `max_delay`.
    Stt,
    /// Nobody but [`crate::Input::EndTurn`], keys and typed text; 10 s of silence if nobody does.
    Manual,
}

/// Which words of the agent ask for a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FieldRule {
    /// The field.
    pub field: FieldKind,
    /// Phrases that name it, in any of the agent's languages.
    pub phrases: Vec<String>,
}

/// End of the caller's turn. All delays count from the last speech sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Endpointing {
    /// Who decides.
    pub mode: EndpointingMode,
    /// The turn never ends sooner.
    pub min_delay: Duration,
    /// The turn never ends later, given a transcript and no field.
    pub max_delay: Duration,
    /// The delay when nothing but silence is known: mode `vad`, or no answer of the turn model.
    pub vad_delay: Duration,
    /// From this probability on the turn model takes the turn for complete, and the delay is `min_delay`; below, it grows to
    /// `max_delay` at 0.
    pub complete_at: f32,
    /// How far the caller's own pauses may lengthen the delay; zero for never.
    pub pace_max: Duration,
    /// Words after which a turn is hardly over ("an appointment for"), in any of the agent's languages; a question is over in any case.
    pub unfinished: Vec<String>,
    /// The turn never ends sooner after one of [`Endpointing::unfinished`], while no field is being said.
    pub unfinished_delay: Duration,
    /// The delay while a field is being said and is not whole.
    pub field_delay: Duration,
    /// How many digits a telephone number has.
    pub phone_digits: usize,
    /// Which words of the agent ask for which field.
    pub fields: Vec<FieldRule>,
    /// The turn that may answer a read-back never ends sooner: "yes … but on Thursday" is not to be acted upon at the "yes".
    pub confirm_delay: Duration,
    /// How long the recogniser's answer to `FinalizeTranscript` is waited for, from the request.
    pub finalize_timeout: Duration,
}

impl Default for Endpointing {
    fn default() -> Self {
        let rule = |field, phrases: &[&str]| FieldRule { field, phrases: phrases.iter().map(|&phrase| phrase.into()).collect() };
        Self {
            mode: EndpointingMode::default(),
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_millis(2500),
            vad_delay: Duration::from_millis(550),
            complete_at: 0.5,
            pace_max: Duration::from_millis(850),
            unfinished: crate::unfinished::phrases(),
            unfinished_delay: Duration::from_millis(1500),
            field_delay: Duration::from_secs(2),
            phone_digits: 10,
            fields: vec![
                rule(
                    FieldKind::Phone,
                    &[
                        "phone number",
                        "telephone number",
                        "number with the area code",
                        "rest of the number",
                        "número de teléfono",
                        "teléfono",
                    ],
                ),
                rule(FieldKind::DateOfBirth, &["date of birth", "birth date", "when were you born", "fecha de nacimiento"]),
                rule(FieldKind::MemberId, &["member id", "member number", "policy number", "número de afiliado", "número de póliza"]),
                rule(FieldKind::SpelledName, &["spell", "spell it", "spelled", "deletrear", "deletrearlo"]),
            ],
            confirm_delay: Duration::from_millis(800),
            finalize_timeout: Duration::from_millis(300),
        }
    }
}

/// Barge-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Interruption {
    /// Speech of this length pauses playback.
    pub min_duration: Duration,
    /// How much silence the voice activity detector hears before it reports the end of speech: only after so much more is it
    /// certain that speech was as long as `min_duration`, so that a shorter backchannel never pauses.
    pub silence_detection: Duration,
    /// Playback goes on if no transcript came this long after the pause.
    pub resume_after: Duration,
    /// How long `Flushed` is waited for before the position is estimated.
    pub flush_timeout: Duration,
    /// Phrases that never cancel a reply, by language.
    pub backchannels: BTreeMap<String, Vec<String>>,
    /// More words than this are no backchannel, whatever they are.
    pub backchannel_words_max: usize,
    /// Speech longer than this is no backchannel, whatever was said.
    pub backchannel_max: Duration,
    /// Whether the caller may cut off the read-back of what is to be confirmed.
    pub interruptible_read_back: bool,
}

impl Default for Interruption {
    fn default() -> Self {
        let english =
            ["mm hm", "mhm", "mm", "uh huh", "hm", "yeah", "yes", "yep", "ok", "okay", "right", "sure", "i see", "got it", "alright"];
        let spanish = ["ajá", "mm hm", "mhm", "sí", "ya", "vale", "claro", "bueno", "ok", "okay", "de acuerdo", "entiendo", "muy bien"];
        let list = |phrases: &[&str]| phrases.iter().map(|&phrase| phrase.to_owned()).collect();
        Self {
            min_duration: Duration::from_millis(500),
            silence_detection: Duration::from_millis(250),
            resume_after: Duration::from_secs(2),
            flush_timeout: Duration::from_millis(100),
            backchannels: BTreeMap::from([("en".into(), list(&english)), ("es".into(), list(&spanish))]),
            backchannel_words_max: 6,
            backchannel_max: Duration::from_secs(2),
            interruptible_read_back: true,
        }
    }
}

/// Silence on either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Silence {
    /// The caller owes the floor and is silent this long: he is asked; after as long again: goodbye.
    pub away_after: Duration,
    /// The caller spoke for a second or more, no words came of it, and he waits this long: he is asked to say it again.
    pub unheard_after: Duration,
    /// The agent owes the floor and is silent this long: a filler.
    pub filler_after: Duration,
    /// Invariant 5: silence while the agent owes the floor never lasts longer.
    pub dead_air_max: Duration,
    /// The model is given up after this long without an answer, and the fallback is said.
    pub model_timeout: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            away_after: Duration::from_secs(15),
            unheard_after: Duration::from_secs(3),
            filler_after: Duration::from_millis(1500),
            dead_air_max: Duration::from_secs(4),
            model_timeout: Duration::from_secs(8),
        }
    }
}

/// Turns that were not understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Misunderstanding {
    /// A turn whose words the recogniser was, on average, less sure of than this was misunderstood.
    pub confidence_min: f32,
    /// After so many misunderstood turns in a row the model is told to offer a person or a message; zero for never.
    pub offer_after: u32,
}

impl Default for Misunderstanding {
    fn default() -> Self {
        Self { confidence_min: 0.5, offer_after: 3 }
    }
}

/// Sentences that the agent says by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Phrases {
    /// While something is slow.
    pub filler: String,
    /// The model failed for this turn.
    pub fallback: String,
    /// The caller spoke, but no words came of it.
    pub unheard: String,
    /// The caller is silent.
    pub away: String,
    /// Before hanging up on silence.
    pub goodbye: String,
    /// Nothing works any more; said before hanging up.
    pub apology: String,
    /// Nothing works any more, but there is a person to transfer the caller to; also said when the model transfers him without a word.
    pub put_through: String,
    /// The call is about to reach the longest time; said [`Config::duration_warning`] before, unless empty.
    pub time_nearly_up: String,
    /// The call has lasted as long as one may; said before hanging up.
    pub time_up: String,
    /// The worker goes down, and nobody is there to transfer the caller to; said before hanging up.
    pub closing: String,
    /// The answer to an emergency, never cut off; empty for none of its own: then the model answers.
    pub emergency: String,
    /// The worker that had the call was lost, and this one has taken it over; said first. Empty to go on without a word.
    pub lost: String,
    /// After that, if the caller had the floor and was giving a field: what to give again.
    pub lost_field: BTreeMap<FieldKind, String>,
    /// The same if he was saying anything else.
    pub lost_floor: String,
    /// A person who had joined the call has left, and the agent speaks again; empty to wait for the caller's next words.
    pub person_left: String,
}

impl Default for Phrases {
    fn default() -> Self {
        Self {
            filler: "One moment, please.".into(),
            fallback: "I'm sorry, I didn't manage that. Could you say it once more?".into(),
            unheard: "I'm sorry, I couldn't hear that. Could you say it again?".into(),
            away: "Are you still there?".into(),
            goodbye: "I can't hear you, so I'll hang up now. Please call again. Goodbye.".into(),
            apology: "I'm sorry, I can't go on at the moment. Please call again a little later. Goodbye.".into(),
            put_through: "I'll put you through to a colleague.".into(),
            time_nearly_up: "Just so you know, this call can go on for about one more minute.".into(),
            time_up: "I'm sorry, we have reached the longest time a call may take, so I have to end it here. Please call again. Goodbye."
                .into(),
            closing: "I'm sorry, I have to end this call now. Please call again in a few minutes. Goodbye.".into(),
            emergency: String::new(),
            lost: "Sorry, I lost you for a moment.".into(),
            // Each names its field as `Endpointing::fields` knows it, so that the answer is awaited to its end.
            lost_field: by_field([
                "You were giving me your phone number. Could you give it to me again, from the start?",
                "You were telling me your date of birth. Could you tell me again?",
                "You were giving me your member ID. Could you give it to me again, from the start?",
                "You were spelling a name for me. Could you spell it again, from the start?",
            ]),
            lost_floor: "Could you say that again, please?".into(),
            person_left: "I'm back. Is there anything else I can do for you?".into(),
        }
    }
}

/// Sentences for a telephone number, a date of birth, a member id and a spelled name.
fn by_field(sentences: [&str; 4]) -> BTreeMap<FieldKind, String> {
    let fields = [FieldKind::Phone, FieldKind::DateOfBirth, FieldKind::MemberId, FieldKind::SpelledName];
    fields.into_iter().zip(sentences.map(String::from)).collect()
}

impl Phrases {
    /// The same in Spanish.
    #[must_use]
    pub fn spanish() -> Self {
        Self {
            filler: "Un momento, por favor.".into(),
            fallback: "Lo siento, no lo he conseguido. ¿Podría repetirlo?".into(),
            unheard: "Lo siento, no le he oído. ¿Podría repetirlo?".into(),
            away: "¿Sigue usted ahí?".into(),
            goodbye: "No le oigo, así que voy a colgar. Por favor, llame de nuevo. Adiós.".into(),
            apology: "Lo siento, ahora no puedo continuar. Por favor, llame de nuevo un poco más tarde. Adiós.".into(),
            put_through: "Le paso con un compañero.".into(),
            time_nearly_up: "Le aviso de que a esta llamada le queda más o menos un minuto.".into(),
            time_up:
                "Lo siento, hemos llegado al tiempo máximo de una llamada y tengo que terminarla aquí. Por favor, llame de nuevo. Adiós."
                    .into(),
            closing: "Lo siento, tengo que terminar esta llamada. Por favor, llame de nuevo en unos minutos. Adiós.".into(),
            emergency: String::new(),
            lost: "Disculpe, le he perdido por un momento.".into(),
            lost_field: by_field([
                "Me estaba dando su número de teléfono. ¿Me lo puede dar otra vez, desde el principio?",
                "Me estaba diciendo su fecha de nacimiento. ¿Me la puede repetir?",
                "Me estaba dando su número de afiliado. ¿Me lo puede dar otra vez, desde el principio?",
                "Me estaba deletreando un nombre. ¿Me lo puede deletrear otra vez, desde el principio?",
            ]),
            lost_floor: "¿Podría repetirlo, por favor?".into(),
            person_left: "Ya estoy aquí de nuevo. ¿Puedo ayudarle en algo más?".into(),
        }
    }
}
