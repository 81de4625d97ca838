//! The caller: follows the steps of a scenario, listens as a person would, and notes what he did and when.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::transport::AgentState;
use frontdesk_agent::{Pii, TransportEvent};
use frontdesk_audio::{SampleRate, g711, resample};
use frontdesk_simulators::stt::Inventory;
use frontdesk_simulators::voice::Speaker;
use tokio::time::{Instant, sleep, sleep_until};

use super::line::{CALLER_RATE, CallerEnd};
use super::scenario::Step;
use super::words::{NOISE, Vocabulary};

/// How often the caller looks what the agent does.
const LOOK: Duration = Duration::from_millis(20);
/// Silence after which the agent is taken to have finished.
pub(super) const FINISHED: Duration = Duration::from_millis(500);
/// How long a caller waits for his cue.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long the call may go on after the last step.
pub(super) const AFTERMATH: Duration = Duration::from_secs(90);
/// How long a polite caller thinks.
pub(super) const THINKS_S: f64 = 0.25;
/// Between two keys.
const KEY_GAP: Duration = Duration::from_millis(250);
/// Amplitude of noise, full scale being 32,767.
const NOISE_AMPLITUDE: i32 = 2_500;

/// What an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// Words.
    Speech,
    /// A word of attention.
    Backchannel,
    /// A typed text.
    Typed,
    /// Noise.
    Noise,
    /// Keys.
    Keys,
    /// The caller hangs up.
    HangUp,
}

/// Something that the caller did.
#[derive(Debug, Clone)]
pub struct Act {
    /// Seconds since the answer.
    pub start: f64,
    /// Seconds since the answer.
    pub end: f64,
    /// Words or keys.
    pub text: String,
    /// What it is.
    pub kind: ActKind,
    /// Whether the agent was speaking when it began.
    pub into_speech: bool,
}

/// How the caller's words become audio.
pub(super) enum Mouth {
    /// As words.
    Words(Vocabulary),
    /// As speech.
    Speech(Arc<Speaker>, Arc<Inventory>),
}

/// One caller.
pub(super) struct Caller {
    pub(super) end: CallerEnd,
    pub(super) mouth: Mouth,
    pub(super) steps: Vec<Step>,
}

/// How it went from the caller's side.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) acts: Vec<Act>,
    /// What kept him from following the steps.
    pub(super) trouble: Option<String>,
}

impl Story {
    /// Of a call that never ended.
    pub(super) fn lost() -> Self {
        Self { acts: Vec::new(), trouble: Some("the call lasted longer than 15 minutes".into()) }
    }
}

impl Caller {
    /// Follows the steps; returns when the call is over.
    pub(super) async fn run(self) -> Story {
        let mut story = Story::default();
        while self.end.state().answered.is_none() {
            sleep(LOOK).await;
        }
        let mut done = Instant::now();
        for (number, step) in self.steps.iter().enumerate() {
            if self.is_over() {
                story.trouble = Some(format!("the call ended before step {} ({})", number + 1, step.title()));
                break;
            }
            if let Err(cue) = self.cue(step, done).await {
                let call = if self.is_over() { "the call ended" } else { "it did not come within 60 s" };
                story.trouble = Some(format!("step {} ({}) waited for {cue}; {call}", number + 1, step.title()));
                break;
            }
            self.act(step, &mut story).await;
            done = Instant::now();
            // What was cut off is no answer; what goes on is.
            let mut state = self.end.state();
            state.agent_began = state.agent_last.filter(|last| done - *last < FINISHED);
            drop(state);
        }
        let limit = Instant::now() + AFTERMATH;
        while !self.is_over() && Instant::now() < limit && story.trouble.is_none() {
            sleep(LOOK).await;
        }
        if !self.is_over() {
            story.trouble.get_or_insert_with(|| "the call did not end within 90 s after the last step".into());
            self.end.send(TransportEvent::CallerLeft);
        }
        story
    }

    fn is_over(&self) -> bool {
        self.end.state().hung_up.is_some()
    }

    /// Waits for the moment of a step; in vain, tells what for.
    async fn cue(&self, step: &Step, done: Instant) -> Result<(), String> {
        if let Some(wait) = step.wait {
            sleep_until(done + Duration::from_secs_f64(wait)).await;
            return if self.is_over() { Err(format!("{wait} s to pass")) } else { Ok(()) };
        }
        let limit = Instant::now() + PATIENCE;
        let mut heard_at = None;
        loop {
            if self.is_over() || Instant::now() >= limit {
                return Err(match &step.hears {
                    Some(words) => format!("the agent to say {words:?}"),
                    None => "the agent to speak".into(),
                });
            }
            let now = Instant::now();
            {
                let state = self.end.state();
                let heard = step.hears.as_ref().is_none_or(|words| {
                    let words = words.to_lowercase();
                    state.lines.iter().any(|(_, text)| text.to_lowercase().contains(&words))
                });
                if heard && state.agent_began.is_some() {
                    heard_at.get_or_insert(if step.hears.is_some() { now } else { state.agent_stretch.unwrap_or(now) });
                }
                let silent = state.agent_last.is_none_or(|last| now - last >= FINISHED);
                let is_turn = silent && state.agent == Some(AgentState::Listening);
                match (heard_at, step.into) {
                    (Some(at), Some(into)) if now >= at + Duration::from_secs_f64(into) => break,
                    (Some(_), None) if is_turn => break,
                    _ => {}
                }
            }
            sleep(LOOK).await;
        }
        if step.into.is_none() {
            sleep(Duration::from_secs_f64(step.thinks.unwrap_or(THINKS_S))).await;
        }
        Ok(())
    }

