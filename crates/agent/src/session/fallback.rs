//! The apology that is played when a conversation cannot be had: PCM that needs no provider.

use std::time::Duration;

use frontdesk_audio::resample::convert;
use frontdesk_audio::{FRAME_MS, SampleRate};
use frontdesk_conversation::{CallSummary, CallTime, EndReason, ReplyId, SaidLine, Speaker, UtteranceId};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::close::blank_summary;
use super::driver::Driver;
use super::options::{Fallback, SessionOptions};
use crate::playout::{Playout, PlayoutEvent, PlayoutLimits};
use crate::transport::{AudioSink, Transport, TransportEvent};

/// More than the apology's own length is never waited for.
const MARGIN: Duration = Duration::from_secs(3);

/// No conversation gets as far as this.
const UTTERANCE: UtteranceId = UtteranceId(u32::MAX);

/// Puts the apology into a playout; how long it is. All of it is there at once, so no bound is kept.
fn queue(fallback: &Fallback, playout: &Playout, rate: SampleRate) -> Duration {
    playout.enqueue(UTTERANCE, ReplyId(u32::MAX));
    if fallback.audio.rate == rate {
        playout.push(UTTERANCE, &fallback.audio.samples);
    } else {
        playout.push(UTTERANCE, &convert(&fallback.audio.samples, fallback.audio.rate, rate));
    }
    playout.complete(UTTERANCE).unwrap_or_default()
}

impl Driver {
    /// Plays the apology in a call whose synthesiser or conversation is gone; when it will have been heard.
    pub(super) fn apologise(&mut self) -> Instant {
        let now = Instant::now();
        let Some(fallback) = self.parts.fallback.clone() else { return now };
        if self.apology.is_some() || self.caller_gone {
            return now;
        }
        let length = queue(&fallback, &self.parts.playout, self.parts.rate);
        let start = self.now();
        self.apology = Some(said(&fallback, start, start + length));
        // The frame on its way when it was queued, and the one of its last sample.
        now + length + 2 * Duration::from_millis(FRAME_MS.into())
    }
}

fn said(fallback: &Fallback, start: CallTime, end: CallTime) -> SaidLine {
    SaidLine { speaker: Speaker::Agent, text: fallback.text.clone(), start, end, words: Vec::new(), interrupted: false }
}

/// Plays the apology to its end, unless the caller leaves or the session is stopped before.
pub(super) async fn play(
    options: &SessionOptions,
    transport: &mut dyn Transport,
    sink: Box<dyn AudioSink>,
    epoch: Instant,
    stop: &CancellationToken,
) -> CallSummary {
    let Some(fallback) = &options.fallback else { return blank_summary(EndReason::Failed, CallTime::ZERO + epoch.elapsed()) };
    let rate = options.tts.rate;
    let playout = Playout::new(rate, PlayoutLimits::default());
    let length = queue(fallback, &playout, rate);
    let helpers = CancellationToken::new();
    let limit = Instant::now() + length + MARGIN;
    let began = epoch.elapsed();
    let listen = async {
        loop {
            tokio::select! {
                event = playout.next_event() => if event == PlayoutEvent::Finished(UTTERANCE) {
                    sleep(options.limits.drain).await;
                    return EndReason::Failed;
                },
                event = transport.next_event() => if matches!(event, TransportEvent::CallerLeft | TransportEvent::Disconnected | TransportEvent::Removed) {
                    return EndReason::CallerHungUp;
                },
                () = stop.cancelled() => return EndReason::Stopped,
                () = sleep_until(limit) => return EndReason::Failed,
            }
        }
    };
    let end = tokio::select! {
        end = listen => end,
        () = playout.clone().run(sink, None, helpers) => EndReason::Failed,
    };
    let ended_at = CallTime::ZERO + epoch.elapsed();
    let line = SaidLine { interrupted: end != EndReason::Failed, ..said(fallback, CallTime::ZERO + began, ended_at) };
    CallSummary { transcript: vec![line], ..blank_summary(end, ended_at) }
}
