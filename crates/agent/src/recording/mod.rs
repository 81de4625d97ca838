//! The stereo recording: caller left, agent right, 16 kHz, both on the call's clock, written off the hot path.
//!
//! Where it goes is behind a trait ([`RecordingVault`]), since what holds health data must not lie on a disk as it is. Nothing is
//! recorded before the caller's consent ([`RecordingConsent`]), and what was recorded is discarded when he refuses.

mod consent;
mod folder;
mod mix;

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_audio::resample::Resampler;
use frontdesk_audio::wav::WavError;
use frontdesk_audio::{FRAME_MS, SampleRate};
use frontdesk_conversation::CallTime;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

pub use consent::{Consent, RecordingConsent};
pub use folder::PlainFolder;

use crate::hearing::clock::HEARING_RATE;
use crate::incidents::Incidents;
use crate::playout::FrameTap;
use mix::Mix;

/// Frames that wait for the disk at most, about 2.5 s; what comes beyond is recorded as silence.
const QUEUE: usize = 256;

/// Where recordings are kept.
#[async_trait]
pub trait RecordingVault: Send + Sync {
    /// Begins the recording of a call, or a further part of it. Bounded in time by whoever implements it.
    async fn create(&self, part: &RecordingPart) -> Result<Box<dyn RecordingFile>, RecordingError>;
}

/// A recording that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingPart {
    /// The call's pseudonymous id.
    pub call_id: String,
    /// Where its first sample belongs on the call's clock, ms since the answer: not zero if consent came later, or if another worker
    /// had the call before.
    pub begins_ms: u64,
    /// Rate of both sides.
    pub rate_hz: u32,
}

impl RecordingPart {
    /// What its file is called, without extension: the call's id, whatever could leave the folder replaced, and where it begins.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let part = if self.begins_ms >= 1000 { format!("-from-{}s", self.begins_ms / 1000) } else { String::new() };
        safe_name(&format!("{}{part}", self.call_id))
    }
}

/// One recording that is being written; its methods block, and are called off the runtime.
pub trait RecordingFile: Send {
    /// Appends both sides, samples of 16 bits. What was written is readable even if the process dies after this.
    fn write(&mut self, left: &[i16], right: &[i16]) -> Result<(), RecordingError>;

    /// Completes it; where it is, for the call's record.
    fn finish(self: Box<Self>) -> Result<String, RecordingError>;

    /// Removes it, and whatever else of the call's recording is at hand.
    fn discard(self: Box<Self>) -> Result<(), RecordingError>;
}