    async fn act(&self, step: &Step, story: &mut Story) {
        self.end.state().lines.clear();
        if let Some(text) = &step.say {
            self.speak(text, ActKind::Speech, story).await;
        } else if let Some(text) = &step.backchannel {
            self.speak(text, ActKind::Backchannel, story).await;
        } else if let Some(text) = &step.types {
            self.end.send(TransportEvent::Text(Pii::new(text.clone())));
            self.note(story, self.now(), text.clone(), ActKind::Typed);
        } else if let Some(seconds) = step.noise {
            let samples = self.noise(CALLER_RATE.samples_in(Duration::from_secs_f64(seconds)));
            let start = self.now();
            self.say(samples).await;
            self.note(story, start, String::new(), ActKind::Noise);
        } else if let Some(seconds) = step.silence {
            sleep(Duration::from_secs_f64(seconds)).await;
        } else if let Some(keys) = &step.dtmf {
            let start = self.now();
            for key in keys.chars() {
                self.end.send(TransportEvent::Dtmf(key));
                sleep(KEY_GAP).await;
            }
            self.note(story, start, keys.clone(), ActKind::Keys);
        } else if step.hang_up {
            self.note(story, self.now(), String::new(), ActKind::HangUp);
            self.end.send(TransportEvent::CallerLeft);
            let limit = Instant::now() + AFTERMATH;
            while !self.is_over() && Instant::now() < limit {
                sleep(LOOK).await;
            }
        }
    }

    async fn speak(&self, text: &str, kind: ActKind, story: &mut Story) {
        let code = self.end.state().code.clone().unwrap_or_default();
        for (piece, pause) in Step::pieces(&text.replace("{code}", &code)) {
            if !piece.is_empty() {
                let (samples, lead) = match self.render(&piece).await {
                    Ok(samples) if matches!(self.mouth, Mouth::Speech(..)) => trimmed(samples),
                    Ok(samples) => (samples, 0.0),
                    Err(error) => {
                        story.trouble.get_or_insert(format!("the caller cannot speak: {error}"));
                        return;
                    }
                };
                let start = self.now() + lead;
                self.say(samples).await;
                self.note(story, start, piece, kind);
            }
            sleep(Duration::from_secs_f64(pause)).await;
        }
    }

    async fn render(&self, text: &str) -> Result<Vec<i16>, String> {
        match &self.mouth {
            Mouth::Words(vocabulary) => Ok(vocabulary.speak(text)),
            Mouth::Speech(speaker, inventory) => {
                // Only what was not known beforehand is learnt here.
                inventory.register_async(vec![text.to_owned()]).await.map_err(|error| error.to_string())?;
                let clip = speaker.render_async(text, SampleRate::HZ_8000).await.map_err(|error| error.to_string())?;
                let heard = g711::decode_ulaw(&g711::encode_ulaw(&clip));
                Ok(resample::convert(&heard, SampleRate::HZ_8000, CALLER_RATE))
            }
        }
    }

    /// Says what is given to its end.
    async fn say(&self, samples: Vec<i16>) {
        self.end.state().speech.extend(samples);
        while !self.end.state().speech.is_empty() && !self.is_over() {
            sleep(LOOK).await;
        }
    }

    fn noise(&self, count: usize) -> Vec<i16> {
        match self.mouth {
            Mouth::Words(_) => vec![NOISE; count],
            Mouth::Speech(..) => {
                let mut random = 1_u64;
                let mut next = || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let sample = i32::from((random >> 48) as u16 as i16) * NOISE_AMPLITUDE / 32_768;
                    i16::try_from(sample).unwrap_or(0)
                };
                (0..count).map(|_| next()).collect()
            }
        }
    }

    /// Seconds since the answer.
    fn now(&self) -> f64 {
        self.end.state().answered.map_or(0.0, |answered| answered.elapsed().as_secs_f64())
    }

    fn note(&self, story: &mut Story, start: f64, text: String, kind: ActKind) {
        let end = self.now();
        let state = self.end.state();
        let blocks = &state.levels[1];
        let block = (start * 1000.0) as usize / super::line::LEVEL_MS as usize;
        let into_speech = blocks.iter().skip(block.saturating_sub(2)).take(3).any(|level| *level > 60);
        story.acts.push(Act { start, end, text, kind, into_speech });
    }
}

/// Without the silence at both ends; and how much of it is left in front, in seconds.
fn trimmed(samples: Vec<i16>) -> (Vec<i16>, f64) {
    let is_loud = |sample: &i16| sample.unsigned_abs() > 300;
    let (Some(first), Some(last)) = (samples.iter().position(is_loud), samples.iter().rposition(is_loud)) else {
        return (samples, 0.0);
    };
    let lead = first.min(CALLER_RATE.samples_in_ms(20));
    let end = (last + CALLER_RATE.samples_in_ms(20)).min(samples.len());
    (samples[first - lead..end].to_vec(), CALLER_RATE.duration(lead).as_secs_f64())
}
