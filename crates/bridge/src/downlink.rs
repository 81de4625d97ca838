//! From the room to the caller: the tracks are mixed and handed to the RTP session, whose queue absorbs their unevenness.
//!
//! The session sends by its own clock, and the room's frames come by another. On a clean stream every sample that comes in
//! goes out, in order. What a stall has piled up is given back only where nobody speaks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frontdesk_telephony::rtp::RtpSession;

use crate::mixer::{Mixer, SourceId};

/// Audio that the RTP session gathers before a talk spurt, in milliseconds: so much unevenness of the room is absorbed.
pub(crate) const PREBUFFER_MS: u32 = 40;
/// Audio that may wait in the RTP session, in milliseconds; beyond, the newest is dropped.
pub(crate) const QUEUE_MAX_MS: u32 = 1000;
/// More waiting than this is a delay worth getting rid of.
const WAITING_MAX: Duration = Duration::from_millis(120);
/// Silence is shortened only after so many samples of it (200 ms): pauses within words are shorter.
const QUIET_BEFORE: usize = 1600;
/// Loudest sample of silence: about −50 dBFS.
const QUIET_MAX: u16 = 100;
/// Samples kept before the call is answered: 1 s.
const HELD_MAX: usize = 8000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Downlink(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    mixer: Mixer,
    quiet: QuietRun,
    /// What came before there was a session.
    held: VecDeque<i16>,
    session: Option<RtpSession>,
    counts: DownlinkCounts,
}

/// What was not played, in samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DownlinkCounts {
    /// Silence left out to shorten the delay.
    pub(crate) trimmed: u64,
    /// Audio lost because the queue was full.
    pub(crate) lost: u64,
}

impl Downlink {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Samples of a track, at 8 kHz.
    pub(crate) fn push(&self, source: SourceId, samples: &[i16]) {
        let mut state = self.lock();
        let mixed = state.mixer.push(source, samples);
        state.play(&mixed);
    }

    /// A track has ended.
    pub(crate) fn end(&self, source: SourceId) {
        let mut state = self.lock();
        let rest = state.mixer.end(source);
        state.play(&rest);
    }

    /// The caller can hear from now on. What was said before follows, without the silence in front of it.
    pub(crate) fn connect(&self, session: RtpSession) {
        let mut state = self.lock();
        let held: Vec<i16> = std::mem::take(&mut state.held).into();
        state.session = Some(session);
        state.play(without_leading_silence(&held));
    }

    pub(crate) fn counts(&self) -> DownlinkCounts {
        self.lock().counts
    }
}

impl State {
    fn play(&mut self, samples: &[i16]) {
        let Some(session) = &self.session else {
            self.held.extend(samples);
            let surplus = self.held.len().saturating_sub(HELD_MAX);
            self.held.drain(..surplus);
            return;
        };
        if samples.is_empty() {
            return;
        }
        if self.quiet.is_spare(samples) && session.queued() > WAITING_MAX {
            self.counts.trimmed += samples.len() as u64;
            return;
        }
        let taken = session.try_write(samples);
        self.counts.lost += (samples.len() - taken) as u64;
    }
}

/// How long nobody has spoken.
#[derive(Debug, Default)]
struct QuietRun(usize);

impl QuietRun {
    /// Takes the next samples; whether they are silence after enough of it.
    fn is_spare(&mut self, samples: &[i16]) -> bool {
        if !is_quiet(samples) {
            self.0 = 0;
            return false;
        }
        let before = self.0;
        self.0 = before.saturating_add(samples.len());
        before >= QUIET_BEFORE
    }
}

/// Whether nobody speaks in these samples.
pub(crate) fn is_quiet(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.unsigned_abs() <= QUIET_MAX)
}

/// From 20 ms before the first sound on; a soft beginning is not clipped.
fn without_leading_silence(samples: &[i16]) -> &[i16] {
    let first = samples.chunks(160).position(|chunk| !is_quiet(chunk));
    first.map_or(&[], |chunk| &samples[chunk.saturating_sub(1) * 160..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_spare_only_after_a_pause() {
        let mut quiet = QuietRun::default();
        assert!(!quiet.is_spare(&[5000; 160]));
        assert!((0..10).all(|_| !quiet.is_spare(&[3; 160])), "a pause within a word");
        assert!(quiet.is_spare(&[3; 160]));
        assert!(!quiet.is_spare(&[5000; 160]));
        assert!(!quiet.is_spare(&[3; 160]));
    }

    #[test]
    fn what_was_said_before_the_answer_loses_its_silence_only() {
        let mut held = vec![2; 800];
        held.extend([4000; 320]);
        held.extend([1; 160]);
        assert_eq!(without_leading_silence(&held), &held[640..]);
        assert!(without_leading_silence(&[7; 400]).is_empty());
        assert_eq!(without_leading_silence(&[4000; 10]).len(), 10);
    }

    #[test]
    fn audio_before_the_answer_is_bounded() {
        let downlink = Downlink::default();
        for n in 0..200_i16 {
            downlink.push(1, &[1000 + n; 160]);
        }
        let state = downlink.lock();
        assert_eq!((state.held.len(), state.held.back()), (HELD_MAX, Some(&1199)));
    }
}
