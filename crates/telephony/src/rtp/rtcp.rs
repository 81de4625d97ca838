//! The least RTCP that a peer may expect: sender reports with a name, and a goodbye (RFC 3550 §6).
//!
//! What peers report is not read; loss and jitter are measured where the packets arrive.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SendStats;

/// Interval of reports (RFC 3550 §6.2).
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

const SENDER_REPORT: u8 = 200;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
/// Seconds from 1900 to 1970.
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// A sender report with a random canonical name, as a compound packet.
pub(super) fn report(ssrc: u32, timestamp: u32, stats: SendStats, wall: SystemTime) -> Vec<u8> {
    let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = (since_epoch.as_secs() + NTP_UNIX_OFFSET_S) as u32;
    let fraction = ((u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    let mut bytes = vec![0x80, SENDER_REPORT, 0, 6];
    for word in [ssrc, seconds, fraction, timestamp, stats.packets as u32, stats.octets as u32] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    // Eight hex digits of the source itself: a name of no one (RFC 7022 §4.2), 12 bytes with its head and end.
    bytes.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, 4]);
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(&[CNAME, 8]);
    bytes.extend_from_slice(format!("{ssrc:08x}").as_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// A report and a goodbye.
pub(super) fn goodbye(ssrc: u32, timestamp: u32, stats: SendStats, wall: SystemTime) -> Vec<u8> {
    let mut bytes = report(ssrc, timestamp, stats, wall);
    bytes.extend_from_slice(&[0x81, GOODBYE, 0, 1]);
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_packets_have_true_lengths() {
        let bytes = goodbye(0x0102_0304, 5, SendStats { packets: 6, octets: 960, ..SendStats::default() }, UNIX_EPOCH);
        let mut rest = bytes.as_slice();
        let mut kinds = Vec::new();
        while let Some(&[first, kind, high, low]) = rest.first_chunk() {
            assert_eq!(first >> 6, 2);
            kinds.push(kind);
            rest = &rest[4 * (usize::from(u16::from_be_bytes([high, low])) + 1)..];
        }
        assert_eq!(kinds, [SENDER_REPORT, SOURCE_DESCRIPTION, GOODBYE]);
        assert!(rest.is_empty());
        assert_eq!(&bytes[20..28], &[0, 0, 0, 6, 0, 0, 3, 192]);
    }
}
