//! Opus (RFC 6716), mono, through libopus.
//!
//! libopus converts between its internal 48 kHz and the rate that is asked for, so a decoder made
//! for 16 kHz or 8 kHz and an encoder made for 24 kHz need no resampler beside them.

use ::opus::{Application, Bandwidth, Bitrate, Channels, Signal};

use crate::{FRAME_MS, SampleRate};

/// Longest audio that one packet may hold, in milliseconds (RFC 6716 section 3.2.5).
const MAX_PACKET_MS: u32 = 120;
/// Largest packet that the encoder may produce, in bytes; fits one MTU with room for SRTP.
const MAX_PACKET_BYTES: usize = 1_275;
/// Bits a second of the encoder: transparent for wideband speech (RFC 7587 section 3.1.1 recommends 16 to 20 kbit/s).
const BITRATE_BPS: i32 = 32_000;
/// Frequencies up to 8 kHz: what a voice needs and more than telephones carry. Above it, half as much again would be computed.
const BANDWIDTH: Bandwidth = Bandwidth::Wideband;
/// Encoder effort, 0 to 10. With so many bits for speech, more is not heard; with less, a recogniser misses words.
const COMPLEXITY: i32 = 3;

/// Why Opus could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum OpusError {
    /// Opus knows 8, 12, 16, 24 and 48 kHz only: resample first.
    #[error("Opus does not work at {0}; it takes 8000, 12000, 16000, 24000 or 48000 Hz")]
    UnsupportedRate(SampleRate),
    /// The encoder takes exactly 20 ms a call.
    #[error("an Opus frame of 20 ms has {expected} samples, but {actual} were given")]
    FrameLength {
        /// Samples of 20 ms at the encoder's rate.
        expected: usize,
        /// Samples that were given.
        actual: usize,
    },
    /// Concealment works in steps of 2.5 ms, up to 120 ms a call.
    #[error("{samples} samples cannot be concealed at {rate}: give a multiple of 2.5 ms, at most 120 ms")]
    ConcealLength {
        /// Samples that were asked for.
        samples: usize,
        /// Rate of the decoder.
        rate: SampleRate,
    },
    /// An empty payload is not a packet; conceal the frame instead.
    #[error("empty Opus packet")]
    EmptyPacket,
    /// The peer sent something that is not Opus: drop the packet and conceal.
    #[error("malformed Opus packet of {bytes} bytes")]
    MalformedPacket {
        /// Length of the packet.
        bytes: usize,
    },
    /// libopus failed in a way that valid arguments do not explain.
    #[error("libopus failed: {0}")]
    Codec(#[from] ::opus::Error),
}

fn check_rate(rate: SampleRate) -> Result<u32, OpusError> {
    match rate.hz() {
        hz @ (8_000 | 12_000 | 16_000 | 24_000 | 48_000) => Ok(hz),
        _ => Err(OpusError::UnsupportedRate(rate)),
    }
}

/// Decodes one stream of Opus packets to mono PCM at a chosen rate. Stereo packets are mixed down.
#[derive(Debug)]
pub struct Decoder {
    inner: ::opus::Decoder,
    rate: SampleRate,
}

impl Decoder {
    /// A decoder that yields PCM at `rate` (8, 12, 16, 24 or 48 kHz).
    ///
    /// # Errors
    /// [`OpusError::UnsupportedRate`] for any other rate.
    pub fn new(rate: SampleRate) -> Result<Self, OpusError> {
        let inner = ::opus::Decoder::new(check_rate(rate)?, Channels::Mono)?;
        Ok(Self { inner, rate })
    }

    /// Rate of the samples that [`Self::decode`] returns.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Decodes one packet; the number of samples is what the packet holds (2.5 to 120 ms).
    ///
    /// # Errors
    /// [`OpusError::EmptyPacket`] or [`OpusError::MalformedPacket`]; the decoder stays usable.
    pub fn decode(&mut self, packet: &[u8]) -> Result<Vec<i16>, OpusError> {
        if packet.is_empty() {
            return Err(OpusError::EmptyPacket);
        }
        let longest = self.rate.samples_in_ms(MAX_PACKET_MS);
        match self.inner.get_nb_samples(packet) {
            Ok(length @ 1..) if length <= longest => self.run(packet, &mut vec![0; length], false),
            // Its header says how long it is.
            _ => Err(OpusError::MalformedPacket { bytes: packet.len() }),
        }
    }

    /// Invents `samples` samples in the place of lost audio (packet loss concealment).
    ///
    /// # Errors
    /// [`OpusError::ConcealLength`] unless `samples` is a multiple of 2.5 ms, above 0 and at most 120 ms.
    pub fn conceal(&mut self, samples: usize) -> Result<Vec<i16>, OpusError> {
        self.check_length(samples)?;
        self.run(&[], &mut vec![0; samples], false)
    }

