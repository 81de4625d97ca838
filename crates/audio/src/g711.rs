//! G.711 μ-law and A-law, ITU-T Recommendation G.711 (11/1988), tables 1a to 2b.
//!
//! Linear samples are 16-bit; the Recommendation's 14-bit (μ-law) and 13-bit (A-law) scales are
//! reached by shifting. Decoding gives the Recommendation's quantised values; encoding puts a
//! magnitude that lies on a decision value into the upper interval, for both signs alike.

/// Added to a 16-bit magnitude so that every μ-law segment begins at a power of two (33 on the 14-bit scale).
const ULAW_BIAS: u16 = 33 << 2;
/// Largest 16-bit magnitude that μ-law can tell apart; beyond it the code saturates (8158 on the 14-bit scale).
const ULAW_CLIP: u16 = 8_158 << 2;
/// Every second bit of an A-law code is inverted on the line (table 1a, note 2).
const ALAW_TOGGLE: u8 = 0x55;

static ULAW_TO_LINEAR: [i16; 256] = build_table(true);
static ALAW_TO_LINEAR: [i16; 256] = build_table(false);

const fn build_table(ulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if ulaw { expand_ulaw(code as u8) } else { expand_alaw(code as u8) };
        code += 1;
    }
    table
}

const fn expand_ulaw(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i16;
    // Middle of the interval on the 14-bit scale, then up to 16 bits.
    let magnitude = ((((step << 1) | 0x21) << segment) - 33) << 2;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

const fn expand_alaw(code: u8) -> i16 {
    let code = code ^ ALAW_TOGGLE;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i16;
    // Segments 0 and 1 share their step size; from there on it doubles.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    // In A-law the sign bit is set for positive values.
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn compress_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs();
    let magnitude = if magnitude > ULAW_CLIP { ULAW_CLIP } else { magnitude };
    let biased = magnitude + ULAW_BIAS;
    // The bias makes the highest bit one of 7 ..= 14, one for each segment.
    let segment = 8 - biased.leading_zeros() as u8;
    let step = (biased >> (segment + 3)) as u8 & 0x0f;
    !(sign | (segment << 4) | step)
}

const fn compress_alaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = sample.unsigned_abs();
    let magnitude = if magnitude > i16::MAX as u16 { i16::MAX as u16 } else { magnitude };
    let code = if magnitude < 0x100 {
        (magnitude >> 4) as u8
    } else {
        let segment = 8 - magnitude.leading_zeros() as u8;
        (segment << 4) | ((magnitude >> (segment + 3)) as u8 & 0x0f)
    };
    (sign | code) ^ ALAW_TOGGLE
}

/// Encodes linear samples as μ-law (RTP payload type 0, PCMU), one byte a sample.
#[must_use]
pub fn encode_ulaw(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|&sample| compress_ulaw(sample)).collect()
}

/// Decodes μ-law bytes into linear samples, one a byte.
#[must_use]
pub fn decode_ulaw(codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|&code| ULAW_TO_LINEAR[usize::from(code)]).collect()
}

/// Encodes linear samples as A-law (RTP payload type 8, PCMA), one byte a sample.
#[must_use]
pub fn encode_alaw(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|&sample| compress_alaw(sample)).collect()
}

/// Decodes A-law bytes into linear samples, one a byte.
#[must_use]
pub fn decode_alaw(codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|&code| ALAW_TO_LINEAR[usize::from(code)]).collect()
}

