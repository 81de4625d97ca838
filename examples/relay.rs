//! Speech relay: the caller's samples go to a service that answers with samples, without recogniser, model and synthesiser between.
//!
//! Here the service is a parrot, which says again what it has heard once the caller pauses; a speech-to-speech service takes its place.

use std::collections::VecDeque;
use std::time::Duration;

use frontdesk::agents::{Calls, CommandError, JobFailure, SampleRate, Transport, TransportEvent, run};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Samples at 16 kHz: 20 ms, the silence that is a pause, and what is kept at most.
const FRAME: usize = 320;
const PAUSE: usize = 25 * FRAME;
const KEPT: usize = 1_000 * FRAME;

#[derive(Default)]
struct Parrot {
    heard: VecDeque<i16>,
    quiet: usize,
}

impl Parrot {
    fn hear(&mut self, samples: &[i16]) {
        let loud = samples.iter().any(|sample| sample.unsigned_abs() > 500);
        self.quiet = if loud { 0 } else { self.quiet + samples.len() };
        self.heard.extend(samples.iter().filter(|_| loud).take(KEPT.saturating_sub(self.heard.len())));
    }

    fn say(&mut self) -> Vec<i16> {
        let ready = if self.quiet < PAUSE { 0 } else { FRAME.min(self.heard.len()) };
        self.heard.drain(..ready).chain(std::iter::repeat(0)).take(FRAME).collect()
    }
}

pub(crate) async fn relay(mut line: Box<dyn Transport>, stop: CancellationToken) -> Result<(), JobFailure> {
    let mut out = line.answer(SampleRate::HZ_16000).await.map_err(|error| JobFailure(error.to_string()))?;
    let (mut parrot, mut clock) = (Parrot::default(), interval(Duration::from_millis(20)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = clock.tick() => out.write(&parrot.say()),
            event = line.next_event() => match event {
                TransportEvent::Audio(frame) => parrot.hear(&frame.samples),
                event if event.end().is_some() => break,
                _ => {}
            },
        }
    }
    line.hang_up().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), CommandError> {
    run("parrot", Calls::by_hand(relay)).await
}
