//! An utterance as the recogniser knows it.

use frontdesk_audio::SampleRate;
use frontdesk_audio::g711::{decode_ulaw, encode_ulaw};
use frontdesk_audio::resample::convert;

use super::energy::Energy;
use crate::features::{Extractor, STEP_MS, STEP_SAMPLES, Vector};

/// A boundary between words moves to a pause that is at most this many steps away.
const SNAP_STEPS: usize = 320 / STEP_MS;
/// A pause within an utterance has at least this many silent steps.
const PAUSE_STEPS: usize = 60 / STEP_MS;

/// One utterance: its words and its features, silence at both ends cut off.
#[derive(Debug)]
pub(super) struct Template {
    /// Words with their punctuation, as they stand in the text.
    pub(super) words: Vec<String>,
    /// One vector a step.
    pub(super) vectors: Vec<Vector>,
    /// For each word, the step after its last.
    pub(super) ends: Vec<usize>,
}

impl Template {
    /// Learns an utterance from its rendering at 8 kHz. `None` if there is nothing to hear or to write.
    pub(super) fn learn(text: &str, clip: &[i16]) -> Option<Self> {
        let line = decode_ulaw(&encode_ulaw(clip));
        let audio = convert(&line, SampleRate::HZ_8000, SampleRate::HZ_16000);
        let vectors = Extractor::new().push(&audio);
        let mut energy = Energy::default();
        let speech: Vec<bool> = audio.chunks(STEP_SAMPLES).take(vectors.len()).map(|step| energy.is_speech(step)).collect();
        let first = speech.iter().position(|speech| *speech)?;
        let last = speech.iter().rposition(|speech| *speech)?;
        let words: Vec<String> = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).map(String::from).collect();
        if words.is_empty() {
            return None;
        }
        let ends = word_ends(&words, &speech[first..=last]);
        Some(Self { words, vectors: vectors[first..=last].to_vec(), ends })
    }

    /// How many words lie wholly before step `end`, give or take a little.
    pub(super) fn words_before(&self, end: usize) -> usize {
        let mut start = 0;
        let mut count = 0;
        for word_end in &self.ends {
            // The last sound of a word may fall below the threshold of energy.
            let slack = ((word_end - start) / 3).clamp(1, 200 / STEP_MS);
            if end + slack < *word_end {
                break;
            }
            count += 1;
            start = *word_end;
        }
        count
    }

    /// The first step of a word.
    pub(super) fn start(&self, word: usize) -> usize {
        word.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// Shares the voiced steps out among the words by their length; punctuation moves a boundary to the pause nearby.
fn word_ends(words: &[String], speech: &[bool]) -> Vec<usize> {
    let voiced: Vec<usize> = speech.iter().enumerate().filter(|(_, speech)| **speech).map(|(step, _)| step).collect();
    let weight = |word: &String| 1 + word.chars().filter(|c| c.is_alphanumeric()).count();
    let total: usize = words.iter().map(weight).sum();
    let mut sum = 0;
    let mut ends = Vec::with_capacity(words.len());
    let mut low = 0;
    for (index, word) in words.iter().enumerate() {
        sum += weight(word);
        let left = words.len() - index - 1;
        let mut end = if left == 0 { speech.len() } else { voiced[(sum * voiced.len() / total).min(voiced.len() - 1)] };
        if left > 0 && word.ends_with([',', '.', ';', ':', '?', '!']) {
            end = pause_near(speech, end).unwrap_or(end);
        }
        // Each word has a step of its own where there are enough.
        end = end.max(low + 1).min(speech.len().saturating_sub(left).max(low));
        ends.push(end);
        low = end;
    }
    ends
}

/// The begin of the pause that lies nearest to a step.
fn pause_near(speech: &[bool], step: usize) -> Option<usize> {
    let starts = (1..speech.len())
        .filter(|at| speech[at - 1] && speech[*at..].iter().take(PAUSE_STEPS).filter(|speech| !**speech).count() == PAUSE_STEPS);
    starts.filter(|at| at.abs_diff(step) <= SNAP_STEPS).min_by_key(|at| at.abs_diff(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::{Speaker, Voice};

    #[test]
    fn words_get_steps_in_order_and_pauses_end_clauses() {
        let text = "My number is five five five, zero one two, three four five six.";
        let clip = Speaker::new(Voice::caller()).render(text, SampleRate::HZ_8000).expect("espeak-ng is installed");
        let template = Template::learn(text, &clip).expect("it can be heard");
        assert_eq!(template.words.len(), 13);
        assert_eq!(template.words[5], "five,");
        assert_eq!(template.ends.len(), 13);
        assert!(template.ends.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", template.ends);
        assert_eq!(template.ends[12], template.vectors.len());
        assert_eq!(template.words_before(template.vectors.len()), 13);
        assert_eq!(template.words_before(0), 0);
        assert_eq!(template.words_before(template.ends[5]), 6);
        assert_eq!(template.start(6), template.ends[5]);
    }

    #[test]
    fn nothing_can_be_learnt_from_silence_or_signs() {
        assert!(Template::learn("Hello.", &[0; 8_000]).is_none());
        assert!(Template::learn("…", &[5_000; 8_000]).is_none());
        // More words than steps: no word has an end beyond the utterance's.
        assert_eq!(word_ends(&["a".into(), "b".into(), "c".into()], &[true]).last(), Some(&1));
    }
}
