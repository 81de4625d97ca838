//! The apology that is played when a conversation cannot be had: PCM that needs no provider.

use std::time::Duration;

use frontdesk_audio::resample::convert;
use frontdesk_conversation::{CallSummary, CallTime, EndReason, ReplyId, SaidLine, Speaker, UtteranceId};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::close::blank_summary;
use super::options::SessionOptions;
use crate::playout::{Playout, PlayoutEvent, PlayoutLimits};
use crate::transport::{AudioSink, Transport, TransportEvent};

/// More than the apology's own length is never waited for.
const MARGIN: Duration = Duration::from_secs(3);

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
    let samples = if fallback.audio.rate == rate {
        fallback.audio.samples.clone()
    } else {
        convert(&fallback.audio.samples, fallback.audio.rate, rate)
    };
    // The whole apology is there at once, so no bound is kept.
    let (playout, utterance) = (Playout::new(rate, PlayoutLimits::default()), UtteranceId(0));
    playout.enqueue(utterance, ReplyId(0));
    playout.push(utterance, &samples);
    playout.complete(utterance);
    let helpers = CancellationToken::new();
    let limit = Instant::now() + rate.duration(samples.len()) + MARGIN;
    let began = epoch.elapsed();
    let listen = async {
        loop {
            tokio::select! {
                event = playout.next_event() => if event == PlayoutEvent::Finished(utterance) {
                    sleep(options.limits.drain).await;
                    return EndReason::Failed;
                },
                event = transport.next_event() => if matches!(event, TransportEvent::CallerLeft | TransportEvent::Disconnected) {
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
    let line = SaidLine {
        speaker: Speaker::Agent,
        text: fallback.text.clone(),
        start: CallTime::ZERO + began,
        end: ended_at,
        words: Vec::new(),
        interrupted: end != EndReason::Failed,
    };
    CallSummary { transcript: vec![line], ..blank_summary(end, ended_at) }
}
