//! The telephone line between a caller and a session, in process: paced audio both ways, and everything that happens on it noted.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::transport::{AgentState, Speaker, TranscriptLine, TransferOutcome};
use frontdesk_agent::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};
use frontdesk_audio::pace::Ticker;
use frontdesk_audio::{FRAME_MS, Frame, SampleRate};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::pace::Pace;

/// Rate of the caller's audio.
pub const CALLER_RATE: SampleRate = SampleRate::HZ_16000;
/// Levels are noted for blocks of this length.
pub(crate) const LEVEL_MS: u32 = 40;
/// Events that wait at most.
const EVENTS_MAX: usize = 256;
/// Amplitude above which a frame sounds.
const SOUND: u16 = 60;

/// How long a transfer takes.
const TRANSFER_TIME: Duration = Duration::from_secs(3);

/// How loud a word without sound is drawn.
const WORD_LEVEL: u16 = 4_000;

/// What a line looks like from outside.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What the caller still has to say.
    pub(crate) speech: VecDeque<i16>,
    /// Whether the caller's samples name words, so that their value is no loudness.
    pub(crate) is_words: bool,
    /// Amplitude of the noise behind it.
    pub(crate) noise: i16,
    random: u64,
    pub(crate) answered: Option<Instant>,
    pub(crate) hung_up: Option<Instant>,
    pub(crate) agent: Option<AgentState>,
    /// The agent's lines so far: (segment, text).
    pub(crate) lines: Vec<(String, String)>,
    /// The confirmation code that was told last, letter by letter.
    pub(crate) code: Option<String>,
    /// First sound of the agent since the caller's last act, and its last sound of all.
    pub(crate) agent_began: Option<Instant>,
    pub(crate) agent_last: Option<Instant>,
    /// Last sound of the caller.
    pub(crate) caller_last: Option<Instant>,
    /// How evenly the agent's frames leave.
    pub(crate) pace: Pace,
    /// Begin of the agent's present stretch of speech.
    pub(crate) agent_stretch: Option<Instant>,
    /// Loudest sample of each block since the answer, caller's and agent's.
    pub(crate) levels: [Vec<u16>; 2],
}

impl State {
    fn note(&mut self, side: usize, samples: &[i16]) {
        let Some(answered) = self.answered else { return };
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let loudest = if side == 0 && self.is_words && loudest > 0 { WORD_LEVEL } else { loudest };
        let now = Instant::now();
        let block = (now - answered).as_millis() as usize / LEVEL_MS as usize;
        if side == 0 && loudest > SOUND {
            self.caller_last = Some(now);
        }
        let levels = &mut self.levels[side];
        if levels.len() <= block {
            levels.resize(block + 1, 0);
        }
        levels[block] = levels[block].max(loudest);
        if side == 1 && loudest > SOUND {
            let pause = self.agent_last.map(|last| now - last);
            if pause.is_none_or(|pause| pause > Duration::from_millis(400)) {
                self.agent_stretch = Some(now);
            }
            self.agent_began.get_or_insert(now);
            self.agent_last = Some(now);
        }
    }

    /// A frame of the caller's side.
    fn caller_frame(&mut self) -> Vec<i16> {
        let count = CALLER_RATE.samples_in_ms(FRAME_MS);
        let voiced = count.min(self.speech.len());
        let mut samples: Vec<i16> = self.speech.drain(..voiced).collect();
        samples.resize(count, 0);
        if self.noise > 0 {
            for sample in &mut samples {
                // A linear congruential generator: white enough for a hiss, and the same in every run.
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = i32::from((self.random >> 48) as u16 as i16) * i32::from(self.noise) / 32_768;
                *sample = i16::try_from(i32::from(*sample) + noise).unwrap_or(*sample);
            }
        }
        self.note(0, &samples);
        samples
    }
}

/// The confirmation code that a line tells, letter by letter.
pub(crate) fn code_told(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("confirmation code is ")?;
    rest.split('.').next().map(str::to_owned)
}

/// The caller's end.
#[derive(Debug, Clone)]
pub struct CallerEnd {
    state: Arc<Mutex<State>>,
    events: mpsc::Sender<TransportEvent>,
}

