//! RTP jitter buffer, without I/O: reorders packets and evens out their arrival (RFC 3550).
//!
//! The consumer pops once for each frame that it plays. Popping is what advances time: the buffer
//! holds the first packet back until the target depth has passed, and from then on answers each pop with
//! the next frame of the sender's *timestamp* line, whatever the consumer's timer does. So on a clean
//! stream no frame is dropped, repeated or displaced.
//!
//! Depth changes only where nobody hears it: at the start of a stream or talk spurt, after the buffer
//! ran dry, or on packets that the caller marked [`Incoming::quiet`]. The one exception is a burst that
//! exceeds [`JitterConfig::limit_ms`]: then the oldest audio goes, in one piece.

mod delay;
#[cfg(test)]
mod tests;
mod types;
mod unwrap;

use std::collections::BTreeMap;
use std::time::Duration;

use delay::DelayEstimate;
pub use types::{Incoming, JitterConfig, JitterStats, Packet, Playout};
use unwrap::{Sequence, SequenceUnwrap, TimestampUnwrap};

/// Most packets that are ever held, whatever their length.
const MAX_HELD: usize = 256;
/// Pops over which the least depth is watched before quiet frames are skipped or added (one second of 20 ms).
const WATCH_POPS: u32 = 50;

#[derive(Debug)]
struct Held<P> {
    seq: u16,
    timestamp: u32,
    /// Unwrapped timestamp.
    at: i64,
    ticks: u32,
    arrival: Duration,
    marker: bool,
    quiet: bool,
    payload: P,
}

/// Where playing stands.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Holding packets back until the target depth has passed.
    Filling,
    /// Each pop is the next slot.
    Playing {
        /// Unwrapped timestamp of the next slot.
        next_at: i64,
        /// Slots answered with `Empty` since the buffer ran dry; they are not yet counted in `next_at`.
        starved: u32,
    },
}

/// The jitter buffer of one incoming RTP stream; `P` is the payload.
#[derive(Debug)]
pub struct JitterBuffer<P> {
    config: JitterConfig,
    held: BTreeMap<u64, Held<P>>,
    /// Sum of the lengths of all held packets, in ticks.
    held_ticks: u64,
    phase: Phase,
    sequence: SequenceUnwrap,
    timestamps: TimestampUnwrap,
    delay: DelayEstimate,
    /// Packets below it have been played or given up.
    next_seq: u64,
    /// After a lost frame: packets before this sequence number whose slot has passed are late, even at or above `next_seq`.
    given_up: Option<(u64, i64)>,
    /// First packet after a leap of the sequence number, until a second confirms it (RFC 3550 appendix A.1).
    leaped: Option<Incoming<P>>,
    ssrc: Option<u32>,
    watch: Watch,
    stats: JitterStats,
}

/// The least depth seen over the last pops, in ticks.
#[derive(Debug, Clone, Copy)]
struct Watch {
    pops: u32,
    least_ticks: u64,
    last_was_quiet: bool,
}

impl Watch {
    const NEW: Self = Self { pops: 0, least_ticks: u64::MAX, last_was_quiet: false };
}

