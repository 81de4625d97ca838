//! The voice activity detection of one call.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::engine::{Answer, Job, OpenStream};
use super::gate::{VadEvent, VadGate};
use super::hush::Hush;
use super::inline::judged;
use super::model::{State, fresh_state};
use super::window::{Input, Windows};
use super::{VadError, VadOptions};

/// Most windows that wait while the engine cannot take them: two seconds. Beyond it the oldest are passed over as unknown.
const MAX_PENDING: usize = 64;

/// Stream of one call on a [`super::VadEngine`].
#[derive(Debug)]
pub struct VadStream {
    engine: OpenStream,
    answer_timeout: Duration,
    windows: Windows,
    gate: VadGate,
    hush: Hush,
    /// `None` while a request is under way and carries it.
    state: Option<State>,
    pending: VecDeque<Input>,
    /// Windows dropped between those under way and those pending.
    dropped: u64,
    under_way: Option<UnderWay>,
    /// Found, but not yet returned because a push failed or was cancelled.
    events: Vec<VadEvent>,
}

#[derive(Debug)]
struct UnderWay {
    answer: oneshot::Receiver<Answer>,
    windows: usize,
}

impl VadStream {
    pub(super) fn new(engine: OpenStream, answer_timeout: Duration, options: &VadOptions) -> Result<Self, VadError> {
        Ok(Self {
            engine,
            answer_timeout,
            windows: Windows::new(),
            gate: VadGate::new(options)?,
            hush: Hush::default(),
            state: Some(fresh_state()),
            pending: VecDeque::new(),
            dropped: 0,
            under_way: None,
            events: Vec::new(),
        })
    }

    /// Takes 16 kHz samples in chunks of any size and returns what the windows they fill bring, in order.
    /// Returns at once when no window is full.
    ///
    /// Cancel-safe: dropping the future loses neither samples nor events, the next push brings them.
    ///
    /// # Errors
    /// See [`VadError::is_retryable`]: after a retryable error just push on; the samples given are taken in any case.
    pub async fn push(&mut self, samples: &[i16]) -> Result<Vec<VadEvent>, VadError> {
        let pending = &mut self.pending;
        self.windows.push(samples, |row| pending.push_back(row));
        while self.pending.len() > MAX_PENDING {
            self.pending.pop_front();
            self.dropped += 1;
        }
        self.collect().await?;
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.skip(dropped);
        }
        while let Some(probability) = self.pending.front().and_then(|input| self.hush.verdict(input)) {
            self.pending.pop_front();
            judged(&mut self.gate, probability, &mut self.events);
        }
        if !self.pending.is_empty() {
            self.submit()?;
            self.collect().await?;
        }
        self.engine.rest(self.hush.is_settled());
        Ok(std::mem::take(&mut self.events))
    }

    /// Ends the stream: judges what is left and closes speech in progress.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn finish(mut self) -> Result<Vec<VadEvent>, VadError> {
        let mut events = self.push(&[]).await?;
        events.extend(self.gate.finish());
        Ok(events)
    }

    /// Whether speech has started and not ended.
    #[must_use]
    pub const fn is_speaking(&self) -> bool {
        self.gate.is_speaking()
    }

    /// Samples taken so far, judged or not.
    #[must_use]
    pub fn position(&self) -> u64 {
        let under_way = self.under_way.as_ref().map_or(0, |request| request.windows);
        let windows = (under_way + self.pending.len()) as u64 + self.dropped;
        self.gate.position() + windows * super::WINDOW_SAMPLES as u64 + self.windows.waiting() as u64
    }

    /// Sends all pending windows; keeps them when the engine cannot take them.
    fn submit(&mut self) -> Result<(), VadError> {
        // Without a state its request was lost with the engine's thread.
        let state = self.state.take().ok_or(VadError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let inputs = Vec::from(std::mem::take(&mut self.pending));
        let (windows, hush) = (inputs.len(), self.hush.given(&inputs));
        if let Err((job, error)) = self.engine.submit(Job { inputs, state, reply }) {
            self.pending = job.inputs.into();
            self.state = Some(job.state);
            return Err(error);
        }
        self.under_way = Some(UnderWay { answer, windows });
        self.hush = hush;
        Ok(())
    }

    /// Windows that nobody judged.
    fn skip(&mut self, windows: u64) {
        if windows > 0 {
            self.hush.forget();
        }
        self.gate.skip(windows);
    }

    /// Waits for the request under way, if any, and passes its probabilities through the gate.
    async fn collect(&mut self) -> Result<(), VadError> {
        let Some(request) = &mut self.under_way else {
            return Ok(());
        };
        let Ok(answer) = timeout(self.answer_timeout, &mut request.answer).await else {
            let waited_ms = u64::try_from(self.answer_timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(VadError::Stalled { waited_ms });
        };
        let windows = request.windows;
        self.under_way = None;
        let Ok(Answer { state, probabilities, failure }) = answer else {
            self.skip(windows as u64);
            return Err(VadError::Stopped);
        };
        self.state = Some(state);
        for probability in &probabilities {
            self.hush.judged(*probability);
            judged(&mut self.gate, *probability, &mut self.events);
        }
        self.skip(windows.saturating_sub(probabilities.len()) as u64);
        failure.map_or(Ok(()), |reason| Err(VadError::Inference(reason)))
    }
}
