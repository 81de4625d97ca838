//! Datagrams on a byte stream: how each begins and ends.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Longest datagram that is taken from a stream, in bytes: what the WebRTC stack's buffers hold. Media's are shorter than 1,500.
pub(super) const DATAGRAM_MAX: usize = 2000;
/// Bytes before the attributes of a STUN message (RFC 8489 section 5).
const STUN_HEADER: usize = 20;
/// Bytes before the data of a ChannelData message (RFC 8656 section 12.4).
const CHANNEL_HEADER: usize = 4;

/// What separates datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// ICE over TCP: two bytes of length before each (RFC 6544 section 3, RFC 4571 section 2).
    IceTcp,
    /// TURN: STUN messages and ChannelData have a length of their own; ChannelData is padded to four bytes (RFC 8656 section 12.5).
    Turn,
}

/// Why a stream makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a datagram of {0} bytes, where {DATAGRAM_MAX} are expected at most")]
    TooLong(usize),
    #[error("neither STUN nor ChannelData begins with the byte {0:#04x}")]
    NotTurn(u8),
}

impl Framing {
    /// A datagram as it goes onto the stream; `None` if this stream cannot carry it.
    pub(super) fn frame(self, datagram: &[u8]) -> Option<Bytes> {
        match self {
            Self::IceTcp => {
                let length = u16::try_from(datagram.len()).ok()?;
                let mut frame = BytesMut::with_capacity(2 + datagram.len());
                frame.put_u16(length);
                frame.put_slice(datagram);
                Some(frame.freeze())
            }
            Self::Turn => {
                let (length, padded) = turn_length(datagram).ok()??;
                let mut frame = BytesMut::with_capacity(padded);
                // Over UDP padding is optional: what is there is cut off and made anew.
                frame.put_slice(datagram.get(..length)?);
                frame.put_bytes(0, padded - length);
                Some(frame.freeze())
            }
        }
    }
}

/// Length of the TURN message that begins here, without and with padding; `None` while too little of it is there.
fn turn_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let [first, _, high, low, ..] = bytes else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    match first >> 6 {
        0 => Ok(Some((STUN_HEADER + length, STUN_HEADER + length))),
        1 => Ok(Some((CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4)))),
        _ => Err(FrameError::NotTurn(*first)),
    }
}

/// Makes datagrams of the bytes of a stream, however they are cut. Holds one datagram and what was read last at most.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    pub(super) buffer: BytesMut,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, buffer: BytesMut::new() }
    }

    /// The next whole datagram of the buffer.
    ///
    /// # Errors
    /// If the stream is none of this framing's; it can only be closed then.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let (header, length, padded) = match self.framing {
            Framing::IceTcp => {
                let [high, low, ..] = self.buffer[..] else { return Ok(None) };
                let length = usize::from(u16::from_be_bytes([high, low]));
                (2, length, length)
            }
            Framing::Turn => match turn_length(&self.buffer)? {
                Some((length, padded)) => (0, length, padded),
                None => return Ok(None),
            },
        };
        if length > DATAGRAM_MAX {
            return Err(FrameError::TooLong(length));
        }
        if self.buffer.len() < header + padded {
            return Ok(None);
        }
        self.buffer.advance(header);
        let mut datagram = self.buffer.split_to(padded);
        datagram.truncate(length);
        Ok(Some(datagram.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Bytes>, FrameError> {
        std::iter::from_fn(|| decoder.next().transpose()).collect()
    }

    /// A STUN message or ChannelData of arbitrary contents.
    fn turn_message() -> impl Strategy<Value = Vec<u8>> {
        let stun = (prop::collection::vec(any::<u8>(), 16), prop::collection::vec(any::<[u8; 4]>(), 0..40)).prop_map(|(head, body)| {
            let body = body.concat();
            let mut message = vec![0, 1];
            message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            message.extend(head);
            message.extend(body);
            message
        });
        let channel = prop::collection::vec(any::<u8>(), 0..160).prop_map(|data| {
            let mut message = vec![0x40, 0];
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(data);
            message
        });
        prop_oneof![stun, channel]
    }

    fn messages() -> impl Strategy<Value = (Framing, Vec<Vec<u8>>)> {
        let any_datagram = prop::collection::vec(any::<u8>(), 0..200);
        prop_oneof![
            prop::collection::vec(any_datagram, 0..12).prop_map(|all| (Framing::IceTcp, all)),
            prop::collection::vec(turn_message(), 0..12).prop_map(|all| (Framing::Turn, all)),
        ]
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_datagrams_are_the_same(
            (framing, datagrams) in messages(),
            cuts in prop::collection::vec(1_usize..50, 1..20),
        ) {
            let stream: Vec<u8> = datagrams.iter().flat_map(|datagram| framing.frame(datagram).unwrap()).collect();
            let (mut decoder, mut decoded, mut rest) = (Decoder::new(framing), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                decoder.buffer.extend_from_slice(piece);
                decoded.extend(all(&mut decoder).unwrap());
                rest = after;
            }
            prop_assert_eq!(decoded, datagrams);
            prop_assert!(decoder.buffer.is_empty());
        }

        #[test]
        fn any_bytes_end_in_datagrams_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600), turn in any::<bool>()) {
            let mut decoder = Decoder::new(if turn { Framing::Turn } else { Framing::IceTcp });
            decoder.buffer.extend_from_slice(&bytes);
            if let Ok(datagrams) = all(&mut decoder) {
                prop_assert!(datagrams.iter().map(Bytes::len).sum::<usize>() + decoder.buffer.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn frames_as_the_standards_have_them() {
        assert_eq!(Framing::IceTcp.frame(b"abc").unwrap()[..], *b"\0\x03abc");
        assert_eq!(Framing::Turn.frame(b"\x40\0\0\x03abc").unwrap()[..], *b"\x40\0\0\x03abc\0");
        assert_eq!(Framing::Turn.frame(b"\x40\0\0\x03abc\xff").unwrap()[..], *b"\x40\0\0\x03abc\0", "padding is made anew");
        assert_eq!(Framing::IceTcp.frame(&vec![0; 70_000]), None);
        for (datagram, why) in [(&b"\x80\0\0\0"[..], "RTP"), (b"\0\x01", "cut off"), (b"\0\x01\0\x04", "shorter than it says")] {
            assert_eq!(Framing::Turn.frame(datagram), None, "{why}");
        }
    }

    #[test]
    fn nonsense_ends_the_stream() {
        let error = |framing, bytes: &[u8]| {
            let mut decoder = Decoder::new(framing);
            decoder.buffer.extend_from_slice(bytes);
            decoder.next().unwrap_err()
        };
        assert_eq!(error(Framing::IceTcp, b"HTTP/1.1 400"), FrameError::TooLong(0x4854));
        assert_eq!(error(Framing::Turn, &[0x80, 0, 0, 0]), FrameError::NotTurn(0x80));
    }
}
