//! Puts the RTP packets of one Opus stream into order and says what to decode. Sans-I/O: the time is passed in.
//!
//! Speech recognition wants every packet at once, so there is no playout delay: a packet that comes in order is decoded
//! on arrival, and one that comes early waits briefly for the missing one before that is concealed. Discontinuous
//! transmission shows as a step in the timestamps without one in the sequence numbers (RFC 7587 section 3.1.3).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

/// RTP clock of Opus, whatever the PCM rate (RFC 7587 section 4.1).
pub(super) const RTP_CLOCK_HZ: u32 = 48_000;
/// RTP ticks of a 20 ms frame.
pub(super) const FRAME_TICKS: u32 = RTP_CLOCK_HZ / 50;
/// How many packets may wait for a missing one.
const HELD_MAX: usize = 5;
/// How long they may wait.
const HELD_TIME: Duration = Duration::from_millis(60);
/// A step of sequence numbers beyond this is a new stream, not loss.
const RESYNC_STEP: i16 = 500;
/// Concealment fades out; what is missing beyond this is silence.
const CONCEAL_TICKS_MAX: u32 = RTP_CLOCK_HZ * 120 / 1000;
/// No gap is filled with more than this at once: late audio is worse than lost audio.
const GAP_TICKS_MAX: u32 = RTP_CLOCK_HZ / 2;
/// Granularity of concealment: 2.5 ms.
const CONCEAL_STEP_TICKS: u32 = RTP_CLOCK_HZ / 400;

/// What to do next. Ticks are of [`RTP_CLOCK_HZ`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Decode the packet.
    Decode(Bytes),
    /// Let the decoder invent audio.
    Conceal { ticks: u32 },
    /// Rebuild the packet before this one from its redundancy.
    Recover { next: Bytes, ticks: u32 },
    /// Nothing was sent.
    Silence { ticks: u32 },
}

/// Counts of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamCounts {
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) reordered: u64,
}

#[derive(Debug)]
struct Held {
    seq: u16,
    timestamp: u32,
    payload: Bytes,
    arrived: Duration,
}

#[derive(Debug)]
struct Expected {
    seq: u16,
    timestamp: u32,
    /// Arrival of the packet before.
    since: Duration,
    /// Silence that was filled in since then.
    filled_ticks: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Depacketizer {
    fill_after: Option<Duration>,
    expected: Option<Expected>,
    held: VecDeque<Held>,
    counts: StreamCounts,
}

impl Depacketizer {
    pub(super) fn new(fill_after: Option<Duration>) -> Self {
        Self { fill_after, expected: None, held: VecDeque::with_capacity(HELD_MAX), counts: StreamCounts::default() }
    }

    pub(super) fn counts(&self) -> StreamCounts {
        self.counts
    }

    /// Takes a packet that arrived at `now`.
    pub(super) fn push(&mut self, now: Duration, seq: u16, timestamp: u32, payload: Bytes, steps: &mut Vec<Step>) {
        self.counts.received += 1;
        let packet = Held { seq, timestamp, payload, arrived: now };
        let ahead = match &self.expected {
            None => 0,
            Some(expected) => distance(expected.seq, seq),
        };
        match ahead {
            0 => {
                self.release(packet, steps);
                self.release_in_order(steps);
            }
            step if step.unsigned_abs() > RESYNC_STEP.unsigned_abs() => {
                self.held.clear();
                self.expected = None;
                self.release(packet, steps);
            }
            step if step < 0 => self.counts.late += 1,
            _ => self.hold(packet, steps),
        }
    }

