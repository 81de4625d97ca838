//! What waits to be sent: samples in order, cut into frames at each tick.

use std::collections::VecDeque;

use super::FRAME_SAMPLES;

/// One frame to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) samples: [i16; FRAME_SAMPLES],
    /// Nothing was queued before it.
    pub(super) starts_spurt: bool,
    /// Samples of it that were queued; the rest is padding.
    pub(super) length: usize,
}

/// The samples that a session has yet to send.
#[derive(Debug)]
pub(super) struct SendQueue {
    samples: VecDeque<i16>,
    samples_max: usize,
    /// Samples gathered before a spurt begins, so that a writer's unevenness does not tear it.
    prebuffer: usize,
    is_playing: bool,
    /// Ticks since the first sample of the spurt to come was seen.
    waited: usize,
}

impl SendQueue {
    pub(super) fn new(samples_max: usize, prebuffer: usize) -> Self {
        let samples_max = samples_max.max(FRAME_SAMPLES);
        Self { samples: VecDeque::new(), samples_max, prebuffer: prebuffer.min(samples_max), is_playing: false, waited: 0 }
    }

    /// Takes as many samples as there is room for, and returns how many.
    pub(super) fn push(&mut self, samples: &[i16]) -> usize {
        let taken = samples.len().min(self.samples_max - self.samples.len());
        self.samples.extend(&samples[..taken]);
        taken
    }

    /// The frame of one tick; `None` for silence.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        if self.samples.is_empty() {
            self.is_playing = false;
            self.waited = 0;
            return None;
        }
        let starts_spurt = !self.is_playing;
        if starts_spurt {
            let is_ready = self.samples.len() >= self.prebuffer.max(1) || self.waited * FRAME_SAMPLES >= self.prebuffer;
            if !is_ready {
                self.waited += 1;
                return None;
            }
            self.is_playing = true;
            self.waited = 0;
        }
        let length = self.samples.len().min(FRAME_SAMPLES);
        let mut samples = [0; FRAME_SAMPLES];
        for (slot, sample) in samples.iter_mut().zip(self.samples.drain(..length)) {
            *slot = sample;
        }
        Some(Outgoing { samples, starts_spurt, length })
    }

    /// Drops everything; returns how many samples.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.samples.len();
        self.samples.clear();
        self.is_playing = false;
        self.waited = 0;
        dropped
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it was written, what comes out is what went in.
        #[test]
        fn samples_come_out_whole_and_in_order(chunks in prop::collection::vec(1usize..700, 1..40), prebuffer in 0usize..1000) {
            let mut queue = SendQueue::new(100_000, prebuffer);
            let total: usize = chunks.iter().sum();
            let written: Vec<i16> = (0..total).map(|n| (n % 30_000) as i16 + 1).collect();
            let mut at = 0;
            for chunk in chunks {
                prop_assert_eq!(queue.push(&written[at..at + chunk]), chunk);
                at += chunk;
            }
            let mut sent = Vec::new();
            let mut silent = 0;
            while queue.len() > 0 {
                match queue.pop() {
                    Some(frame) => {
                        prop_assert_eq!(frame.starts_spurt, sent.is_empty());
                        sent.extend_from_slice(&frame.samples[..frame.length]);
                    }
                    None => silent += 1,
                }
            }
            prop_assert_eq!(sent, written);
            prop_assert!(silent * FRAME_SAMPLES < prebuffer + FRAME_SAMPLES);
        }
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let mut queue = SendQueue::new(320, 0);
        assert_eq!(queue.push(&[1; 500]), 320);
        assert_eq!(queue.push(&[1; 500]), 0);
        queue.pop();
        assert_eq!(queue.push(&[1; 500]), 160);
        assert_eq!(queue.clear(), 320);
        assert_eq!(queue.pop(), None);
    }
}
