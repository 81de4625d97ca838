//! What is heard beneath the agent's speech: the room it pretends to sit in, and a sound while it thinks.
//!
//! Mixed into the frames on their way to the transport, so that it needs no track of its own and telephones hear it as well. What was
//! said, and the recording, know nothing of it.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frontdesk_audio::resample::convert;
use frontdesk_audio::{FRAME_MS, Frame, SampleRate};
use frontdesk_conversation::AgentState;
use tokio::time::Instant;

use crate::transport::AudioSink;

/// Frames over which the thinking sound comes and goes: 200 ms.
const FADE_FRAMES: u8 = 10;
/// Length of the built-in thinking sound, and of a note of it.
const LOOP: Duration = Duration::from_millis(1600);
const NOTE: Duration = Duration::from_millis(220);
/// Its notes: when each begins, and its pitch in Hz.
const NOTES: [(Duration, f32); 2] = [(Duration::ZERO, 330.0), (Duration::from_millis(260), 392.0)];
/// Its amplitude: about −31 dB of full scale, well below speech.
const AMPLITUDE: f32 = 900.0;

/// Sounds beneath a call, each repeated without end; at any rate.
#[derive(Debug, Clone)]
pub struct Background {
    /// Heard all the time; `None` for silence.
    pub ambience: Option<Frame>,
    /// Heard while the model or a tool is at work and nothing is said.
    pub thinking: Option<Frame>,
    /// How long the agent must have thought before.
    pub thinking_after: Duration,
}

impl Default for Background {
    /// Silence.
    fn default() -> Self {
        Self { ambience: None, thinking: None, thinking_after: Duration::from_millis(1500) }
    }
}

impl Background {
    /// Two soft notes every 1.6 s while the agent thinks.
    #[must_use]
    pub fn thinking() -> Self {
        Self { thinking: Some(two_notes(SampleRate::HZ_24000)), ..Self::default() }
    }
}

fn two_notes(rate: SampleRate) -> Frame {
    let mut samples = vec![0_i16; rate.samples_in(LOOP)];
    let length = rate.samples_in(NOTE);
    for (start, hz) in NOTES {
        let start = rate.samples_in(start);
        for (n, sample) in samples[start..start + length].iter_mut().enumerate() {
            // A note that begins and ends in silence clicks on no line.
            let envelope = 0.5 - 0.5 * (TAU * n as f32 / length as f32).cos();
            let wave = (TAU * hz * n as f32 / rate.hz() as f32).sin();
            *sample = sample.saturating_add((AMPLITUDE * envelope * wave) as i16);
        }
    }
    Frame { rate, samples }
}

/// By which the session tells the mixer whether the agent thinks.
#[derive(Clone, Default)]
pub(crate) struct Thinking(Arc<AtomicBool>);

