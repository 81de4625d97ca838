//! From audio to words: segments by energy, utterances by alignment.

use std::collections::VecDeque;
use std::sync::Arc;

use super::align::{End, Track};
use super::energy::Energy;
use super::template::Template;
use crate::features::{Extractor, STEP_MS, STEP_SAMPLES, Vector};

/// Mean cost above which a segment is none of the known utterances.
pub(super) const REJECT: f32 = 2.8;
/// What an unfinished utterance must fit better by.
const INCOMPLETE_COST: f32 = 0.1;
/// Tracks worse than this by the time [`PRUNE_AFTER`] has passed are given up.
const PRUNE: f32 = REJECT * 1.8;
/// Vectors after which tracks are given up.
const PRUNE_AFTER: usize = 500 / STEP_MS;
/// A segment of fewer vectors says nothing.
const MIN_VECTORS: usize = 160 / STEP_MS;
/// Silence after which an utterance does not go on any more, in steps.
const MAX_PAUSE: usize = 1_200 / STEP_MS;
/// Longest segment, in vectors.
const MAX_VECTORS: usize = 20_000 / STEP_MS;
/// Distance at which a word's confidence is one half.
const HALF_CONFIDENCE: f32 = REJECT * 1.2;

/// Words of a segment; positions in samples from the begin of the stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Hypothesis {
    pub(super) words: Vec<Word>,
}

/// A recognised word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    /// With its punctuation.
    pub(super) text: String,
    pub(super) start: u64,
    pub(super) end: u64,
    /// 0 to 1.
    pub(super) confidence: f32,
}

/// Listens to one stream.
#[derive(Debug, Default)]
pub(super) struct Recogniser {
    extractor: Extractor,
    energy: Energy,
    /// Samples that do not fill a step yet.
    pending: Vec<i16>,
    /// Vectors whose step's energy is not known yet, and the other way round: the extractor lags behind by a part of a window.
    steps: VecDeque<bool>,
    vectors: VecDeque<Vector>,
    /// Steps taken in so far.
    position: u64,
    segment: Option<Segment>,
    /// Utterances of which a part was finalised, and how long ago their last sound was.
    paused: Vec<Track>,
    /// Silent vectors since the last speech.
    silence: Vec<Vector>,
}

/// A stretch of speech.
#[derive(Debug)]
struct Segment {
    tracks: Vec<Track>,
    vectors: Vec<Vector>,
    /// Step of the stream at which a fresh utterance of this segment begins.
    start: u64,
    /// Vectors of silence before `start` that resumed tracks have compared as well.
    lead: usize,
}

impl Recogniser {
    /// Takes audio at 16 kHz. `known` gives the utterances when a new segment begins.
    pub(super) fn push(&mut self, samples: &[i16], known: impl Fn() -> Arc<Vec<Arc<Template>>>) {
        self.vectors.extend(self.extractor.push(samples));
        self.pending.extend_from_slice(samples);
        let whole = self.pending.len() / STEP_SAMPLES * STEP_SAMPLES;
        for step in self.pending[..whole].chunks(STEP_SAMPLES) {
            self.steps.push_back(self.energy.is_speech(step));
        }
        self.pending.drain(..whole);
        while !self.steps.is_empty() && !self.vectors.is_empty() {
            let (Some(speech), Some(vector)) = (self.steps.pop_front(), self.vectors.pop_front()) else { break };
            self.step(speech, vector, &known);
        }
    }

    fn step(&mut self, speech: bool, vector: Vector, known: &impl Fn() -> Arc<Vec<Arc<Template>>>) {
        self.position += 1;
        if !speech {
            if self.silence.len() < MAX_PAUSE {
                self.silence.push(vector);
            } else {
                self.paused.clear();
            }
            return;
        }
        let silence = std::mem::take(&mut self.silence);
        match &mut self.segment {
            Some(segment) => segment.extend(silence),
            None => {
                // Someone who paused may go on, or say something new.
                let mut tracks = std::mem::take(&mut self.paused);
                for track in &mut tracks {
                    silence.iter().for_each(|vector| track.push(vector));
                }
                let lead = if tracks.is_empty() { 0 } else { silence.len() };
                tracks.extend(known().iter().map(|template| Track::new(Arc::clone(template))));
                let vectors = if lead > 0 { silence } else { Vec::new() };
                self.segment = Some(Segment { tracks, vectors, start: self.position - 1, lead });
            }
        }
        if let Some(segment) = &mut self.segment {
            segment.extend([vector]);
        }
    }

