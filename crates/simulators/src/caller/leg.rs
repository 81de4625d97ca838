//! The caller's RTP leg on the wire: packets out of what the mouth says, samples out of what comes in.

use frontdesk_audio::g711;
use frontdesk_telephony::rtp::FRAME_SAMPLES;
use frontdesk_telephony::rtp::packet::{self, Header, PacketError};
use frontdesk_telephony::sdp::{Codec, RemoteMedia};

use super::mouth::Utterance;

/// RTP clock ticks of 20 ms at 8 kHz.
const FRAME_TICKS: u16 = FRAME_SAMPLES as u16;
/// Power of a key's tone in dBm0 below zero (RFC 4733 §2.3).
const KEY_VOLUME: u8 = 10;

/// Numbers and stamps outgoing packets; reads incoming ones.
#[derive(Debug)]
pub(super) struct Leg {
    codec: Codec,
    payload_type: u8,
    event_payload_type: Option<u8>,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    /// Where the key that is being pressed began: all its packets bear this timestamp.
    key_began: u32,
    was_silent: bool,
}

impl Leg {
    /// A stream as agreed, with random first numbers (RFC 3550 §5.1).
    pub(super) fn new(remote: &RemoteMedia) -> Self {
        Self {
            codec: remote.codec,
            payload_type: remote.payload_type,
            event_payload_type: remote.telephone_event,
            ssrc: rand::random(),
            seq: rand::random(),
            timestamp: rand::random(),
            key_began: 0,
            was_silent: true,
        }
    }

    /// The packet of the next 20 ms. A key that was not agreed to is silence.
    pub(super) fn packet(&mut self, content: &Utterance) -> Vec<u8> {
        let bytes = match (content, self.event_payload_type) {
            (Utterance::Audio(samples), _) => self.audio(samples),
            (Utterance::Key { .. }, None) => self.audio(&[0; FRAME_SAMPLES]),
            (Utterance::Key { digit, ticks, is_end }, Some(payload_type)) => {
                if *ticks == 1 {
                    self.key_began = self.timestamp;
                }
                let [high, low] = (ticks * FRAME_TICKS).to_be_bytes();
                let payload = [digit.event(), u8::from(*is_end) << 7 | KEY_VOLUME, high, low];
                let (seq, ssrc, marker) = (self.seq, self.ssrc, *ticks == 1);
                packet::write(&Header { payload_type, marker, seq, timestamp: self.key_began, ssrc }, &payload)
            }
        };
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(u32::from(FRAME_TICKS));
        bytes
    }

    fn audio(&mut self, samples: &[i16; FRAME_SAMPLES]) -> Vec<u8> {
        let is_silent = samples.iter().all(|sample| *sample == 0);
        let marker = self.was_silent && !is_silent;
        self.was_silent = is_silent;
        let payload = match self.codec {
            Codec::Pcmu => g711::encode_ulaw(samples),
            Codec::Pcma => g711::encode_alaw(samples),
        };
        let (payload_type, seq, timestamp, ssrc) = (self.payload_type, self.seq, self.timestamp, self.ssrc);
        packet::write(&Header { payload_type, marker, seq, timestamp, ssrc }, &payload)
    }

    /// Reads a packet of the agreed codec; `None` for everything else but RTCP, which is nothing at all: `Some(None)`.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Option<(Header, Vec<i16>)>> {
        let (header, payload) = match packet::parse(bytes) {
            Ok(parsed) => parsed,
            Err(PacketError::Rtcp) => return Some(None),
            Err(_) => return None,
        };
        if header.payload_type != self.payload_type || payload.is_empty() {
            return None;
        }
        let samples = match self.codec {
            Codec::Pcmu => g711::decode_ulaw(payload),
            Codec::Pcma => g711::decode_alaw(payload),
        };
        Some(Some((header, samples)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frontdesk_telephony::rtp::Digit;
    use frontdesk_telephony::sdp::Direction;

    fn leg(telephone_event: Option<u8>) -> Leg {
        let direction = Direction::SendRecv;
        Leg::new(&RemoteMedia { address: None, codec: Codec::Pcmu, payload_type: 0, telephone_event, direction, ptime_ms: 20 })
    }

    fn audio(value: i16) -> Utterance {
        Utterance::Audio(Box::new([value; FRAME_SAMPLES]))
    }

    #[test]
    fn packets_are_numbered_stamped_and_read_back() {
        let mut leg = leg(None);
        let packets: Vec<Vec<u8>> = [audio(0), audio(1000), audio(1000)].iter().map(|content| leg.packet(content)).collect();
        let read: Vec<(Header, Vec<i16>)> = packets.iter().map(|bytes| leg.read(bytes).flatten().expect("ours")).collect();
        assert_eq!(read.iter().map(|(header, _)| header.marker).collect::<Vec<_>>(), [false, true, false]);
        for pair in read.windows(2) {
            assert_eq!(pair[1].0.seq, pair[0].0.seq.wrapping_add(1));
            assert_eq!(pair[1].0.timestamp, pair[0].0.timestamp.wrapping_add(160));
        }
        assert!((read[1].1[0] - 1000).abs() < 40, "as near as G.711 comes");
        assert_eq!(leg.read(b"hello"), None);
        assert_eq!(leg.read(&[0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Some(None), "a report");
    }

    #[test]
    fn a_key_keeps_the_timestamp_of_its_begin() {
        let mut leg = leg(Some(101));
        let digit = Digit::new('5').expect("a key");
        let key = |ticks, is_end| Utterance::Key { digit, ticks, is_end };
        let packets: Vec<Vec<u8>> = [key(1, false), key(2, false), key(2, true)].iter().map(|content| leg.packet(content)).collect();
        let read: Vec<(Header, &[u8])> = packets.iter().map(|bytes| packet::parse(bytes).expect("RTP")).collect();
        assert!(read.iter().all(|(header, _)| header.timestamp == read[0].0.timestamp && header.payload_type == 101));
        assert_eq!(read[0].1, [5, KEY_VOLUME, 0, 160]);
        assert_eq!(read[2].1, [5, 0x80 | KEY_VOLUME, 1, 64]);
    }
}