/// μ-law byte of digital silence.
pub const ULAW_SILENCE: u8 = 0xff;
/// A-law byte nearest to digital silence (A-law has no zero).
pub const ALAW_SILENCE: u8 = 0xd5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Upper ends of the intervals of one polarity, written out by the Recommendation's segments
    /// as (end of the segment, step), so that the encoder is checked against the tables' own form.
    fn decision_values(first: u16, segments: &[(u16, u16)]) -> Vec<u16> {
        let mut values = Vec::new();
        let mut at = first;
        for &(end, step) in segments {
            while at < end {
                values.push(at);
                at += step;
            }
        }
        values
    }

    /// Table 2a: x1 = 1, x2 = 3 … x17 = 35 … on the 14-bit scale.
    fn ulaw_decisions() -> Vec<u16> {
        decision_values(1, &[(31, 2), (95, 4), (223, 8), (479, 16), (991, 32), (2_015, 64), (4_063, 128), (8_159, 256)])
    }

    /// Table 1a on the 13-bit scale of 4096.
    fn alaw_decisions() -> Vec<u16> {
        decision_values(2, &[(64, 2), (128, 4), (256, 8), (512, 16), (1_024, 32), (2_048, 64), (4_096, 128)])
    }

    #[test]
    fn ulaw_encoder_follows_the_decision_values_for_every_sample() {
        let decisions = ulaw_decisions();
        assert_eq!(decisions.len(), 127);
        for sample in i16::MIN..=i16::MAX {
            let magnitude = sample.unsigned_abs() >> 2;
            let interval = decisions.iter().take_while(|&&d| d <= magnitude).count() as u8;
            let sign = if sample < 0 { 0x00 } else { 0x80 };
            // Character signals descend from 0xFF (table 2a) as the magnitude grows.
            let expected = sign | (0x7f - interval);
            assert_eq!(encode_ulaw(&[sample]), [expected], "sample {sample}");
        }
    }

    #[test]
    fn alaw_encoder_follows_the_decision_values_for_every_sample() {
        let decisions = alaw_decisions();
        assert_eq!(decisions.len(), 127);
        for sample in i16::MIN..=i16::MAX {
            let magnitude = sample.unsigned_abs() >> 3;
            let interval = decisions.iter().take_while(|&&d| d <= magnitude).count() as u8;
            let sign = if sample < 0 { 0x00 } else { 0x80 };
            assert_eq!(encode_alaw(&[sample]), [(sign | interval) ^ 0x55], "sample {sample}");
        }
    }

    #[test]
    fn decoders_give_the_quantised_values_of_the_tables() {
        // Table 2a: 8031, 4191 (lowest of its segment), 2, 0; table 1a: 4032, 33 (segment 2), 1.
        assert_eq!(decode_ulaw(&[0x80, 0x8f, 0xfe, 0xff]), [8_031 * 4, 4_191 * 4, 2 * 4, 0]);
        assert_eq!(decode_ulaw(&[0x00, 0x0f, 0x7e, 0x7f]), [-8_031 * 4, -4_191 * 4, -2 * 4, 0]);
        assert_eq!(decode_alaw(&[0xaa, 0xa5, 0xd5]), [4_032 * 8, 2_112 * 8, 8]);
        assert_eq!(decode_alaw(&[0x2a, 0x25, 0x55]), [-4_032 * 8, -2_112 * 8, -8]);
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=u8::MAX {
            // μ-law has two zeros; the negative one comes back as the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode_ulaw(&decode_ulaw(&[code])), [expected]);
            assert_eq!(encode_alaw(&decode_alaw(&[code])), [code]);
        }
    }

    #[test]
    fn quantisation_error_is_within_half_a_step() {
        for sample in i16::MIN + 1..=i16::MAX {
            let magnitude = i32::from(sample.unsigned_abs());
            let bound = (magnitude / 16).max(8) + 4;
            for decoded in [decode_ulaw(&encode_ulaw(&[sample])), decode_alaw(&encode_alaw(&[sample]))] {
                let error = (i32::from(decoded[0]) - i32::from(sample)).abs();
                // The top interval saturates at 32124 (μ-law) and 32256 (A-law).
                let saturated = magnitude > 32_100 && error <= 32_767 - 32_124;
                assert!(error <= bound || saturated, "{sample} became {}", decoded[0]);
            }
        }
    }

    #[test]
    fn silence_bytes_decode_to_the_quietest_value() {
        assert_eq!(decode_ulaw(&[ULAW_SILENCE]), [0]);
        assert_eq!(encode_ulaw(&[0]), [ULAW_SILENCE]);
        assert_eq!(encode_alaw(&[0]), [ALAW_SILENCE]);
    }
}