impl CallerEnd {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says these samples, at [`CALLER_RATE`], after what is still to be said; what the agent has said so far is forgotten.
    pub fn say(&self, samples: &[i16]) {
        let mut state = self.state();
        state.speech.extend(samples);
        (state.agent_began, state.caller_last) = (None, None);
    }

    /// The caller's last sound since he was last told what to say, and the agent's first.
    #[must_use]
    pub fn heard(&self) -> (Option<Instant>, Option<Instant>) {
        let state = self.state();
        (state.caller_last, state.agent_began)
    }

    /// How evenly the agent's frames have left since this was asked last.
    #[must_use]
    pub fn take_pace(&self) -> Pace {
        std::mem::take(&mut self.state().pace)
    }

    /// Hangs up; false when the line does not take it.
    #[must_use]
    pub fn hang_up(&self) -> bool {
        self.send(TransportEvent::CallerLeft)
    }

    /// Sends what is no audio; false when it cannot be taken.
    pub(crate) fn send(&self, event: TransportEvent) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// The session's end.
pub struct LineTransport {
    info: CallInfo,
    state: Arc<Mutex<State>>,
    events: mpsc::Receiver<TransportEvent>,
    ticker: Ticker,
    over: bool,
    transfer: TransferOutcome,
}

/// A line, and who is at its ends.
#[must_use]
pub fn line(call_id: &str) -> (LineTransport, CallerEnd) {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let state = Arc::new(Mutex::new(State::default()));
    let info = CallInfo {
        call_id: call_id.into(),
        caller_number: Some("+15550130000".to_owned().into()),
        dialled_number: Some("+15550100".into()),
        ..CallInfo::default()
    };
    let transport =
        LineTransport { info, state: Arc::clone(&state), events, ticker: Ticker::new(), over: false, transfer: TransferOutcome::Accepted };
    (transport, CallerEnd { state, events: sender })
}

impl LineTransport {
    /// This comes of every transfer.
    pub(crate) fn transferring(self, transfer: TransferOutcome) -> Self {
        Self { transfer, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for LineTransport {
    fn info(&self) -> &CallInfo {
        &self.info
    }

    async fn answer(&mut self, _rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError> {
        self.state().answered = Some(Instant::now());
        Ok(Box::new(LineSink(Arc::clone(&self.state))))
    }

    async fn next_event(&mut self) -> TransportEvent {
        if self.over {
            return TransportEvent::Disconnected;
        }
        tokio::select! {
            biased;
            event = self.events.recv() => {
                let event = event.unwrap_or(TransportEvent::Disconnected);
                self.over = matches!(event, TransportEvent::CallerLeft | TransportEvent::Disconnected);
                event
            }
            _ = self.ticker.tick() => TransportEvent::Audio(Frame::new(CALLER_RATE, self.state().caller_frame())),
        }
    }

    async fn set_state(&mut self, state: AgentState) {
        self.state().agent = Some(state);
    }

    async fn publish_transcript(&mut self, line: &TranscriptLine) {
        if line.speaker != Speaker::Agent {
            return;
        }
        let mut state = self.state();
        if let Some(code) = code_told(&line.text) {
            state.code = Some(code);
        }
        match state.lines.iter_mut().find(|(segment, _)| *segment == line.segment) {
            Some((_, text)) => text.clone_from(&line.text),
            None => state.lines.push((line.segment.clone(), line.text.clone())),
        }
    }

    fn transfer(&mut self, _target: &str) -> Pin<Box<dyn Future<Output = TransferOutcome> + Send>> {
        let outcome = self.transfer;
        Box::pin(async move {
            tokio::time::sleep(TRANSFER_TIME).await;
            outcome
        })
    }

    async fn hang_up(&mut self) {
        self.over = true;
        self.state().hung_up.get_or_insert_with(Instant::now);
    }
}

struct LineSink(Arc<Mutex<State>>);

impl AudioSink for LineSink {
    fn write(&mut self, frame: &[i16]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.hung_up.is_none() {
            state.pace.frame(Instant::now());
            state.note(1, frame);
        }
    }
}
