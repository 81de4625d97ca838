//! The stereo recording: caller left, agent right, 16 kHz, both on the call's clock, written off the hot path.

mod mix;

use std::path::PathBuf;

use frontdesk_audio::resample::Resampler;
use frontdesk_audio::wav::{StereoWriter, WavError};
use frontdesk_audio::{FRAME_MS, SampleRate};
use frontdesk_conversation::CallTime;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::hearing::clock::HEARING_RATE;
use crate::incidents::Incidents;
use crate::playout::FrameTap;
use mix::Mix;

/// Frames that wait for the disk at most, about 2.5 s; what comes beyond is recorded as silence.
const QUEUE: usize = 256;

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
    path: PathBuf,
    rate: SampleRate,
    pieces: mpsc::Receiver<Piece>,
    incidents: Incidents,
}

impl Recorder {
    /// A recording at `path`; `rate` is that of the agent's frames. It ends when both taps are dropped.
    #[must_use]
    pub(crate) fn new(path: PathBuf, rate: SampleRate, incidents: Incidents) -> (CallerTap, Box<dyn FrameTap>, Self) {
        let (pieces, queue) = mpsc::channel(QUEUE);
        let agent = AgentTap { pieces: pieces.clone(), missed: 0 };
        (CallerTap { pieces }, Box::new(agent), Self { path, rate, pieces: queue, incidents })
    }

    /// Writes until both taps are dropped; the path, or `None` when nothing usable was written.
    pub(crate) async fn run(mut self) -> Option<PathBuf> {
        let written = self.write().await;
        match written {
            Ok(()) => Some(self.path),
            Err(error) => {
                tracing::warn!(%error, "the recording failed");
                self.incidents.note("recording: failed");
                // The taps must not find a full queue for the rest of the call; what they send is dropped.
                while self.pieces.recv().await.is_some() {}
                None
            }
        }
    }

    async fn write(&mut self) -> Result<(), RecordingError> {
        let path = self.path.clone();
        let mut writer = spawn_blocking(move || create(&path)).await??;
        let mut resampler = Resampler::new(self.rate, HEARING_RATE);
        let mut mix = Mix::default();
        while let Some(piece) = self.pieces.recv().await {
            match piece {
                Piece::Caller { at, samples } => mix.caller(HEARING_RATE.samples_in(at.since(CallTime::ZERO)) as u64, &samples),
                Piece::Agent { frame, missed } => {
                    mix.agent_silence(HEARING_RATE.samples_in_ms(FRAME_MS) * missed as usize);
                    mix.agent(&resampler.process(&frame));
                }
            }
            if let Some((left, right)) = mix.take_settled() {
                writer = spawn_blocking(move || {
                    writer.write(&left, &right)?;
                    // The file is whole up to here even if the process dies.
                    writer.flush().map(|()| writer)
                })
                .await??;
            }
        }
        mix.agent(&resampler.flush());
        let (left, right) = mix.take_rest();
        spawn_blocking(move || writer.write(&left, &right).and_then(|()| writer.finalize())).await??;
        Ok(())
    }
}

fn create(path: &std::path::Path) -> Result<StereoWriter, WavError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(WavError::Io)?;
    }
    StereoWriter::create(path, HEARING_RATE)
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
enum RecordingError {
    /// The disk refused.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The runtime is shutting down.
    #[error("the writing thread is gone")]
    Thread(#[from] tokio::task::JoinError),
}