    /// Whether speech is going on, or was and has not been finalised.
    pub(super) const fn in_speech(&self) -> bool {
        self.segment.is_some()
    }

    /// Silence since the last speech, in steps; at most a second or so is counted.
    pub(super) fn silent_steps(&self) -> usize {
        self.silence.len()
    }

    /// Vectors of the current segment.
    pub(super) fn segment_steps(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.vectors.len())
    }

    /// Words recognised so far in the current segment; none if nothing fits.
    pub(super) fn interim(&self) -> Hypothesis {
        self.segment.as_ref().map(|segment| segment.read().0).unwrap_or_default()
    }

    /// Ends the current segment and gives its words.
    pub(super) fn finalise(&mut self) -> Hypothesis {
        let Some(segment) = self.segment.take() else {
            return Hypothesis::default();
        };
        let (hypothesis, best) = segment.read();
        if let Some((best, words)) = best {
            let spoken: Vec<String> = best.template.words[..words].to_vec();
            let agrees = |track: &Track| track.template.words.get(..words).is_some_and(|prefix| prefix == spoken);
            let fits = |track: &Track| track.end().is_some_and(|end| end.mean <= REJECT);
            let tracks = segment.tracks.iter().filter(|track| agrees(track) && fits(track)).cloned();
            self.paused = tracks.filter_map(|track| track.resumed(words)).collect();
        }
        hypothesis
    }
}

impl Segment {
    fn extend(&mut self, vectors: impl IntoIterator<Item = Vector>) {
        for vector in vectors {
            if self.vectors.len() >= MAX_VECTORS {
                return;
            }
            self.tracks.iter_mut().for_each(|track| track.push(&vector));
            self.vectors.push(vector);
            self.tracks.retain(|track| track.len() < PRUNE_AFTER || track.end().is_some_and(|end| end.mean <= PRUNE));
        }
    }

    /// The words of the best track, and that track with the number of its words so far.
    fn read(&self) -> (Hypothesis, Option<(&Track, usize)>) {
        let ends = self.tracks.iter().filter_map(|track| track.end().map(|end| (track, end)));
        // Where "No." and "No, thank you." fit alike, the one that was said to its end is meant.
        let rank = |(track, end): &(&Track, End)| end.mean + if track.is_complete(*end) { 0.0 } else { INCOMPLETE_COST };
        let best: Option<(&Track, End)> = ends.min_by(|a, b| rank(a).total_cmp(&rank(b)));
        let Some((track, end)) = best.filter(|(track, end)| end.mean <= REJECT && track.len() >= MIN_VECTORS) else {
            return (Hypothesis::default(), None);
        };
        let words = track.template.words_before(end.step + 1).max(track.emitted);
        // A resumed track has compared the silence before the segment, too.
        let lead = if track.len() == self.vectors.len() { 0 } else { self.lead };
        let origin = self.start - (self.lead - lead) as u64;
        let sample = |vector: usize| (origin + vector as u64) * STEP_SAMPLES as u64;
        let stretches = track.stretches(words, &self.vectors[lead..]);
        // Where a pause cuts a segment off, its last word may have been given no step of its own; it has at least one.
        let mut from = 0;
        let word = |(stretch, text): (super::align::Stretch, &String)| {
            let first = stretch.first.max(from);
            from = stretch.end.max(first + 1);
            let confidence = 1.0 / (1.0 + (stretch.mean / HALF_CONFIDENCE).powi(2));
            Word { text: text.clone(), start: sample(first), end: sample(from), confidence }
        };
        let hypothesis = Hypothesis { words: stretches.into_iter().zip(&track.template.words[track.emitted..]).map(word).collect() };
        (hypothesis, Some((track, words)))
    }
}

#[cfg(test)]
#[path = "recogniser_tests.rs"]
pub(super) mod tests;
