//! The agent's RTP stream as it came: placed by its timestamps, with every irregularity counted.

use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_telephony::rtp::packet::Header;

/// What came in, and what was wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Packets with audio.
    pub packets: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets whose sequence number had been there before.
    pub repeated: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Neighbours whose timestamps do not differ by their length.
    pub leaps: u64,
    /// Packets that were no RTP, of another payload type or from another source.
    pub foreign: u64,
    /// Longest time between two packets.
    pub gap_max: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Origin {
    ssrc: u32,
    timestamp: u32,
    /// Sample of the recording at which the timestamp stands.
    at: usize,
    last_seq: u16,
    last_end: u32,
    last_arrival: Duration,
}

/// The recording of the agent.
#[derive(Debug)]
pub(super) struct Stream {
    origin: Option<Origin>,
    samples: Vec<i16>,
    samples_max: usize,
    report: StreamReport,
}

impl Stream {
    pub(super) fn new(length_max: Duration) -> Self {
        Self { origin: None, samples: Vec::new(), samples_max: SampleRate::HZ_8000.samples_in(length_max), report: StreamReport::default() }
    }

    /// Takes a packet's audio; `arrival` is counted from the answer.
    pub(super) fn take(&mut self, arrival: Duration, header: &Header, samples: &[i16]) {
        let origin = self.origin.get_or_insert_with(|| Origin {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            at: SampleRate::HZ_8000.samples_in(arrival),
            last_seq: header.seq.wrapping_sub(1),
            last_end: header.timestamp,
            last_arrival: arrival,
        });
        if header.ssrc != origin.ssrc {
            self.report.foreign += 1;
            return;
        }
        self.report.packets += 1;
        self.report.gap_max = self.report.gap_max.max(arrival.saturating_sub(origin.last_arrival));
        origin.last_arrival = arrival;
        // RFC 3550 §A.1: less than half the range ahead is ahead.
        let step = header.seq.wrapping_sub(origin.last_seq);
        match step {
            0 => {
                self.report.repeated += 1;
                return;
            }
            1 => self.report.leaps += u64::from(header.timestamp != origin.last_end),
            2..0x8000 => self.report.lost += u64::from(step) - 1,
            _ => {
                // It was counted as lost when its place was passed.
                self.report.reordered += 1;
                self.report.lost = self.report.lost.saturating_sub(1);
            }
        }
        if step < 0x8000 {
            origin.last_seq = header.seq;
            origin.last_end = header.timestamp.wrapping_add(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        }
        let offset = i64::from(header.timestamp.wrapping_sub(origin.timestamp).cast_signed());
        let Some(at) = i64::try_from(origin.at).ok().and_then(|at| usize::try_from(at + offset).ok()) else {
            return;
        };
        self.place(at, samples);
    }

    fn place(&mut self, at: usize, samples: &[i16]) {
        let end = at + samples.len();
        if end > self.samples_max {
            return;
        }
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        self.samples[at..end].copy_from_slice(samples);
    }

    /// Counts bytes that were no packet of the agent's.
    pub(super) const fn foreign(&mut self) {
        self.report.foreign += 1;
    }

    pub(super) fn finish(self) -> (Vec<i16>, StreamReport) {
        (self.samples, self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(n: u16) -> Header {
        // Both numbers run over on the way.
        let timestamp = (u32::MAX - 1000).wrapping_add(u32::from(n) * 160);
        Header { payload_type: 0, marker: false, seq: (u16::MAX - 2).wrapping_add(n), timestamp, ssrc: 7 }
    }

    fn take(order: &[u16]) -> (Vec<i16>, StreamReport) {
        let mut stream = Stream::new(Duration::from_secs(10));
        for (tick, n) in order.iter().enumerate() {
            let arrival = Duration::from_millis(100 + 20 * tick as u64);
            stream.take(arrival, &header(*n), &[i16::try_from(*n).expect("small") + 1; 160]);
        }
        stream.finish()
    }

    #[test]
    fn a_whole_stream_stands_where_it_came_in() {
        let (samples, report) = take(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(samples.len(), 800 + 6 * 160);
        assert_eq!(samples[..800], [0; 800]);
        assert!((0..6).all(|n| samples[800 + n * 160..][..160] == [i16::try_from(n).expect("small") + 1; 160]));
        let clean = StreamReport { packets: 6, gap_max: Duration::from_millis(20), ..StreamReport::default() };
        assert_eq!(report, clean);
    }

    #[test]
    fn losses_repetitions_and_disorder_are_counted() {
        let (samples, report) = take(&[0, 1, 1, 4, 3, 5]);
        assert_eq!((report.lost, report.repeated, report.reordered, report.leaps), (1, 1, 1, 0));
        assert_eq!(samples[800 + 2 * 160..][..160], [0; 160], "the lost one");
        assert_eq!(samples[800 + 3 * 160..][..160], [4; 160], "the late one is in its place");
    }

    #[test]
    fn leaps_of_the_timestamp_and_strangers_are_counted() {
        let mut stream = Stream::new(Duration::from_secs(1));
        stream.take(Duration::ZERO, &header(0), &[1; 160]);
        let late = Header { timestamp: header(4).timestamp, ..header(1) };
        stream.take(Duration::from_millis(20), &late, &[2; 160]);
        stream.take(Duration::from_millis(40), &Header { ssrc: 8, ..header(2) }, &[3; 160]);
        stream.take(Duration::from_millis(60), &header(1000), &[9; 160]);
        let (samples, report) = stream.finish();
        assert_eq!((report.leaps, report.foreign), (1, 1));
        assert_eq!(samples.len(), 5 * 160, "beyond the bound nothing is kept");
    }
}
