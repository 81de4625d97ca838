//! Several voices become one, without a clock. Sans-I/O.
//!
//! One track leads: what it brings goes out at once, so that a call with one agent's track has no delay and no second clock
//! here. What other tracks bring (background audio) waits a little and is added to the leader's samples as those pass. A
//! leader that pauses is replaced by whoever piles up. A track's own samples are neither dropped nor repeated nor reordered.

use std::collections::VecDeque;

/// Number of a track within its call.
pub(crate) type SourceId = u32;

/// Samples that a following track gathers before it is heard: 60 ms of unevenness are absorbed.
const PREBUFFER: usize = 480;
/// A follower with more than this waiting leads from now on: the leader has paused. 160 ms.
const TAKEOVER: usize = 1280;

#[derive(Debug, Default)]
struct Source {
    id: SourceId,
    waiting: VecDeque<i16>,
    /// Whether it is being added to the leader; after running dry it gathers anew.
    is_playing: bool,
}

/// The mix of a call's remote tracks at 8 kHz.
#[derive(Debug, Default)]
pub(crate) struct Mixer {
    sources: Vec<Source>,
    leader: Option<SourceId>,
}

impl Mixer {
    /// Takes samples of a track; returns what is to be played now.
    pub(crate) fn push(&mut self, id: SourceId, samples: &[i16]) -> Vec<i16> {
        if !self.sources.iter().any(|source| source.id == id) {
            self.sources.push(Source { id, ..Source::default() });
        }
        let leader = *self.leader.get_or_insert(id);
        let Some(source) = self.sources.iter_mut().find(|source| source.id == id) else { return Vec::new() };
        source.waiting.extend(samples);
        if leader != id {
            if source.waiting.len() <= TAKEOVER {
                return Vec::new();
            }
            self.leader = Some(id);
        }
        source.is_playing = false;
        let mut mixed: Vec<i16> = source.waiting.drain(..).collect();
        for other in self.sources.iter_mut().filter(|source| source.id != id) {
            other.add_to(&mut mixed);
        }
        mixed
    }

    /// A track has ended; returns what it had left to say.
    pub(crate) fn end(&mut self, id: SourceId) -> Vec<i16> {
        let Some(at) = self.sources.iter().position(|source| source.id == id) else { return Vec::new() };
        let ended = self.sources.swap_remove(at);
        if self.leader == Some(id) {
            self.leader = self.sources.iter().max_by_key(|source| source.waiting.len()).map(|source| source.id);
        }
        let mut rest: Vec<i16> = ended.waiting.into();
        if !rest.is_empty() && !self.sources.is_empty() {
            // It was being mixed: its end goes out with as much of the others as waits.
            for other in &mut self.sources {
                other.add_to(&mut rest);
            }
        }
        rest
    }
}

impl Source {
    /// Adds what waits to samples on their way out.
    fn add_to(&mut self, mixed: &mut [i16]) {
        self.is_playing |= self.waiting.len() >= PREBUFFER;
        if !self.is_playing {
            return;
        }
        let length = self.waiting.len().min(mixed.len());
        for (sample, added) in mixed.iter_mut().zip(self.waiting.drain(..length)) {
            *sample = sample.saturating_add(added);
        }
        self.is_playing = length == mixed.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: usize = 160;

    #[test]
    fn one_track_passes_at_once_and_whole() {
        let mut mixer = Mixer::default();
        for n in 0..10_i16 {
            assert_eq!(mixer.push(7, &[n; FRAME]), [n; FRAME]);
        }
        assert!(mixer.end(7).is_empty());
        assert_eq!(mixer.push(8, &[1; 80]), [1; 80], "the next one leads");
    }

    #[test]
    fn a_second_track_is_added_with_saturation() {
        let mut mixer = Mixer::default();
        let mut heard = Vec::new();
        for _ in 0..20 {
            heard.push(mixer.push(1, &[20_000; FRAME])[0]);
            assert!(mixer.push(2, &[20_000; FRAME]).is_empty());
        }
        assert_eq!(heard[..3], [20_000; 3], "it gathers first");
        assert!(heard[3..].iter().all(|sample| *sample == i16::MAX), "{heard:?}");
    }

    #[test]
    fn whoever_goes_on_leads_when_the_leader_pauses() {
        let mut mixer = Mixer::default();
        mixer.push(1, &[1; FRAME]);
        let mut heard = Vec::new();
        for n in 1..=20_i16 {
            heard.extend(mixer.push(2, &[n * 10; FRAME]));
        }
        let expected: Vec<i16> = (1..=20_i16).flat_map(|n| [n * 10; FRAME]).collect();
        assert_eq!(heard, expected, "nothing of the second is lost");
        // The first comes back and is added.
        let mut sums = Vec::new();
        for _ in 0..10 {
            assert!(mixer.push(1, &[1; FRAME]).is_empty());
            sums.push(mixer.push(2, &[1000; FRAME])[0]);
        }
        assert_eq!(sums[4..], [1001; 6], "{sums:?}");
    }

    #[test]
    fn a_leader_that_ends_hands_over() {
        let mut mixer = Mixer::default();
        mixer.push(1, &[1; FRAME]);
        assert!(mixer.push(2, &[2; FRAME]).is_empty());
        assert!(mixer.end(1).is_empty());
        assert_eq!(mixer.push(2, &[3; FRAME]), [[2; FRAME], [3; FRAME]].concat());
        assert!(mixer.push(3, &[5; FRAME]).is_empty());
        assert_eq!(mixer.end(3), [5; FRAME], "the end of a follower is not lost");
        assert!(mixer.end(3).is_empty());
    }

    proptest! {
        /// In whatever order two tracks come, all samples of both come out: sums are kept as long as nothing saturates.
        #[test]
        fn nothing_is_lost_or_made_up(order in prop::collection::vec((0_u32..2, 1_usize..400), 1..200)) {
            let mut mixer = Mixer::default();
            let (mut pushed, mut heard) = (0_i64, 0_i64);
            let mut held = [0_usize; 2];
            for (id, length) in order {
                let value = if id == 0 { 1 } else { 100 };
                pushed += i64::from(value) * length as i64;
                held[id as usize] += length;
                heard += mixer.push(id, &vec![value; length]).iter().map(|sample| i64::from(*sample)).sum::<i64>();
                prop_assert!(pushed - heard <= 101 * (TAKEOVER as i64 + 400), "bounded");
            }
            for id in 0..2 {
                heard += mixer.end(id).iter().map(|sample| i64::from(*sample)).sum::<i64>();
            }
            prop_assert_eq!(pushed, heard);
        }
    }
}
