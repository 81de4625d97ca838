//! What can be told of an agent's voice without decoding it: speech takes more bytes than silence, and each packet says when it was due.

use std::collections::VecDeque;

use frontdesk_livekit::room::EncodedPacket;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Payloads of at least so many bytes hold sound: silence takes three to a dozen, whoever encodes it.
const SPEECH_BYTES: usize = 30;
/// So many in a row are speech; fewer are a click.
const SPEECH_PACKETS: usize = 3;
/// A silence of so many packets ends speech.
const PAUSE_PACKETS: usize = 15;
/// RTP clock of Opus.
const TICKS_PER_MS: f64 = 48.0;
/// Later than the soonest packet by more than this is late.
const LATE_MS: f64 = 10.0;

/// Listens to one agent.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Arrivals of the loud packets in a row.
    row: VecDeque<Instant>,
    quiet: usize,
    speaking: bool,
    first: Option<Instant>,
    /// Of each packet since the beginning: how much later it came than its timestamp says, in milliseconds from an arbitrary zero.
    delays: Vec<f64>,
    zero: Option<(Instant, u32)>,
    counts: bool,
}

impl Heard {
    /// Takes what has arrived.
    pub(super) fn take_all(&mut self, packets: &mut mpsc::Receiver<EncodedPacket>) {
        while let Ok(packet) = packets.try_recv() {
            self.take(&packet);
        }
    }

    fn take(&mut self, packet: &EncodedPacket) {
        if packet.payload.is_empty() {
            return;
        }
        self.time(packet);
        if packet.payload.len() < SPEECH_BYTES {
            self.row.clear();
            self.quiet += 1;
            self.speaking &= self.quiet < PAUSE_PACKETS;
            return;
        }
        self.quiet = 0;
        self.row.push_back(packet.arrived);
        if self.row.len() >= SPEECH_PACKETS {
            let began = self.row.pop_front();
            if !self.speaking {
                self.speaking = true;
                self.first = self.first.or(began);
            }
        }
    }

    fn time(&mut self, packet: &EncodedPacket) {
        if !self.counts {
            return;
        }
        let (zero, ticks) = *self.zero.get_or_insert((packet.arrived, packet.timestamp));
        let came = packet.arrived.saturating_duration_since(zero).as_secs_f64() * 1000.0;
        // As a signed step: a packet may be older than the first.
        let due = f64::from(packet.timestamp.wrapping_sub(ticks).cast_signed()) / TICKS_PER_MS;
        self.delays.push(came - due);
    }

    /// From here on packets are timed.
    pub(super) fn begin(&mut self) {
        self.counts = true;
        self.forget_speech();
    }

    /// When speech began since it was last forgotten.
    pub(super) const fn first_speech(&self) -> Option<Instant> {
        self.first
    }

    pub(super) const fn is_speaking(&self) -> bool {
        self.speaking
    }

    pub(super) fn forget_speech(&mut self) {
        self.first = None;
    }

    /// Packets that were timed, and how many of them came late.
    pub(super) fn lateness(&self) -> (u64, u64) {
        let soonest = self.delays.iter().copied().fold(f64::INFINITY, f64::min);
        let late = self.delays.iter().filter(|delay| **delay - soonest > LATE_MS).count();
        (self.delays.len() as u64, late as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn packet(at: Instant, index: u32, bytes: usize, late_ms: u64) -> EncodedPacket {
        let arrived = at + Duration::from_millis(u64::from(index) * 20 + late_ms);
        EncodedPacket {
            payload: Bytes::from(vec![0; bytes]),
            sequence: 0,
            timestamp: 7_u32.wrapping_sub(960).wrapping_add(index * 960),
            arrived,
        }
    }

    #[test]
    fn speech_begins_with_its_first_packet_and_ends_with_a_pause() {
        let (at, mut heard) = (Instant::now(), Heard::default());
        (0..5).for_each(|index| heard.take(&packet(at, index, 3, 0)));
        heard.take(&packet(at, 5, 80, 0));
        heard.take(&packet(at, 6, 3, 0));
        assert_eq!(heard.first_speech(), None, "a click");
        (7..12).for_each(|index| heard.take(&packet(at, index, 80, 0)));
        assert_eq!(heard.first_speech(), Some(at + Duration::from_millis(140)));
        heard.forget_speech();
        (12..20).for_each(|index| heard.take(&packet(at, index, 80, 0)));
        assert!(heard.is_speaking() && heard.first_speech().is_none(), "the same speech");
        (20..40).for_each(|index| heard.take(&packet(at, index, 3, 0)));
        assert!(!heard.is_speaking());
    }

    #[test]
    fn a_late_packet_is_counted_against_the_soonest() {
        let (at, mut heard) = (Instant::now(), Heard::default());
        heard.begin();
        // The first comes late itself; the timestamps pass through zero.
        heard.take(&packet(at, 0, 50, 15));
        (1..9).for_each(|index| heard.take(&packet(at, index, 50, 2)));
        heard.take(&packet(at, 9, 50, 30));
        assert_eq!(heard.lateness(), (10, 2));
    }
}
