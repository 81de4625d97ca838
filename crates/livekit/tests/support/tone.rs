//! Tones to send, and what is heard of them.

use std::f64::consts::TAU;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::room::{AudioPublisher, RemoteAudio};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Ticks every 20 ms. A busy machine may stop us for a while: a burst afterwards would overflow the publisher's queue.
pub fn ticker() -> Interval {
    let mut ticker = tokio::time::interval(Duration::from_millis(20));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// Sends a tone of `hz`, one frame every 20 ms, until the guard is dropped.
pub fn play(mut publisher: AudioPublisher, hz: f64) -> DropGuard {
    let stop = CancellationToken::new();
    let rate = publisher.rate();
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        let mut ticker = ticker();
        let mut sample = 0u32;
        loop {
            ticker.tick().await;
            let frame: Vec<i16> = (0..rate.samples_in_ms(20))
                .map(|_| {
                    sample += 1;
                    (12_000.0 * (TAU * hz * f64::from(sample) / f64::from(rate.hz())).sin()) as i16
                })
                .collect();
            let _ = publisher.write(&frame);
        }
    }));
    stop.drop_guard()
}

/// Takes `length` of audio.
pub async fn record(audio: &mut RemoteAudio, length: Duration) -> Vec<i16> {
    let wanted = (length.as_millis() as usize) * audio.rate().hz() as usize / 1000;
    let mut samples = Vec::with_capacity(wanted);
    super::within("audio", async {
        while samples.len() < wanted {
            samples.extend(audio.recv().await.expect("the track goes on").samples);
        }
    })
    .await;
    samples
}

/// Listens for `length` of time; the longest that nothing came.
pub async fn longest_gap(audio: &mut RemoteAudio, length: Duration) -> Duration {
    let began = Instant::now();
    let (mut last, mut longest) = (began, Duration::ZERO);
    while began.elapsed() < length {
        let frame = tokio::time::timeout_at(began + length, audio.recv()).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if let Ok(frame) = frame {
            frame.expect("the track goes on");
        }
    }
    longest
}

/// The pitch by upward zero crossings, in Hz.
pub fn pitch(samples: &[i16], rate: SampleRate) -> f64 {
    let crossings = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    crossings as f64 * f64::from(rate.hz()) / samples.len() as f64
}

/// How many pieces of 10 ms are next to silent.
pub fn silent_pieces(samples: &[i16], rate: SampleRate) -> usize {
    samples.chunks(rate.samples_in_ms(10)).filter(|piece| piece.iter().all(|s| s.unsigned_abs() < 1000)).count()
}

/// 20 ms of a tone that begins at a zero crossing.
pub fn sine(hz: f64, rate: SampleRate) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate.hz());
    (0..rate.samples_in_ms(20)).map(|i| (12_000.0 * (step * i as f64).sin()) as i16).collect()
}