    /// Rebuilds the `samples` samples of the lost packet before `next` from the redundancy that `next`
    /// carries (in-band FEC, RFC 6716 section 2.1.7), or conceals them when it carries none. Decode `next` itself afterwards.
    ///
    /// # Errors
    /// As [`Self::decode`] and [`Self::conceal`].
    pub fn recover(&mut self, next: &[u8], samples: usize) -> Result<Vec<i16>, OpusError> {
        if next.is_empty() {
            return Err(OpusError::EmptyPacket);
        }
        self.check_length(samples)?;
        self.run(next, &mut vec![0; samples], true)
    }

    fn check_length(&self, samples: usize) -> Result<(), OpusError> {
        // 2.5 ms is a whole number of samples at every rate that `new` accepts.
        let step = self.rate.hz() as usize / 400;
        let longest = self.rate.samples_in_ms(MAX_PACKET_MS);
        if samples == 0 || samples > longest || !samples.is_multiple_of(step) {
            return Err(OpusError::ConcealLength { samples, rate: self.rate });
        }
        Ok(())
    }

    fn run(&mut self, packet: &[u8], out: &mut Vec<i16>, fec: bool) -> Result<Vec<i16>, OpusError> {
        let written = self.inner.decode(packet, out, fec).map_err(|error| match error.code() {
            ::opus::ErrorCode::InvalidPacket | ::opus::ErrorCode::BufferTooSmall => OpusError::MalformedPacket { bytes: packet.len() },
            _ => OpusError::Codec(error),
        })?;
        out.truncate(written);
        Ok(std::mem::take(out))
    }
}

/// Encodes mono PCM as Opus packets of 20 ms, tuned for speech.
///
/// Discontinuous transmission stays off: every frame gives a packet, so that the receiver's clock never guesses.
#[derive(Debug)]
pub struct Encoder {
    inner: ::opus::Encoder,
    frame: usize,
}

impl Encoder {
    /// An encoder for PCM at `rate` (8, 12, 16, 24 or 48 kHz), in VoIP mode, in-band FEC off.
    ///
    /// # Errors
    /// [`OpusError::UnsupportedRate`] for any other rate.
    pub fn new(rate: SampleRate) -> Result<Self, OpusError> {
        let mut inner = ::opus::Encoder::new(check_rate(rate)?, Channels::Mono, Application::Voip)?;
        inner.set_signal(Signal::Voice)?;
        inner.set_bitrate(Bitrate::Bits(BITRATE_BPS))?;
        inner.set_max_bandwidth(BANDWIDTH)?;
        inner.set_complexity(COMPLEXITY)?;
        inner.set_dtx(false)?;
        Ok(Self { inner, frame: rate.samples_in_ms(FRAME_MS) })
    }

    /// Turns in-band FEC on for a line that loses about `loss_percent` of its packets, or off with 0.
    /// The redundancy takes bits from the voice, so leave it off where nothing is lost.
    ///
    /// # Errors
    /// [`OpusError::Codec`] when libopus refuses.
    pub fn set_fec(&mut self, loss_percent: u8) -> Result<(), OpusError> {
        self.inner.set_inband_fec(loss_percent > 0)?;
        self.inner.set_packet_loss_perc(i32::from(loss_percent.min(100)))?;
        Ok(())
    }

    /// Sets the bit rate, in bits a second (libopus accepts 500 to 512,000).
    ///
    /// # Errors
    /// [`OpusError::Codec`] when libopus refuses.
    pub fn set_bitrate_bps(&mut self, bps: u32) -> Result<(), OpusError> {
        let bps = i32::try_from(bps).unwrap_or(i32::MAX);
        Ok(self.inner.set_bitrate(Bitrate::Bits(bps))?)
    }

    /// Samples of delay that encoding and decoding add, at the encoder's rate.
    ///
    /// # Errors
    /// [`OpusError::Codec`] when libopus refuses.
    pub fn lookahead(&mut self) -> Result<usize, OpusError> {
        Ok(usize::try_from(self.inner.get_lookahead()?).unwrap_or(0))
    }

    /// Encodes 20 ms into one packet.
    ///
    /// # Errors
    /// [`OpusError::FrameLength`] unless `samples` is exactly 20 ms.
    pub fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, OpusError> {
        if samples.len() != self.frame {
            return Err(OpusError::FrameLength { expected: self.frame, actual: samples.len() });
        }
        Ok(self.inner.encode_vec(samples, MAX_PACKET_BYTES)?)
    }
}
