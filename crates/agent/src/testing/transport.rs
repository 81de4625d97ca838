//! A transport whose caller is told what to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_audio::pace::Ticker;
use frontdesk_audio::{FRAME_MS, Frame, SampleRate};
use frontdesk_conversation::{AgentState, TranscriptLine, TransferOutcome};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::transport::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};

const RATE: SampleRate = SampleRate::HZ_16000;

/// What a call looks like from its other end.
#[derive(Default)]
struct Line {
    /// What the caller still has to say.
    speech: VecDeque<i16>,
    /// Whether the caller's side sends nothing at all, not even silence.
    dry: bool,
    frames: Vec<(Instant, Vec<i16>)>,
    states: Vec<AgentState>,
    transcript: Vec<TranscriptLine>,
    answered: Option<Instant>,
    hung_up: Option<Instant>,
    left: bool,
    /// Where the caller was to go, with the time.
    transfers: Vec<(Instant, String)>,
}

/// A transport for tests.
pub struct FakeTransport {
    info: CallInfo,
    line: Arc<Mutex<Line>>,
    events: mpsc::UnboundedReceiver<TransportEvent>,
    ticker: Ticker,
    over: bool,
    latency: Duration,
    refuse: bool,
    transfer: (Duration, TransferOutcome),
}

/// The caller's end of a [`FakeTransport`].
#[derive(Clone)]
pub struct Caller {
    line: Arc<Mutex<Line>>,
    events: mpsc::UnboundedSender<TransportEvent>,
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeTransport {
    /// A call, and its caller.
    #[must_use]
    pub fn new() -> (Self, Caller) {
        let (sender, events) = mpsc::unbounded_channel();
        let line = Arc::new(Mutex::new(Line::default()));
        let caller = Caller { line: Arc::clone(&line), events: sender };
        let info = CallInfo { call_id: "call-1".into(), caller_number: Some("+15550100".to_string().into()), ..CallInfo::default() };
        let transport = Self {
            info,
            line,
            events,
            ticker: Ticker::new(),
            over: false,
            latency: Duration::ZERO,
            refuse: false,
            transfer: (Duration::ZERO, TransferOutcome::Failed { sip_code: None }),
        };
        (transport, caller)
    }

    /// The sink declares this latency.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// This comes of every transfer, after so long.
    #[must_use]
    pub const fn transferring(mut self, after: Duration, outcome: TransferOutcome) -> Self {
        self.transfer = (after, outcome);
        self
    }

    /// Answering fails.
    #[must_use]
    pub const fn refusing(mut self) -> Self {
        self.refuse = true;
        self
    }
}

#[async_trait]
impl Transport for FakeTransport {
    fn info(&self) -> &CallInfo {
        &self.info
    }

    async fn answer(&mut self, _rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError> {
        if self.refuse {
            return Err(TransportError::Publish("scripted".into()));
        }
        lock(&self.line).answered = Some(Instant::now());
        Ok(Box::new(FakeSink { line: Arc::clone(&self.line), latency: self.latency }))
    }

    async fn next_event(&mut self) -> TransportEvent {
        if self.over {
            return TransportEvent::Disconnected;
        }
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => {
                    self.over = event.end().is_some();
                    return event;
                }
                _ = self.ticker.tick() => {
                    let mut line = lock(&self.line);
                    if line.dry {
                        continue;
                    }
                    let count = RATE.samples_in_ms(FRAME_MS);
                    let voiced = count.min(line.speech.len());
                    let mut samples: Vec<i16> = line.speech.drain(..voiced).collect();
                    samples.resize(count, 0);
                    return TransportEvent::Audio(Frame::new(RATE, samples));
                }
            }
        }
    }

    async fn set_state(&mut self, state: AgentState) {
        lock(&self.line).states.push(state);
    }

    async fn publish_transcript(&mut self, line: &TranscriptLine) {
        lock(&self.line).transcript.push(line.clone());
    }

    fn transfer(&mut self, target: &str) -> BoxFuture<'static, TransferOutcome> {
        lock(&self.line).transfers.push((Instant::now(), target.into()));
        let (after, outcome) = self.transfer;
        Box::pin(async move {
            sleep(after).await;
            outcome
        })
    }

    async fn hang_up(&mut self) {
        self.over = true;
        lock(&self.line).hung_up.get_or_insert_with(Instant::now);
    }

    async fn leave(&mut self) {
        self.over = true;
        lock(&self.line).left = true;
    }
}

struct FakeSink {
    line: Arc<Mutex<Line>>,
    latency: Duration,
}

impl AudioSink for FakeSink {
    fn write(&mut self, frame: &[i16]) {
        lock(&self.line).frames.push((Instant::now(), frame.to_vec()));
    }

    fn latency(&self) -> Duration {
        self.latency
    }
}

impl Caller {
    /// Says the phrase of that number for so long, after what is still to be said.
    pub fn say(&self, phrase: i16, length: Duration) {
        lock(&self.line).speech.extend(std::iter::repeat_n(phrase, RATE.samples_in(length)));
    }

    /// From now on no audio is sent, or it is again.
    pub fn set_dry(&self, dry: bool) {
        lock(&self.line).dry = dry;
    }

    /// Presses a key.
    pub fn press(&self, digit: char) {
        let _ = self.events.send(TransportEvent::Dtmf(digit));
    }

    /// Has the transport report this.
    pub fn tell(&self, event: TransportEvent) {
        let _ = self.events.send(event);
    }

    /// Leaves.
    pub fn hang_up(&self) {
        let _ = self.events.send(TransportEvent::CallerLeft);
    }

    /// Takes the agent out of the call.
    pub fn remove_agent(&self) {
        let _ = self.events.send(TransportEvent::Removed);
    }

    /// Whether the agent left the call to somebody else.
    #[must_use]
    pub fn was_left(&self) -> bool {
        lock(&self.line).left
    }

    /// Every frame that was written, with its time.
    #[must_use]
    pub fn frames(&self) -> Vec<(Instant, Vec<i16>)> {
        lock(&self.line).frames.clone()
    }

    /// What was heard, silence left out.
    #[must_use]
    pub fn voice(&self) -> Vec<i16> {
        lock(&self.line).frames.iter().flat_map(|(_, frame)| frame).copied().filter(|&sample| sample != 0).collect()
    }

    /// Whether the last frame held voice.
    #[must_use]
    pub fn hears_voice(&self) -> bool {
        lock(&self.line).frames.last().is_some_and(|(_, frame)| frame.iter().any(|&sample| sample != 0))
    }

    /// Waits until the agent speaks.
    pub async fn hears(&self) {
        while !self.hears_voice() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the agent has been silent for 400 ms.
    pub async fn hears_the_end(&self) {
        let mut silent = 0;
        while silent < 20 {
            silent = if self.hears_voice() { 0 } else { silent + 1 };
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the agent was said to do.
    #[must_use]
    pub fn states(&self) -> Vec<AgentState> {
        lock(&self.line).states.clone()
    }

    /// The lines that were published.
    #[must_use]
    pub fn transcript(&self) -> Vec<TranscriptLine> {
        lock(&self.line).transcript.clone()
    }

    /// When the call was answered.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        lock(&self.line).answered
    }

    /// Where the caller was to be transferred, and when.
    #[must_use]
    pub fn transfers(&self) -> Vec<(Instant, String)> {
        lock(&self.line).transfers.clone()
    }

    /// When the agent hung up.
    #[must_use]
    pub fn was_hung_up(&self) -> Option<Instant> {
        lock(&self.line).hung_up
    }
}
