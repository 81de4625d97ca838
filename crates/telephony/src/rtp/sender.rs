//! The outgoing stream: one packet each tick, numbered and stamped without a gap.

use std::collections::VecDeque;

use frontdesk_audio::g711;

use super::FRAME_SAMPLES;
use super::dtmf::{Digit, Event};
use super::packet::{self, Header};
use super::queue::{Outgoing, SendQueue};
use crate::sdp::Codec;

/// Ticks per frame of the 8 kHz RTP clock.
const FRAME_TICKS: u32 = FRAME_SAMPLES as u32;
/// Missed ticks that a receiver's jitter buffer absorbs; later ones move the timestamp at once.
const DEBT_MAX: u32 = 5;
/// Copies of an event's last packet (RFC 4733 §2.5.1.4).
const END_PACKETS: u32 = 3;
/// Silent ticks between two keys: 60 ms.
const KEY_PAUSE: u32 = 3;
/// Keys that may wait.
const KEYS_MAX: usize = 32;

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Packets, silent ones and events included.
    pub packets: u64,
    /// Bytes of payload.
    pub octets: u64,
    /// Packets with written audio.
    pub voice: u64,
    /// Ticks that were missed because the task came late.
    pub missed_ticks: u64,
    /// Samples dropped while the peer held the call.
    pub held_samples: u64,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    digit: Digit,
    /// Packets up to the end.
    packets: u32,
    sent: u32,
    timestamp: u32,
}

#[derive(Debug)]
pub(super) struct Sender {
    codec: Codec,
    payload_type: u8,
    event_payload_type: Option<u8>,
    may_send: bool,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    /// Missed ticks by which the timestamps lag behind the clock.
    debt: u32,
    keys: VecDeque<Key>,
    pause: u32,
    stats: SendStats,
}

impl Sender {
    /// A stream with random first numbers, which make a guess at its contents harder (RFC 3550 §5.1).
    pub(super) fn new(codec: Codec, payload_type: u8, event_payload_type: Option<u8>, may_send: bool) -> Self {
        Self {
            codec,
            payload_type,
            event_payload_type,
            may_send,
            ssrc: rand::random(),
            seq: rand::random(),
            timestamp: rand::random(),
            debt: 0,
            keys: VecDeque::new(),
            pause: 0,
            stats: SendStats::default(),
        }
    }

    pub(super) fn reconfigure(&mut self, codec: Codec, payload_type: u8, event_payload_type: Option<u8>, may_send: bool) {
        (self.codec, self.payload_type, self.event_payload_type, self.may_send) = (codec, payload_type, event_payload_type, may_send);
    }

    /// Queues a key. Whether it can be sent: telephone-event was agreed and not too many wait.
    pub(super) fn press(&mut self, digit: Digit, duration_ms: u32) -> bool {
        if self.event_payload_type.is_none() || self.keys.len() >= KEYS_MAX {
            return false;
        }
        // RFC 4733 §2.5.1.2 has 16 bits for the duration: at most 8 s here, at least the 40 ms that detectors want.
        let packets = duration_ms.clamp(40, 8000).div_ceil(20);
        self.keys.push_back(Key { digit, packets, sent: 0, timestamp: 0 });
        true
    }

    /// The packet of this tick. `missed` ticks before it found nobody.
    ///
    /// While somebody talks, timestamps go on without a gap: what is sent late is what receivers' buffers are for. In
    /// silence the timestamps catch up with the clock.
    pub(super) fn tick(&mut self, missed: u32, queue: &mut SendQueue) -> Option<Vec<u8>> {
        self.stats.missed_ticks += u64::from(missed);
        self.debt = self.debt.saturating_add(missed);
        if !self.may_send {
            // On hold the clock runs on and nobody hears what is said.
            self.stats.held_samples += queue.pop().map_or(0, |frame| frame.length as u64);
            self.catch_up();
            self.advance();
            return None;
        }
        if let Some(packet) = self.key_packet() {
            return Some(packet);
        }
        let frame = if self.pause > 0 { None } else { queue.pop() };
        self.pause = self.pause.saturating_sub(1);
        let is_overdue = self.debt > DEBT_MAX;
        if frame.is_none() || is_overdue {
            self.catch_up();
        }
        Some(self.voice_packet(frame, is_overdue))
    }

    fn voice_packet(&mut self, frame: Option<Outgoing>, leaps: bool) -> Vec<u8> {
        let marker = frame.as_ref().is_some_and(|frame| frame.starts_spurt) || leaps;
        let samples = frame.as_ref().map_or(&[0; FRAME_SAMPLES], |frame| &frame.samples);
        let payload = match self.codec {
            Codec::Pcmu => g711::encode_ulaw(samples),
            Codec::Pcma => g711::encode_alaw(samples),
        };
        self.stats.voice += u64::from(frame.is_some());
        let packet = self.packet(self.payload_type, marker, self.timestamp, &payload);
        self.advance();
        packet
    }

