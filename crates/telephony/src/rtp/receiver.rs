//! The incoming stream: packets in, one frame a tick out.

use std::net::SocketAddr;
use std::time::Duration;

use frontdesk_audio::g711;
use frontdesk_audio::jitter::{Incoming, JitterBuffer, JitterConfig, JitterStats, Playout};

use super::FRAME_SAMPLES;
use super::dtmf::{Digit, DtmfReceiver, Event};
use super::latch::Latch;
use super::packet::{self, PacketError};
use crate::sdp::Codec;

/// Comfort noise (RFC 3389): the peer is silent but there.
const COMFORT_NOISE: u8 = 13;
/// Loudest sample of a packet that counts as silence: about −48 dBFS.
const QUIET_MAX: u16 = 128;
/// Frames of a loss that are filled with the fading last one; then silence.
const CONCEALED_MAX: u32 = 3;

/// What came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Packets of the peer that were taken, events included.
    pub packets: u64,
    /// Packets that were no RTP, or of a payload type that was not agreed.
    pub malformed: u64,
    /// Packets from anybody but the peer.
    pub strangers: u64,
    /// Frames that were made up for lost packets.
    pub concealed: u64,
    /// Events dropped because the application did not take them.
    pub untaken: u64,
    /// What the jitter buffer did.
    pub jitter: JitterStats,
}

#[derive(Debug)]
enum Payload {
    Voice(Vec<i16>),
    /// An event or comfort noise: time in which the peer is not heard.
    Silence,
}

/// What one tick brings.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tick {
    /// The next 20 ms; none before the first packet's turn.
    pub(super) frame: Option<Vec<i16>>,
    pub(super) key: Option<(Digit, u32)>,
    pub(super) timed_out: bool,
}

/// How long the peer may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) first_packet_max: Duration,
    pub(super) silence_max: Duration,
}

pub(super) struct Receiver {
    latch: Latch,
    codec: Codec,
    payload_type: u8,
    event_payload_type: Option<u8>,
    jitter: JitterBuffer<Payload>,
    dtmf: DtmfReceiver,
    /// Samples decoded but not yet played, when the peer's packets are not of 20 ms.
    ready: Vec<i16>,
    last: Vec<i16>,
    lost: u32,
    is_heard: bool,
    may_receive: bool,
    patience: Patience,
    /// When the present wait for a packet began, and whether its end was told.
    waiting_since: Duration,
    any_packet: bool,
    has_timed_out: bool,
    stats: ReceiveStats,
}

impl Receiver {
    pub(super) fn new(latch: Latch, jitter: JitterConfig, patience: Patience) -> Self {
        Self {
            latch,
            codec: Codec::Pcmu,
            payload_type: 0,
            event_payload_type: None,
            jitter: JitterBuffer::new(jitter),
            dtmf: DtmfReceiver::default(),
            ready: Vec::new(),
            last: Vec::new(),
            lost: 0,
            is_heard: false,
            may_receive: true,
            patience,
            waiting_since: Duration::ZERO,
            any_packet: false,
            has_timed_out: false,
            stats: ReceiveStats::default(),
        }
    }

    pub(super) fn reconfigure(&mut self, now: Duration, codec: Codec, payload_type: u8, event_payload_type: Option<u8>, may_receive: bool) {
        (self.codec, self.payload_type, self.event_payload_type) = (codec, payload_type, event_payload_type);
        if may_receive && !self.may_receive {
            self.waiting_since = now;
        }
        self.may_receive = may_receive;
    }

    /// Another address was agreed: the peer is to be found anew.
    pub(super) fn relatch(&mut self, latch: Latch) {
        self.latch = latch;
    }

    pub(super) fn target(&self) -> Option<SocketAddr> {
        self.latch.target()
    }

    /// Takes a datagram; returns a key press that is over by it.
    pub(super) fn receive(&mut self, now: Duration, bytes: &[u8], from: SocketAddr) -> Option<(Digit, u32)> {
        let (header, payload) = match packet::parse(bytes) {
            Ok(parsed) => parsed,
            Err(PacketError::Rtcp) => return None,
            Err(_) => {
                self.stats.malformed += 1;
                return None;
            }
        };
        let is_event = self.event_payload_type == Some(header.payload_type);
        let codec = self.codec_of(header.payload_type);
        if !is_event && codec.is_none() && header.payload_type != COMFORT_NOISE {
            self.stats.malformed += 1;
            return None;
        }
        if !self.latch.admits(from) {
            self.stats.strangers += 1;
            return None;
        }
        self.stats.packets += 1;
        self.any_packet = true;
        self.waiting_since = now;
        self.has_timed_out = false;
        self.jitter.select_source(header.ssrc);
        let mut incoming = Incoming {
            seq: header.seq,
            timestamp: header.timestamp,
            arrival: now,
            marker: header.marker,
            quiet: true,
            ticks: None,
            payload: Payload::Silence,
        };
        let event = is_event.then(|| Event::parse(payload)).flatten();
        match (codec, event) {
            (Some(codec), _) if !payload.is_empty() => {
                let samples = match codec {
                    Codec::Pcmu => g711::decode_ulaw(payload),
                    Codec::Pcma => g711::decode_alaw(payload),
                };
                incoming.quiet = samples.iter().all(|sample| sample.unsigned_abs() <= QUIET_MAX);
                incoming.ticks = u32::try_from(samples.len()).ok();
                incoming.payload = Payload::Voice(samples);
            }
            (_, Some(event)) => {
                // All packets of an event bear its first timestamp; each stands for the 20 ms up to its duration.
                let frame = FRAME_SAMPLES as u32;
                let spans = u32::from(event.duration).max(frame) - frame;
                incoming.timestamp = header.timestamp.wrapping_add(spans);
            }
            _ => {}
        }
        self.jitter.insert(incoming);
        event.and_then(|event| self.dtmf.receive(now, header.timestamp, event))
    }

