//! Dynamic time warping, online: one column of costs, moved on by each feature vector.
//!
//! Every incoming vector costs one comparison on every path, so average costs of different utterances can be compared at any
//! time. The speed of a telephone call never changes much, so paths may stay within a narrow band around the diagonal.

use std::sync::Arc;

use super::template::Template;
use crate::features::{STEP_MS, Vector, distance};

/// Extra cost of repeating or skipping a step of the utterance.
const WARP_COST: f32 = 0.35;
/// Steps by which the begin of speech may be off.
const START_SLACK: usize = 120 / STEP_MS;
/// Extra cost of each step by which the begin is off.
const START_COST: f32 = 0.3;
/// Half the width of the band at the begin, in steps.
const BAND_STEPS: usize = 200 / STEP_MS;
/// The band grows by one step for so many vectors.
const BAND_GROWTH: usize = 10;

/// How a path came to a cell: by how many steps of the utterance it moved. [`BEGIN`] at the first vector.
type Move = u8;
const BEGIN: Move = 3;

/// The moves of all cells for one vector.
#[derive(Debug, Clone)]
struct Row {
    first: usize,
    moves: Vec<Move>,
}

/// One utterance being compared with what is heard.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) template: Arc<Template>,
    /// Words that were finalised before this segment.
    pub(super) emitted: usize,
    /// Step of the utterance at which this segment begins.
    from: usize,
    /// Lowest cost of a path that ends at each step, for the vectors so far.
    costs: Vec<f32>,
    rows: Vec<Row>,
}

/// The best end of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    /// Mean cost of a vector.
    pub(super) mean: f32,
    /// The step at which the path ends.
    pub(super) step: usize,
}

/// A stretch of a path: the vectors that were matched to a word, and how well they fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// First vector of the segment.
    pub(super) first: usize,
    /// Vector after the last.
    pub(super) end: usize,
    /// Mean distance.
    pub(super) mean: f32,
}

impl Track {
    /// A track at the begin of an utterance.
    pub(super) fn new(template: Arc<Template>) -> Self {
        let costs = vec![f32::INFINITY; template.vectors.len()];
        Self { template, emitted: 0, from: 0, costs, rows: Vec::new() }
    }

    /// Goes on after a part was finalised: the costs so far only say which steps are likely places.
    pub(super) fn resumed(mut self, emitted: usize) -> Option<Self> {
        let end = self.end()?;
        let total = end.mean * self.rows.len() as f32;
        for cost in &mut self.costs {
            *cost -= total;
        }
        self.emitted = emitted;
        self.from = end.step;
        self.rows.clear();
        (!self.is_complete(end)).then_some(self)
    }

    /// Vectors compared so far.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Compares one more vector.
    pub(super) fn push(&mut self, vector: &Vector) {
        let n = self.rows.len();
        let half = BAND_STEPS + n / BAND_GROWTH;
        let centre = self.from + n;
        let first = centre.saturating_sub(half);
        let last = (centre + half).min(self.costs.len().saturating_sub(1));
        // A new utterance begins at its begin; a resumed one has costs to go on from.
        let fresh = n == 0 && self.from == 0;
        let mut moves = vec![0; (last + 1).saturating_sub(first)];
        for step in (first..=last).rev() {
            let (cost, by) = if fresh {
                let cost = if step <= START_SLACK { step as f32 * START_COST } else { f32::INFINITY };
                (cost, BEGIN)
            } else {
                self.reach(step)
            };
            self.costs[step] = if cost.is_finite() { cost + distance(vector, &self.template.vectors[step]) } else { cost };
            moves[step - first] = by;
        }
        // Of speech that is much longer than the utterance, the band lies beyond its end.
        let below = first.min(self.costs.len());
        self.costs[..below].fill(f32::INFINITY);
        if let Some(beyond) = self.costs.get_mut(last + 1..) {
            beyond.fill(f32::INFINITY);
        }
        self.rows.push(Row { first, moves });
    }

    /// The cheapest way to a step from the costs before this vector. Called from the last step to the first, so those still stand.
    fn reach(&self, step: usize) -> (f32, Move) {
        let stay = self.costs[step] + WARP_COST;
        let walk = step.checked_sub(1).map_or(f32::INFINITY, |before| self.costs[before]);
        let skip = step.checked_sub(2).map_or(f32::INFINITY, |before| self.costs[before] + WARP_COST);
        if walk <= stay && walk <= skip {
            (walk, 1)
        } else if skip <= stay {
            (skip, 2)
        } else {
            (stay, 0)
        }
    }

    /// The best end so far; `None` before the first vector or outside every band.
    pub(super) fn end(&self) -> Option<End> {
        let count = self.rows.len();
        let (step, cost) = self.costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
        (count > 0 && cost.is_finite()).then(|| End { mean: cost / count as f32, step })
    }

    /// Whether an end is the utterance's end, give or take a little.
    pub(super) fn is_complete(&self, end: End) -> bool {
        end.step + START_SLACK >= self.template.vectors.len()
    }

    /// What was matched to each word from `emitted` to `words`, along the best path.
    pub(super) fn stretches(&self, words: usize, vectors: &[Vector]) -> Vec<Stretch> {
        let Some(end) = self.end() else { return Vec::new() };
        let mut steps = vec![0; self.rows.len()];
        let mut step = end.step;
        for (n, row) in self.rows.iter().enumerate().rev() {
            steps[n] = step;
            let by = step.checked_sub(row.first).and_then(|at| row.moves.get(at)).copied().unwrap_or(0);
            step = step.saturating_sub(if by == BEGIN { 0 } else { usize::from(by) });
        }
        let stretch = |word: usize| {
            let (low, high) = (self.template.start(word), self.template.ends[word]);
            let first = steps.partition_point(|step| *step < low);
            let end = steps.partition_point(|step| *step < high).max(first);
            let matched = steps[first..end].iter().zip(vectors.get(first..end).unwrap_or_default());
            let sum: f32 = matched.map(|(step, vector)| distance(vector, &self.template.vectors[*step])).sum();
            Stretch { first, end, mean: sum / (end - first).max(1) as f32 }
        };
        (self.emitted..words).map(stretch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_that_is_much_longer_than_the_utterance_fits_nowhere() {
        let clip: Vec<i16> = (0..8_000_i32).map(|n| ((n * n % 97) * 200 - 9_600) as i16).collect();
        let template = Arc::new(Template::learn("word", &clip).expect("it is loud"));
        let mut track = Track::new(Arc::clone(&template));
        for vector in template.vectors.iter().cycle().take(template.vectors.len() * 5) {
            track.push(vector);
        }
        assert_eq!((track.end(), track.len()), (None, template.vectors.len() * 5));
    }
}