    fn key_packet(&mut self) -> Option<Vec<u8>> {
        let payload_type = self.event_payload_type?;
        if self.pause > 0 {
            return None;
        }
        let now = self.timestamp;
        let key = self.keys.front_mut()?;
        if key.sent == 0 {
            key.timestamp = now;
        }
        key.sent += 1;
        let key = *key;
        let told = key.sent.min(key.packets);
        let event = Event {
            code: key.digit.event(),
            end: key.sent >= key.packets,
            duration: u16::try_from(told * FRAME_TICKS).unwrap_or(u16::MAX),
        };
        if key.sent >= key.packets + END_PACKETS - 1 {
            self.keys.pop_front();
            self.pause = KEY_PAUSE;
        }
        let packet = self.packet(payload_type, key.sent == 1, key.timestamp, &event.to_bytes());
        self.advance();
        Some(packet)
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { payload_type, marker, seq: self.seq, timestamp, ssrc: self.ssrc };
        self.seq = self.seq.wrapping_add(1);
        self.stats.packets += 1;
        self.stats.octets += payload.len() as u64;
        packet::write(&header, payload)
    }

    const fn advance(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(FRAME_TICKS);
    }

    const fn catch_up(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(self.debt.wrapping_mul(FRAME_TICKS));
        self.debt = 0;
    }

    pub(super) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    pub(super) const fn stats(&self) -> SendStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::new(Codec::Pcmu, 0, Some(101), true)
    }

    fn header(packet: &[u8]) -> Header {
        packet::parse(packet).unwrap().0
    }

    #[test]
    fn numbers_and_timestamps_go_on_through_speech_and_silence() {
        let (mut sender, mut queue) = (sender(), SendQueue::new(8000, 0));
        queue.push(&[1000; 480]);
        let headers: Vec<Header> = (0..6).map(|_| header(&sender.tick(0, &mut queue).unwrap())).collect();
        for pair in headers.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        }
        let markers: Vec<bool> = headers.iter().map(|header| header.marker).collect();
        assert_eq!(markers, [true, false, false, false, false, false]);
    }

    #[test]
    fn a_small_stall_is_made_up_in_silence_a_long_one_at_once() {
        let (mut sender, mut queue) = (sender(), SendQueue::new(80_000, 0));
        queue.push(&[1000; 160 * 3]);
        let first = header(&sender.tick(0, &mut queue).unwrap());
        let second = header(&sender.tick(2, &mut queue).unwrap());
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(160), "speech is not torn");
        sender.tick(0, &mut queue);
        let silent = header(&sender.tick(0, &mut queue).unwrap());
        assert_eq!(silent.timestamp, first.timestamp.wrapping_add(160 * 5), "silence makes up for two ticks");
        queue.push(&[1000; 160 * 3]);
        let before = header(&sender.tick(0, &mut queue).unwrap());
        let after = header(&sender.tick(50, &mut queue).unwrap());
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(160 * 51));
        assert!(after.marker);
    }

    #[test]
    fn a_key_is_an_event_that_voice_waits_for() {
        let (mut sender, mut queue) = (sender(), SendQueue::new(80_000, 0));
        assert!(sender.press(Digit::new('7').unwrap(), 100));
        queue.push(&[1000; 160]);
        let packets: Vec<Vec<u8>> = (0..11).map(|_| sender.tick(0, &mut queue).unwrap()).collect();
        let events: Vec<(Header, Event)> = packets[..7]
            .iter()
            .map(|packet| {
                let (header, payload) = packet::parse(packet).unwrap();
                (header, Event::parse(payload).unwrap())
            })
            .collect();
        let durations: Vec<u16> = events.iter().map(|(_, event)| event.duration).collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
        assert!(
            events
                .iter()
                .all(|(header, event)| { header.timestamp == events[0].0.timestamp && header.payload_type == 101 && event.code == 7 })
        );
        assert_eq!(events.iter().filter(|(_, event)| event.end).count(), 3);
        assert_eq!(events.iter().filter(|(header, _)| header.marker).count(), 1);
        let after = header(&packets[7]);
        assert_eq!((after.payload_type, after.timestamp), (0, events[0].0.timestamp.wrapping_add(160 * 7)));
        assert_eq!(sender.stats().voice, 1, "the voice came after the pause");
        assert!(header(&packets[10]).marker);
    }

    #[test]
    fn on_hold_nothing_is_sent_and_speech_passes_unheard() {
        let (mut sender, mut queue) = (sender(), SendQueue::new(80_000, 0));
        let before = header(&sender.tick(0, &mut queue).unwrap());
        sender.reconfigure(Codec::Pcma, 8, None, false);
        queue.push(&[1000; 320]);
        assert!((0..10).all(|_| sender.tick(0, &mut queue).is_none()));
        assert!(!sender.press(Digit::new('1').unwrap(), 100), "no telephone-event agreed");
        sender.reconfigure(Codec::Pcma, 8, None, true);
        let after = header(&sender.tick(0, &mut queue).unwrap());
        assert_eq!(after.seq, before.seq.wrapping_add(1));
        assert_eq!((after.timestamp, after.payload_type), (before.timestamp.wrapping_add(160 * 11), 8));
        assert_eq!(sender.stats().held_samples, 320);
    }
}