    /// When [`Self::tick`] wants to be called next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        if let Some(packet) = self.held.front() {
            return Some(packet.arrived + HELD_TIME);
        }
        self.fill_after.zip(self.expected.as_ref()).map(|(fill_after, expected)| {
            // The packet before covers the first frame's time itself.
            let next = ticks_to_time(expected.filled_ticks.saturating_add(2 * FRAME_TICKS));
            expected.since + next.max(fill_after)
        })
    }

    /// Gives up on packets that are overdue, and fills silence in.
    pub(super) fn tick(&mut self, now: Duration, steps: &mut Vec<Step>) {
        if self.held.front().is_some_and(|packet| now >= packet.arrived + HELD_TIME) {
            self.give_up(steps);
        }
        // Somebody is talking: what is missing before the packets that wait is concealed when they are released, and silence as well
        // would stretch the speech.
        if !self.held.is_empty() {
            return;
        }
        let (Some(fill_after), Some(expected)) = (self.fill_after, self.expected.as_mut()) else { return };
        let idle = now.saturating_sub(expected.since);
        if idle < fill_after {
            return;
        }
        let due = (time_to_ticks(idle) / FRAME_TICKS).saturating_sub(1) * FRAME_TICKS;
        // After a stall of this task itself, the backlog is not worth more than a bounded gap.
        let ticks = due.saturating_sub(expected.filled_ticks).min(GAP_TICKS_MAX);
        if ticks > 0 {
            expected.filled_ticks = due;
            steps.push(Step::Silence { ticks });
        }
    }

    fn hold(&mut self, packet: Held, steps: &mut Vec<Step>) {
        let base = self.expected.as_ref().map_or(packet.seq, |expected| expected.seq);
        let ahead = distance(base, packet.seq);
        let place = self.held.iter().position(|held| distance(base, held.seq) >= ahead).unwrap_or(self.held.len());
        if self.held.get(place).is_some_and(|held| held.seq == packet.seq) {
            self.counts.late += 1;
            return;
        }
        self.counts.reordered += u64::from(place < self.held.len());
        self.held.insert(place, packet);
        if self.held.len() > HELD_MAX {
            self.give_up(steps);
        }
    }

    /// The packets before the first held one are lost.
    fn give_up(&mut self, steps: &mut Vec<Step>) {
        if let Some(packet) = self.held.pop_front() {
            self.release(packet, steps);
            self.release_in_order(steps);
        }
    }

    fn release_in_order(&mut self, steps: &mut Vec<Step>) {
        while let Some((expected, packet)) = self.expected.as_ref().zip(self.held.front()) {
            if packet.seq != expected.seq {
                break;
            }
            if let Some(packet) = self.held.pop_front() {
                self.release(packet, steps);
            }
        }
    }

    fn release(&mut self, packet: Held, steps: &mut Vec<Step>) {
        if let Some(expected) = self.expected.take() {
            self.bridge_gap(&expected, &packet, steps);
        }
        // A packet without payload (padding) has no duration but a sequence number.
        let ticks = packet_ticks(&packet.payload).unwrap_or(0);
        self.expected = Some(Expected {
            seq: packet.seq.wrapping_add(1),
            timestamp: packet.timestamp.wrapping_add(ticks),
            since: packet.arrived,
            filled_ticks: 0,
        });
        if ticks > 0 {
            steps.push(Step::Decode(packet.payload));
        }
    }

    fn bridge_gap(&mut self, expected: &Expected, packet: &Held, steps: &mut Vec<Step>) {
        let missing = packet.seq.wrapping_sub(expected.seq);
        self.counts.lost += u64::from(missing);
        let gap = packet.timestamp.wrapping_sub(expected.timestamp);
        // A step back, or one of many seconds, is a new stream under the same numbers.
        if gap > RTP_CLOCK_HZ * 3600 {
            return;
        }
        let mut owed = gap.saturating_sub(expected.filled_ticks).min(GAP_TICKS_MAX);
        owed -= owed % CONCEAL_STEP_TICKS;
        if missing == 0 {
            if owed > 0 && self.fill_after.is_some() {
                steps.push(Step::Silence { ticks: owed });
            }
            return;
        }
        let redundancy = packet_ticks(&packet.payload).unwrap_or(0).min(owed);
        let conceal = (owed - redundancy).min(CONCEAL_TICKS_MAX);
        let silence = owed - redundancy - conceal;
        if conceal > 0 {
            steps.push(Step::Conceal { ticks: conceal });
        }
        if silence > 0 {
            steps.push(Step::Silence { ticks: silence });
        }
        if redundancy > 0 {
            steps.push(Step::Recover { next: packet.payload.clone(), ticks: redundancy });
        }
    }
}

fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
}

fn ticks_to_time(ticks: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(RTP_CLOCK_HZ))
}

fn time_to_ticks(time: Duration) -> u32 {
    u32::try_from(time.as_micros() * u128::from(RTP_CLOCK_HZ) / 1_000_000).unwrap_or(u32::MAX)
}

/// Length of an Opus packet from its first bytes (RFC 6716 section 3.1), or `None` if it is none.
pub(super) fn packet_ticks(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let ticks = frame * frames;
    (1..=5760).contains(&ticks).then_some(ticks)
}

#[cfg(test)]
#[path = "depacketizer_tests.rs"]
mod tests;