/// Whether and where a call is recorded.
#[derive(Clone)]
pub struct RecordingOptions {
    /// Where to.
    pub vault: Arc<dyn RecordingVault>,
    /// What the caller says to it.
    pub consent: RecordingConsent,
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The disk refused: look for space and permissions.
    #[error("the disk refused")]
    Disk(#[source] std::io::Error),
    /// The audio cannot be written as WAV.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The key that seals it cannot be had, or nothing can be sealed with it; without, nothing is recorded.
    #[error("the recording cannot be sealed: {0}")]
    Seal(String),
    /// The runtime is shutting down.
    #[error("the writing thread is gone")]
    Thread(#[from] tokio::task::JoinError),
}

impl From<std::io::Error> for RecordingError {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

enum Piece {
    Caller { at: CallTime, samples: Vec<i16> },
    Agent { frame: Vec<i16>, missed: u32 },
}

/// Takes the caller's side.
#[derive(Clone)]
pub(crate) struct CallerTap {
    pieces: mpsc::Sender<Piece>,
}

impl CallerTap {
    /// Audio at 16 kHz whose first sample was heard at `at`. What does not fit the queue is recorded as silence.
    pub(crate) fn heard(&self, at: CallTime, samples: &[i16]) {
        let _ = self.pieces.try_send(Piece::Caller { at, samples: samples.to_vec() });
    }
}

/// Takes the agent's side from the pacer.
struct AgentTap {
    pieces: mpsc::Sender<Piece>,
    missed: u32,
}

impl FrameTap for AgentTap {
    fn frame(&mut self, frame: &[i16], missed: u32) {
        self.missed = self.missed.saturating_add(missed);
        let piece = Piece::Agent { frame: frame.to_vec(), missed: self.missed };
        // A frame that does not fit becomes silence later, so that the rest stays in its place.
        self.missed = if self.pieces.try_send(piece).is_ok() { 0 } else { self.missed.saturating_add(1) };
    }
}

/// The task that writes one recording.
pub(crate) struct Recorder {
    options: RecordingOptions,
    call_id: String,
    /// When on the call's clock the agent's first frame leaves.
    origin: CallTime,
    /// Of the agent's frames.
    rate: SampleRate,
    pieces: mpsc::Receiver<Piece>,
    incidents: Incidents,
}

impl Recorder {
    /// A recording of the call whose audio begins at `origin` on its clock; `rate` is that of the agent's frames. It ends when both
    /// taps are dropped.
    #[must_use]
    pub(crate) fn new(
        options: RecordingOptions,
        call_id: &str,
        (origin, rate): (CallTime, SampleRate),
        incidents: Incidents,
    ) -> (CallerTap, Box<dyn FrameTap>, Self) {
        let (pieces, queue) = mpsc::channel(QUEUE);
        let agent = AgentTap { pieces: pieces.clone(), missed: 0 };
        let recorder = Self { options, call_id: call_id.into(), origin, rate, pieces: queue, incidents };
        (CallerTap { pieces }, Box::new(agent), recorder)
    }

    /// Writes until both taps are dropped; where it is, or `None` when nothing usable was written or the caller did not consent.
    pub(crate) async fn run(mut self) -> Option<String> {
        let place = match self.write().await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(%error, "the recording failed");
                self.incidents.note("recording: failed");
                None
            }
        };
        // The taps must not find a full queue for the rest of the call; what they send is dropped.
        while self.pieces.recv().await.is_some() {}
        place
    }

    async fn write(&mut self) -> Result<Option<String>, RecordingError> {
        let mut consent = self.options.consent.watch();
        let mut resampler = Resampler::new(self.rate, HEARING_RATE);
        let mut mix = Mix::default();
        let mut file = None;
        loop {
            let said = *consent.borrow_and_update();
            if said == Consent::Refused {
                return discard(file).await;
            }
            if said == Consent::Given && file.is_none() {
                let begins_ms = self.origin.as_millis() + mix.done() / u64::from(HEARING_RATE.hz() / 1000);
                let part = RecordingPart { call_id: self.call_id.clone(), begins_ms, rate_hz: HEARING_RATE.hz() };
                file = Some(self.options.vault.create(&part).await?);
            }
            let piece = tokio::select! {
                biased;
                Ok(()) = consent.changed() => continue,
                piece = self.pieces.recv() => piece,
            };
            let Some(piece) = piece else { break };
            mix_in(&mut mix, &mut resampler, piece, (self.origin, file.is_some()));
            if let Some((left, right)) = mix.take_settled()
                && let Some(mut writer) = file.take()
            {
                file = Some(spawn_blocking(move || writer.write(&left, &right).map(|()| writer)).await??);
            }
        }
        let Some(mut writer) = file else { return Ok(None) };
        mix.agent(&resampler.flush());
        let (left, right) = mix.take_rest();
        let finished = spawn_blocking(move || writer.write(&left, &right).and_then(|()| writer.finish()));
        finished.await?.map(Some)
    }
}

/// Puts a piece in its place; before the caller's consent, silence of the same length.
fn mix_in(mix: &mut Mix, resampler: &mut Resampler, piece: Piece, (origin, is_allowed): (CallTime, bool)) {
    match piece {
        Piece::Caller { at, samples } if is_allowed => mix.caller(HEARING_RATE.samples_in(at.since(origin)) as u64, &samples),
        // Its place is silence, once the agent's side has come so far.
        Piece::Caller { .. } => {}
        Piece::Agent { mut frame, missed } => {
            if !is_allowed {
                frame.fill(0);
            }
            mix.agent_silence(HEARING_RATE.samples_in_ms(FRAME_MS) * missed as usize);
            mix.agent(&resampler.process(&frame));
        }
    }
}

async fn discard(file: Option<Box<dyn RecordingFile>>) -> Result<Option<String>, RecordingError> {
    if let Some(file) = file {
        spawn_blocking(move || file.discard()).await??;
    }
    Ok(None)
}

/// A file's name for a call: whatever could leave the folder is replaced.
pub(crate) fn safe_name(call_id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    call_id.chars().map(safe).take(128).collect()
}
