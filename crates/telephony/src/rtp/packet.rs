//! RTP packets on the wire (RFC 3550 §5.1).

/// Length of a header without contributing sources and extension.
pub const HEADER_LEN: usize = 12;
/// Most payload sent or taken: 120 ms of G.711 with room to spare.
pub const PAYLOAD_MAX: usize = 1400;

/// A packet's header fields, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Payload type, below 128.
    pub payload_type: u8,
    /// Start of a talk spurt, or of an event.
    pub marker: bool,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Why bytes are no RTP packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its header, its extension or its padding says.
    #[error("packet is truncated")]
    Truncated,
    /// Another version than 2.
    #[error("rtp version is not 2")]
    Version,
    /// An RTCP packet on the RTP port (RFC 5761 §4). Not an error of the peer's.
    #[error("packet is rtcp")]
    Rtcp,
    /// A payload that no telephone sends.
    #[error("payload is too long")]
    TooLong,
}

/// Splits a packet into header and payload, past contributing sources, extension and padding.
///
/// # Errors
/// [`PacketError`]; the packet is to be dropped.
pub fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), PacketError> {
    let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(PacketError::Truncated)?;
    let [first, second, seq_high, seq_low, t0, t1, t2, t3, s0, s1, s2, s3] = *fixed;
    if first >> 6 != 2 {
        return Err(PacketError::Version);
    }
    // RFC 5761 §4: RTCP packet types 192 to 223 stand where RTP has marker and payload type 64 to 95.
    if (192..=223).contains(&second) {
        return Err(PacketError::Rtcp);
    }
    let mut payload = bytes.get(HEADER_LEN + 4 * usize::from(first & 0x0f)..).ok_or(PacketError::Truncated)?;
    if first & 0x10 != 0 {
        let &[_, _, high, low] = payload.first_chunk().ok_or(PacketError::Truncated)?;
        let words = usize::from(u16::from_be_bytes([high, low]));
        payload = payload.get(4 + 4 * words..).ok_or(PacketError::Truncated)?;
    }
    if first & 0x20 != 0 {
        let padding = usize::from(*payload.last().ok_or(PacketError::Truncated)?);
        let kept = payload.len().checked_sub(padding).filter(|_| padding > 0).ok_or(PacketError::Truncated)?;
        payload = &payload[..kept];
    }
    if payload.len() > PAYLOAD_MAX {
        return Err(PacketError::TooLong);
    }
    let header = Header {
        payload_type: second & 0x7f,
        marker: second & 0x80 != 0,
        seq: u16::from_be_bytes([seq_high, seq_low]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
    };
    Ok((header, payload))
}

/// Joins header and payload.
#[must_use]
pub fn write(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.push(0x80);
    bytes.push(u8::from(header.marker) << 7 | header.payload_type & 0x7f);
    bytes.extend_from_slice(&header.seq.to_be_bytes());
    bytes.extend_from_slice(&header.timestamp.to_be_bytes());
    bytes.extend_from_slice(&header.ssrc.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources_extension_and_padding_are_passed() {
        let mut bytes = write(&Header { payload_type: 0, marker: true, seq: 7, timestamp: 8, ssrc: 9 }, &[]);
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend_from_slice(b"voice\0\0\x03");
        let (header, payload) = parse(&bytes).unwrap();
        assert_eq!((header.seq, header.timestamp, header.ssrc, header.marker), (7, 8, 9, true));
        assert_eq!(payload, b"voice");
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let plain = write(&Header { payload_type: 0, marker: false, seq: 0, timestamp: 0, ssrc: 0 }, &[1, 2, 3]);
        let with = |first: u8, tail: &[u8]| {
            let mut bytes = plain[..HEADER_LEN].to_vec();
            bytes[0] = first;
            bytes.extend_from_slice(tail);
            bytes
        };
        for bytes in [
            with(0x8f, &[0; 59]),
            with(0x90, &[0, 0, 0xff, 0xff]),
            with(0x90, &[0]),
            with(0xa0, &[]),
            with(0xa0, &[0]),
            with(0xa0, &[1, 9]),
            plain[..11].to_vec(),
        ] {
            assert_eq!(parse(&bytes), Err(PacketError::Truncated), "{bytes:?}");
        }
        assert_eq!(parse(&with(0x40, &[])), Err(PacketError::Version));
        assert_eq!(parse(&with(0x80, &[0; PAYLOAD_MAX + 1])), Err(PacketError::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..1600)) {
            if let Ok((_, payload)) = parse(&bytes) {
                prop_assert!(payload.len() + HEADER_LEN <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read(pt in 0u8..64, marker: bool, seq: u16, timestamp: u32, ssrc: u32,
                                   payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let header = Header { payload_type: pt, marker, seq, timestamp, ssrc };
            let written = write(&header, &payload);
            prop_assert_eq!(parse(&written), Ok((header, payload.as_slice())));
        }
    }
}