impl<P> JitterBuffer<P> {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: JitterConfig) -> Self {
        let config = config.normalised();
        Self {
            config,
            held: BTreeMap::new(),
            held_ticks: 0,
            phase: Phase::Filling,
            sequence: SequenceUnwrap::default(),
            timestamps: TimestampUnwrap::default(),
            delay: DelayEstimate::new(config.clock_hz),
            next_seq: 0,
            given_up: None,
            leaped: None,
            ssrc: None,
            watch: Watch::NEW,
            stats: JitterStats::default(),
        }
    }

    /// Takes a packet of one frame. See [`Self::insert`] for packets of other lengths, markers and silence.
    pub fn push(&mut self, seq: u16, timestamp: u32, arrival: Duration, payload: P) {
        self.insert(Incoming { seq, timestamp, arrival, marker: false, quiet: false, ticks: None, payload });
    }

    /// Tells the buffer whose packets follow. Another SSRC than before is another sender (RFC 3550 section 8.2):
    /// what is held is dropped and the stream begins anew.
    pub fn select_source(&mut self, ssrc: u32) {
        if self.ssrc.replace(ssrc).is_some_and(|old| old != ssrc) {
            self.restart();
        }
    }

    /// Takes a packet.
    pub fn insert(&mut self, packet: Incoming<P>) {
        self.stats.pushed += 1;
        let seq = match self.sequence.unwrap(packet.seq) {
            Sequence::Is(seq) => seq,
            Sequence::Leap => {
                self.leaped = Some(packet);
                return;
            }
            Sequence::Restart => {
                let first = self.leaped.take();
                self.restart();
                for packet in first.into_iter().chain([packet]) {
                    let seq = self.sequence.begin(packet.seq);
                    self.accept(seq, packet);
                }
                return;
            }
        };
        self.leaped = None;
        self.accept(seq, packet);
    }

    fn accept(&mut self, seq: u64, packet: Incoming<P>) {
        let at = self.timestamps.unwrap(packet.timestamp);
        self.delay.note(at, packet.arrival);
        if self.held.contains_key(&seq) {
            self.stats.duplicate += 1;
            return;
        }
        let passed = self.given_up.is_some_and(|(until, slot)| seq < until && at < slot);
        if seq < self.next_seq || passed {
            self.stats.late += 1;
            return;
        }
        let frame = self.config.frame_ticks();
        // A packet longer than 120 ms is a lie; one of no length would never be played out.
        let ticks = packet.ticks.unwrap_or(frame).clamp(1, self.config.clock_hz / 8);
        self.held_ticks += u64::from(ticks);
        self.held.insert(
            seq,
            Held {
                seq: packet.seq,
                timestamp: packet.timestamp,
                at,
                ticks,
                arrival: packet.arrival,
                marker: packet.marker,
                quiet: packet.quiet,
                payload: packet.payload,
            },
        );
        if self.held_ticks > self.ticks(self.config.limit_ms) || self.held.len() > MAX_HELD {
            self.drop_oldest();
        }
    }

    /// Answers one slot of playing. `now` is on the clock of [`Incoming::arrival`].
    pub fn pop(&mut self, now: Duration) -> Playout<P> {
        match self.phase {
            Phase::Filling => self.pop_filling(now),
            Phase::Playing { next_at, starved } => self.pop_playing(now, next_at, starved),
        }
    }

    fn pop_filling(&mut self, now: Duration) -> Playout<P> {
        let Some(first) = self.held.values().map(|held| held.arrival).min() else {
            return Playout::Empty;
        };
        if now < first.saturating_add(self.target()) {
            return Playout::Empty;
        }
        self.play_first()
    }

    fn pop_playing(&mut self, now: Duration, next_at: i64, starved: u32) -> Playout<P> {
        self.watch.pops += 1;
        self.watch.least_ticks = self.watch.least_ticks.min(self.held_ticks);
        let Some((&seq, head)) = self.held.first_key_value() else {
            if starved == 0 {
                self.stats.underruns += 1;
            }
            self.phase = Phase::Playing { next_at, starved: starved.saturating_add(1) };
            return Playout::Empty;
        };
        let frame = i64::from(self.config.frame_ticks());
        // Slots between the one expected and this packet, to the nearest, so that a sender whose
        // timestamps are a little off is not displaced.
        let gap = ((head.at - next_at).max(0) + frame / 2) / frame;
        let longest_gap = i64::from(self.config.max_ms / self.config.frame_ms);
        let in_sequence = seq == self.next_seq;
        if starved > 0 {
            let starved = i64::from(starved);
            let spurt = head.marker || (in_sequence && gap > 0);
            if spurt || gap < starved || gap > starved + longest_gap {
                // Silence or a stall was heard already: the one place where the depth may change freely.
                self.phase = Phase::Filling;
                return self.pop_filling(now);
            }
            // A packet was lost and the next one is in time: the empty slots stood for the lost ones.
            self.give_up(seq, next_at + starved * frame);
            return self.pop_slot(seq, next_at + starved * frame, gap - starved, in_sequence);
        }
        if gap > longest_gap {
            return self.play_first();
        }
        self.pop_slot(seq, next_at, gap, in_sequence)
    }

    fn pop_slot(&mut self, seq: u64, next_at: i64, gap: i64, in_sequence: bool) -> Playout<P> {
        if gap == 0 {
            return self.play_adapting(next_at);
        }
        let next_at = next_at + i64::from(self.config.frame_ticks());
        self.phase = Phase::Playing { next_at, starved: 0 };
        if in_sequence {
            // Consecutive sequence numbers with a gap of time: the sender chose to be silent.
            return Playout::Empty;
        }
        self.give_up(seq, next_at);
        self.stats.missing += 1;
        Playout::Missing
    }

    fn give_up(&mut self, before_seq: u64, before_at: i64) {
        self.given_up = Some((before_seq, before_at));
    }

    /// Plays the head, unless this is the place to skip or add a quiet frame.
    fn play_adapting(&mut self, next_at: i64) -> Playout<P> {
        let head_is_quiet = self.held.first_key_value().is_some_and(|(_, head)| head.quiet);
        let run_is_quiet = head_is_quiet && self.watch.last_was_quiet;
        if run_is_quiet && self.watch.pops >= WATCH_POPS {
            let frame = u64::from(self.config.frame_ticks());
            let target = self.ticks_of(self.target());
            // Never below what a stream begins with: on a clean line nothing moves at all.
            let roomy = target.max(self.ticks(self.config.initial_ms)) + frame;
            let least = self.watch.least_ticks;
            self.watch = Watch { last_was_quiet: true, ..Watch::NEW };
            if least > roomy && self.held.len() > 1 {
                self.stats.skipped += 1;
                self.remove_first();
            } else if least + frame < target {
                self.stats.added += 1;
                self.phase = Phase::Playing { next_at, starved: 0 };
                return Playout::Empty;
            }
        }
        self.play_first()
    }

    /// Plays the head and takes its place as the place of playing.
    fn play_first(&mut self) -> Playout<P> {
        let Some((seq, head)) = self.remove_first() else {
            return Playout::Empty;
        };
        if matches!(self.phase, Phase::Filling) {
            self.watch = Watch::NEW;
        }
        self.watch.last_was_quiet = head.quiet;
        self.stats.played += 1;
        debug_assert_eq!(self.next_seq, seq + 1, "removing moves past the packet");
        self.phase = Phase::Playing { next_at: head.at + i64::from(head.ticks), starved: 0 };
        Playout::Packet(Packet { seq: head.seq, timestamp: head.timestamp, payload: head.payload })
    }

    fn remove_first(&mut self) -> Option<(u64, Held<P>)> {
        let (seq, head) = self.held.pop_first()?;
        self.held_ticks -= u64::from(head.ticks);
        self.next_seq = seq + 1;
        Some((seq, head))
    }

    /// Makes room after a burst: keeps the newest packets up to the target depth.
    fn drop_oldest(&mut self) {
        let keep = self.ticks_of(self.target()).max(u64::from(self.config.frame_ticks()));
        while self.held.len() > 1 && (self.held_ticks > keep || self.held.len() > MAX_HELD) {
            self.remove_first();
            self.stats.overflowed += 1;
        }
        if let (Phase::Playing { .. }, Some((_, head))) = (self.phase, self.held.first_key_value()) {
            self.phase = Phase::Playing { next_at: head.at, starved: 0 };
        }
    }

    fn restart(&mut self) {
        self.stats.restarts += 1;
        self.held.clear();
        self.held_ticks = 0;
        self.phase = Phase::Filling;
        self.sequence = SequenceUnwrap::default();
        self.timestamps = TimestampUnwrap::default();
        self.delay.clear();
        self.next_seq = 0;
        self.given_up = None;
        self.leaped = None;
        self.watch = Watch::NEW;
    }

    /// After [`Playout::Missing`]: the packet that directly follows the lost one, from whose redundancy
    /// a codec may rebuild it. `None` when more frames are lost in between.
    #[must_use]
    pub fn following(&self) -> Option<&P> {
        let Phase::Playing { next_at, starved: 0 } = self.phase else {
            return None;
        };
        let (_, head) = self.held.first_key_value()?;
        let frame = i64::from(self.config.frame_ticks());
        (head.at - next_at < frame / 2).then_some(&head.payload)
    }

    /// The depth that the line calls for at present, between `min_ms` and `max_ms`.
    #[must_use]
    pub fn target(&self) -> Duration {
        let least = Duration::from_millis(self.config.min_ms.into());
        let most = Duration::from_millis(self.config.max_ms.into());
        match self.delay.needed() {
            Some(needed) => needed.clamp(least, most),
            None => Duration::from_millis(self.config.initial_ms.into()),
        }
    }

    /// How much audio is held.
    #[must_use]
    pub fn depth(&self) -> Duration {
        Duration::from_micros(self.held_ticks * 1_000_000 / u64::from(self.config.clock_hz))
    }

    /// What became of the packets so far.
    #[must_use]
    pub const fn stats(&self) -> JitterStats {
        self.stats
    }

    fn ticks(&self, ms: u32) -> u64 {
        u64::from(self.config.clock_hz) * u64::from(ms) / 1_000
    }

    fn ticks_of(&self, duration: Duration) -> u64 {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        u64::from(self.config.clock_hz).saturating_mul(micros) / 1_000_000
    }
}