impl Thinking {
    pub(crate) fn tell(&self, state: AgentState) {
        self.0.store(state == AgentState::Thinking, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sound that begins again where it ends.
struct Loop {
    samples: Vec<i16>,
    at: usize,
}

impl Loop {
    fn new(sound: &Frame, rate: SampleRate) -> Option<Self> {
        let samples = if sound.rate == rate { sound.samples.clone() } else { convert(&sound.samples, sound.rate, rate) };
        (!samples.is_empty()).then_some(Self { samples, at: 0 })
    }

    fn next(&mut self) -> i16 {
        let sample = self.samples[self.at];
        self.at = (self.at + 1) % self.samples.len();
        sample
    }
}

/// Mixes the background into what goes to `inner`.
struct Mixer {
    inner: Box<dyn AudioSink>,
    ambience: Option<Loop>,
    thinking: Option<Loop>,
    /// Frames of thought before the sound begins.
    patience: u32,
    is_thinking: Thinking,
    /// Frames that the agent has been thinking in silence.
    thought: u32,
    /// 0 to [`FADE_FRAMES`].
    fade: u8,
    mixed: Vec<i16>,
}

/// The sink with its background; the sink itself if there is none.
pub(crate) fn mixed(
    inner: Box<dyn AudioSink>,
    background: Option<&Background>,
    rate: SampleRate,
    is_thinking: Thinking,
) -> Box<dyn AudioSink> {
    let Some(background) = background else { return inner };
    let sound = |frame: &Option<Frame>| frame.as_ref().and_then(|frame| Loop::new(frame, rate));
    let (ambience, thinking) = (sound(&background.ambience), sound(&background.thinking));
    if ambience.is_none() && thinking.is_none() {
        return inner;
    }
    let patience = u32::try_from(background.thinking_after.as_millis() / u128::from(FRAME_MS)).unwrap_or(u32::MAX);
    Box::new(Mixer { inner, ambience, thinking, patience, is_thinking, thought: 0, fade: 0, mixed: Vec::new() })
}

impl Mixer {
    /// Whether the thinking sound is to be heard with this frame.
    fn thinks(&mut self, frame: &[i16]) -> bool {
        let in_silence = self.is_thinking.is_on() && frame.iter().all(|sample| *sample == 0);
        self.thought = if in_silence { self.thought.saturating_add(1) } else { 0 };
        self.thought > self.patience
    }
}

impl AudioSink for Mixer {
    fn write(&mut self, frame: &[i16]) {
        let wanted = self.thinks(frame);
        self.fade = if wanted { (self.fade + 1).min(FADE_FRAMES) } else { self.fade.saturating_sub(1) };
        let gain = i32::from(self.fade);
        if gain == 0 && self.ambience.is_none() {
            if let Some(thinking) = &mut self.thinking {
                thinking.at = 0;
            }
            return self.inner.write(frame);
        }
        self.mixed.clear();
        let (ambience, thinking) = (&mut self.ambience, &mut self.thinking);
        self.mixed.extend(frame.iter().map(|sample| {
            let ambience = ambience.as_mut().map_or(0, Loop::next);
            let thought = thinking.as_mut().filter(|_| gain > 0).map_or(0, |sound| i32::from(sound.next()) * gain / i32::from(FADE_FRAMES));
            let sum = i32::from(*sample) + i32::from(ambience) + thought;
            sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16
        }));
        self.inner.write(&self.mixed);
    }

    fn starts_at(&self) -> Instant {
        self.inner.starts_at()
    }

    fn latency(&self) -> Duration {
        self.inner.latency()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Vec<i16>>>>);

    impl AudioSink for Heard {
        fn write(&mut self, frame: &[i16]) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(frame.to_vec());
        }
    }

    impl Heard {
        fn take(&self) -> Vec<Vec<i16>> {
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    fn constant(value: i16) -> Option<Frame> {
        Some(Frame { rate: RATE, samples: vec![value; 100] })
    }

    fn play(sink: &mut Box<dyn AudioSink>, value: i16, frames: usize) {
        (0..frames).for_each(|_| sink.write(&[value; 160]));
    }

    #[test]
    fn a_thinking_sound_comes_after_a_while_and_goes_with_the_first_word() {
        let (heard, thinking) = (Heard::default(), Thinking::default());
        let background = Background { thinking: constant(1000), thinking_after: Duration::from_millis(100), ..Background::default() };
        let mut sink = mixed(Box::new(heard.clone()), Some(&background), RATE, thinking.clone());
        play(&mut sink, 0, 50);
        assert!(heard.take().iter().flatten().all(|sample| *sample == 0), "nobody thinks");
        thinking.tell(AgentState::Thinking);
        play(&mut sink, 0, 30);
        let frames = heard.take();
        assert!(frames[..5].iter().flatten().all(|sample| *sample == 0), "not at once");
        let levels: Vec<i16> = frames[5..].iter().map(|frame| frame[0]).collect();
        assert!(levels.windows(2).all(|pair| pair[0] <= pair[1]) && levels[0] == 100 && levels[24] == 1000, "{levels:?}");
        thinking.tell(AgentState::Speaking);
        play(&mut sink, 20_000, 20);
        let levels: Vec<i16> = heard.take().iter().map(|frame| frame[0]).collect();
        assert!(levels[0] == 20_900 && levels[10..].iter().all(|level| *level == 20_000), "{levels:?}");
    }

    #[test]
    fn an_ambience_never_ends_and_never_overflows() {
        let heard = Heard::default();
        let background = Background { ambience: constant(300), ..Background::default() };
        let mut sink = mixed(Box::new(heard.clone()), Some(&background), RATE, Thinking::default());
        play(&mut sink, 0, 3);
        play(&mut sink, i16::MAX, 1);
        let frames = heard.take();
        assert!(frames[..3].iter().flatten().all(|sample| *sample == 300) && frames[3].iter().all(|sample| *sample == i16::MAX));
    }

    #[test]
    fn the_built_in_sound_is_soft_and_without_clicks() {
        let sound = two_notes(SampleRate::HZ_24000);
        let loudest = sound.samples.iter().map(|sample| sample.unsigned_abs()).max();
        let step = sound.samples.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max();
        assert!(loudest.is_some_and(|loudest| (500..=1000).contains(&loudest)), "{loudest:?}");
        assert!(step.is_some_and(|step| step < 120), "{step:?}");
        assert_eq!((sound.samples.first(), sound.samples.last()), (Some(&0), Some(&0)));
    }
}