    /// The codec of a payload type: the agreed one, or PCMU and PCMA by their static numbers.
    fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        if payload_type == self.payload_type {
            return Some(self.codec);
        }
        [Codec::Pcmu, Codec::Pcma].into_iter().find(|codec| codec.static_payload_type() == payload_type)
    }

    /// Lets 20 ms pass.
    pub(super) fn tick(&mut self, now: Duration) -> Tick {
        let most = if self.any_packet { self.patience.silence_max } else { self.patience.first_packet_max };
        let waited = now.saturating_sub(self.waiting_since);
        let timed_out = self.may_receive && !self.has_timed_out && waited >= most;
        self.has_timed_out |= timed_out;
        Tick { frame: self.frame(now), key: self.dtmf.tick(now), timed_out }
    }

    fn frame(&mut self, now: Duration) -> Option<Vec<i16>> {
        if self.ready.len() < FRAME_SAMPLES {
            let next = match self.jitter.pop(now) {
                Playout::Packet(packet) => self.play(packet.payload),
                Playout::Missing => self.conceal(),
                Playout::Empty => {
                    self.last.clear();
                    if !self.is_heard {
                        return None;
                    }
                    vec![0; FRAME_SAMPLES - self.ready.len()]
                }
            };
            self.ready.extend_from_slice(&next);
            // Packets shorter than 20 ms: more of them make one frame.
            while self.ready.len() < FRAME_SAMPLES {
                match self.jitter.pop(now) {
                    Playout::Packet(packet) => {
                        let next = self.play(packet.payload);
                        self.ready.extend_from_slice(&next);
                    }
                    _ => self.ready.resize(FRAME_SAMPLES, 0),
                }
            }
        }
        Some(self.ready.drain(..FRAME_SAMPLES).collect())
    }

    fn play(&mut self, payload: Payload) -> Vec<i16> {
        self.is_heard = true;
        self.lost = 0;
        match payload {
            Payload::Voice(samples) => {
                self.last.clone_from(&samples);
                samples
            }
            Payload::Silence => {
                self.last.clear();
                vec![0; FRAME_SAMPLES]
            }
        }
    }

    /// One frame in place of a lost one: the last again, half as loud each time.
    fn conceal(&mut self) -> Vec<i16> {
        self.stats.concealed += 1;
        self.lost += 1;
        if self.lost > CONCEALED_MAX || self.last.is_empty() {
            return vec![0; FRAME_SAMPLES];
        }
        for sample in &mut self.last {
            *sample /= 2;
        }
        self.last.iter().copied().chain(std::iter::repeat(0)).take(FRAME_SAMPLES).collect()
    }

    pub(super) fn stats(&self) -> ReceiveStats {
        ReceiveStats { jitter: self.jitter.stats(), ..self.stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::packet::Header;

    const PATIENCE: Patience = Patience { first_packet_max: Duration::from_secs(30), silence_max: Duration::from_secs(15) };

    fn peer() -> SocketAddr {
        "127.0.0.1:4000".parse().unwrap()
    }

    fn receiver() -> Receiver {
        let mut receiver = Receiver::new(Latch::new(Some(peer()), peer().ip(), false), JitterConfig::g711(), PATIENCE);
        receiver.reconfigure(Duration::ZERO, Codec::Pcmu, 0, Some(101), true);
        receiver
    }

    fn packet(n: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header { payload_type, marker: n == 0, seq: n, timestamp: u32::from(n) * 160, ssrc: 1 };
        packet::write(&header, payload)
    }

    fn voice(n: u16) -> Vec<u8> {
        packet(n, 0, &g711::encode_ulaw(&[1000 + 50 * n as i16; 160]))
    }

    fn at(n: u64) -> Duration {
        Duration::from_millis(20 * n)
    }

    /// Feeds packet n at tick n, as `send` says, and returns the frames that were heard.
    fn run(receiver: &mut Receiver, ticks: u16, send: impl Fn(u16) -> Vec<Vec<u8>>) -> Vec<Vec<i16>> {
        (0..ticks)
            .filter_map(|n| {
                for bytes in send(n) {
                    receiver.receive(at(n.into()), &bytes, peer());
                }
                receiver.tick(at(n.into())).frame
            })
            .collect()
    }

    fn levels(frames: &[Vec<i16>]) -> Vec<i16> {
        frames.iter().map(|frame| frame[80]).collect()
    }

    #[test]
    fn a_clean_stream_is_heard_whole() {
        let frames = run(&mut receiver(), 60, |n| vec![voice(n)]);
        let expected: Vec<i16> = (0..frames.len()).map(|n| g711::decode_ulaw(&g711::encode_ulaw(&[1000 + 50 * n as i16]))[0]).collect();
        assert!(frames.len() >= 56, "{}", frames.len());
        assert_eq!(levels(&frames), expected);
    }

    #[test]
    fn a_lost_packet_is_concealed_in_its_place() {
        let mut receiver = receiver();
        let frames = run(&mut receiver, 40, |n| if n == 10 { vec![] } else { vec![voice(n)] });
        assert_eq!(receiver.stats().concealed, 1);
        let levels = levels(&frames);
        assert_eq!(levels[10], levels[9] / 2);
        assert!(levels[11] > levels[9]);
    }

    #[test]
    fn packets_of_ten_and_thirty_milliseconds_fit_in() {
        for length in [80_usize, 240] {
            let mut receiver = receiver();
            let mut heard: Vec<i16> = Vec::new();
            let mut sent = 0;
            for ms in (0..2000).step_by(10) {
                while sent * length <= ms * 8 {
                    let header = Header { payload_type: 0, marker: false, seq: sent as u16, timestamp: (sent * length) as u32, ssrc: 1 };
                    let bytes = packet::write(&header, &g711::encode_ulaw(&vec![4000; length]));
                    receiver.receive(Duration::from_millis(ms as u64), &bytes, peer());
                    sent += 1;
                }
                if ms % 20 == 0 {
                    heard.extend(receiver.tick(Duration::from_millis(ms as u64)).frame.unwrap_or_default());
                }
            }
            let silent = heard.iter().filter(|sample| **sample < 3000).count();
            assert!(heard.len() > 14_000 && silent <= 320, "{length}: {} heard, {silent} silent", heard.len());
        }
    }

    #[test]
    fn keys_are_told_and_not_heard() {
        let mut receiver = receiver();
        let mut keys = Vec::new();
        for n in 0..40_u16 {
            let bytes = match n {
                10..16 => {
                    let event = Event { code: 3, end: n >= 13, duration: (n - 9).min(4) * 160 };
                    let header = Header { payload_type: 101, marker: n == 10, seq: n, timestamp: 1600, ssrc: 1 };
                    packet::write(&header, &event.to_bytes())
                }
                n => voice(n),
            };
            keys.extend(receiver.receive(at(n.into()), &bytes, peer()));
            let tick = receiver.tick(at(n.into()));
            keys.extend(tick.key);
            if n == 14 {
                assert!(tick.frame.is_some_and(|frame| frame.iter().all(|sample| *sample == 0)));
            }
        }
        assert_eq!(keys, [(Digit::new('3').unwrap(), 80)]);
    }

    #[test]
    fn silence_of_the_line_times_out_once_but_not_on_hold() {
        let mut receiver = receiver();
        let timed_out = |receiver: &mut Receiver, from: u64, to: u64| (from..to).filter(|n| receiver.tick(at(*n)).timed_out).count();
        assert_eq!(timed_out(&mut receiver, 0, 1499), 0);
        assert_eq!(timed_out(&mut receiver, 1499, 3000), 1, "30 s before the first packet");
        receiver.receive(at(3000), &voice(0), peer());
        assert_eq!(timed_out(&mut receiver, 3000, 3749), 0);
        assert_eq!(timed_out(&mut receiver, 3749, 6000), 1, "15 s after");
        receiver.receive(at(6000), &voice(1), peer());
        receiver.reconfigure(at(6000), Codec::Pcmu, 0, None, false);
        assert_eq!(timed_out(&mut receiver, 6000, 20_000), 0);
        receiver.reconfigure(at(20_000), Codec::Pcmu, 0, None, true);
        assert_eq!(timed_out(&mut receiver, 20_000, 20_749), 0);
        assert_eq!(timed_out(&mut receiver, 20_749, 20_760), 1);
    }

    #[test]
    fn strangers_noise_and_foreign_payloads_are_counted_and_dropped() {
        let mut receiver = receiver();
        receiver.receive(at(0), &voice(0), peer());
        receiver.receive(at(0), &voice(1), "127.0.0.1:4002".parse().unwrap());
        receiver.receive(at(0), &packet(1, 96, &[0; 160]), peer());
        receiver.receive(at(0), b"noise", peer());
        let stats = receiver.stats();
        assert_eq!((stats.packets, stats.strangers, stats.malformed), (1, 1, 2));
    }
}
