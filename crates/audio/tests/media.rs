//! Codecs, resampling and WAV files on real signals: levels, alignment and damaged input.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::f64::consts::TAU;

use frontdesk_audio::opus::{Decoder, Encoder, OpusError};
use frontdesk_audio::resample::{Resampler, convert};
use frontdesk_audio::{FRAME_MS, Frame, SampleRate, wav};
use proptest::prelude::*;

/// A sine that swells and fades every 300 ms, so that alignment can be measured.
fn tone(rate: SampleRate, hz: f64, ms: u32) -> Vec<i16> {
    (0..rate.samples_in_ms(ms))
        .map(|n| {
            let t = n as f64 / f64::from(rate.hz());
            let swell = (TAU * t / 0.6).sin().abs();
            (10_000.0 * swell * (TAU * hz * t).sin()) as i16
        })
        .collect()
}

/// Tones without a common period, so that only one lag fits.
fn chord(rate: SampleRate, ms: u32) -> Vec<i16> {
    (0..rate.samples_in_ms(ms))
        .map(|n| {
            let t = n as f64 / f64::from(rate.hz());
            let sum: f64 = [211.0, 347.0, 613.0, 977.0, 1_511.0].iter().map(|hz| (TAU * hz * t).sin()).sum();
            (3_000.0 * sum) as i16
        })
        .collect()
}

/// The lag in samples at which `b` correlates best with `a`, and the normalised correlation there.
fn best_lag(a: &[i16], b: &[i16], reach: i64) -> (i64, f64) {
    let correlate = |lag: i64| {
        let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (n, &x) in a.iter().enumerate() {
            let Some(&y) = usize::try_from(n as i64 + lag).ok().and_then(|m| b.get(m)) else { continue };
            let (x, y) = (f64::from(x), f64::from(y));
            (dot, aa, bb) = (dot + x * y, aa + x * x, bb + y * y);
        }
        dot / (aa * bb).sqrt().max(1.0)
    };
    (-reach..=reach).map(|lag| (lag, correlate(lag))).max_by(|x, y| x.1.total_cmp(&y.1)).unwrap()
}

fn encode_all(samples: &[i16], rate: SampleRate, encoder: &mut Encoder) -> Vec<Vec<u8>> {
    samples.chunks_exact(rate.samples_in_ms(FRAME_MS)).map(|frame| encoder.encode(frame).unwrap()).collect()
}

#[test]
fn opus_carries_speech_rates_to_speech_rates_at_a_constant_lag() {
    for from in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000] {
        for to in [SampleRate::HZ_8000, SampleRate::HZ_16000] {
            let mut encoder = Encoder::new(from).unwrap();
            let lag_expected = encoder.lookahead().unwrap() as f64 / f64::from(from.hz());
            let mut decoder = Decoder::new(to).unwrap();
            let mut decoded = Vec::new();
            for packet in encode_all(&chord(from, 1_000), from, &mut encoder) {
                let frame = decoder.decode(&packet).unwrap();
                assert_eq!(frame.len(), to.samples_in_ms(FRAME_MS));
                decoded.extend(frame);
            }
            let (lag, correlation) = best_lag(&chord(to, 1_000), &decoded, 300);
            assert!(correlation > 0.9, "{from} to {to}: {correlation}");
            let lag = lag as f64 / f64::from(to.hz());
            assert!((lag - lag_expected).abs() < 0.002, "{from} to {to}: {lag} against {lag_expected}");
        }
    }
}

#[test]
fn opus_conceals_and_recovers_lost_frames() {
    let rate = SampleRate::HZ_16000;
    let frame = rate.samples_in_ms(FRAME_MS);
    let samples = tone(rate, 500.0, 1_000);
    let mut encoder = Encoder::new(rate).unwrap();
    encoder.set_fec(20).unwrap();
    let packets = encode_all(&samples, rate, &mut encoder);
    let lost = 20;
    let mut energy = Vec::new();
    for fec in [false, true] {
        let mut decoder = Decoder::new(rate).unwrap();
        let mut whole = Vec::new();
        for n in 0..packets.len() {
            let decoded = match (n == lost, fec) {
                (false, _) => decoder.decode(&packets[n]),
                (true, false) => decoder.conceal(frame),
                (true, true) => decoder.recover(&packets[n + 1], frame),
            };
            whole.extend(decoded.unwrap());
        }
        assert_eq!(whole.len(), samples.len());
        let hole = &whole[lost * frame..(lost + 1) * frame];
        energy.push(Frame::new(rate, hole.to_vec()).rms());
    }
    assert!(energy.iter().all(|rms| *rms > 500.0), "the gap is filled: {energy:?}");
}

#[test]
fn opus_refuses_what_it_cannot_do() {
    let odd = SampleRate::new(44_100).unwrap();
    assert!(matches!(Decoder::new(odd), Err(OpusError::UnsupportedRate(rate)) if rate == odd));
    assert!(matches!(Encoder::new(odd), Err(OpusError::UnsupportedRate(_))));
    let mut encoder = Encoder::new(SampleRate::HZ_24000).unwrap();
    let error = encoder.encode(&[0; 100]).unwrap_err();
    assert_eq!(error.to_string(), "an Opus frame of 20 ms has 480 samples, but 100 were given");
    let mut decoder = Decoder::new(SampleRate::HZ_16000).unwrap();
    assert!(matches!(decoder.decode(&[]), Err(OpusError::EmptyPacket)));
    assert!(matches!(decoder.recover(&[], 320), Err(OpusError::EmptyPacket)));
    for samples in [0, 7, 16_000] {
        assert!(matches!(decoder.conceal(samples), Err(OpusError::ConcealLength { .. })));
    }
    // Code 3 with a frame count of zero (RFC 6716 section 3.2.5).
    assert!(matches!(decoder.decode(&[0x03, 0x00]), Err(OpusError::MalformedPacket { bytes: 2 })));
}

proptest! {
    #[test]
    fn opus_survives_garbage(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut decoder = Decoder::new(SampleRate::HZ_8000).unwrap();
        for packet in packets {
            if let Ok(samples) = decoder.decode(&packet) {
                prop_assert!(samples.len() <= 960);
            }
        }
    }

    /// Any chunking gives the same samples, and the whole is as long as the input.
    #[test]
    fn resampling_does_not_depend_on_chunks(chunks in prop::collection::vec(1usize..1_500, 1..20), rates in (0usize..5, 0usize..5)) {
        let all = [8_000, 16_000, 22_050, 24_000, 48_000].map(|hz| SampleRate::new(hz).unwrap());
        let (from, to) = (all[rates.0], all[rates.1]);
        let total: usize = chunks.iter().sum();
        let samples: Vec<i16> = tone(from, 440.0, 4_000).into_iter().take(total).collect();
        let mut resampler = Resampler::new(from, to);
        let (mut out, mut at) = (Vec::new(), 0);
        for chunk in chunks {
            out.extend(resampler.process(&samples[at..at + chunk]));
            at += chunk;
        }
        out.extend(resampler.flush());
        prop_assert_eq!(out.len(), (total * to.hz() as usize).div_ceil(from.hz() as usize));
        prop_assert_eq!(out, convert(&samples, from, to));
    }
}

#[test]
fn resampling_keeps_level_time_and_the_telephone_band() {
    for (from, to) in [(24_000, 8_000), (22_050, 16_000), (8_000, 16_000), (48_000, 16_000), (16_000, 24_000)] {
        let (from, to) = (SampleRate::new(from).unwrap(), SampleRate::new(to).unwrap());
        for hz in [300.0, 1_000.0, 3_300.0] {
            let (lag, correlation) = best_lag(&tone(to, hz, 1_000), &convert(&tone(from, hz, 1_000), from, to), 40);
            assert_eq!(lag, 0, "{from} to {to} at {hz}");
            assert!(correlation > 0.995, "{from} to {to} at {hz}: {correlation}");
        }
    }
}

#[test]
fn resampling_removes_what_would_alias() {
    let above = tone(SampleRate::HZ_24000, 6_000.0, 500);
    let out = convert(&above, SampleRate::HZ_24000, SampleRate::HZ_8000);
    assert!(Frame::new(SampleRate::HZ_8000, out).rms() < 10.0);
}

#[test]
fn resampler_saturates_and_starts_anew_after_a_flush() {
    let square: Vec<i16> = (0..8_000).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
    let mut resampler = Resampler::new(SampleRate::HZ_16000, SampleRate::HZ_8000);
    let mut run = || [resampler.process(&square), resampler.flush()].concat();
    assert_eq!(run(), run());
    assert_eq!((resampler.from(), resampler.to()), (SampleRate::HZ_16000, SampleRate::HZ_8000));
}

#[test]
fn wav_files_come_back_as_written() {
    let dir = std::env::temp_dir().join(format!("frontdesk-audio-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let clip = Frame::new(SampleRate::HZ_8000, vec![0, 1, -1, i16::MAX, i16::MIN]);
    let mono = dir.join("mono.wav");
    wav::write_mono(&mono, &clip).unwrap();
    assert_eq!(wav::read_mono(&mono).unwrap(), clip);
    assert_eq!(wav::to_bytes(&clip).unwrap(), std::fs::read(&mono).unwrap());

    let stereo = dir.join("stereo.wav");
    let mut writer = wav::StereoWriter::create(&stereo, SampleRate::HZ_16000).unwrap();
    writer.write(&[100, 200, 300], &[50]).unwrap();
    writer.flush().unwrap();
    assert_eq!(wav::read_mono(&stereo).unwrap().samples, [75, 100, 150], "readable before the end");
    writer.write(&[], &[-2, -4]).unwrap();
    assert_eq!(writer.frames(), 5);
    writer.finalize().unwrap();
    let read = wav::read_mono(&stereo).unwrap();
    assert_eq!((read.rate, read.samples), (SampleRate::HZ_16000, vec![75, 100, 150, -1, -2]));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn wav_input_that_is_cut_off_or_wrong() {
    let bytes = wav::to_bytes(&Frame::new(SampleRate::HZ_8000, vec![5; 100])).unwrap();
    let cut = wav::parse_mono(&bytes[..bytes.len() - 51]).unwrap();
    assert_eq!(cut.samples, [5; 74]);
    // Programs that write to a pipe state a length that they cannot know.
    let mut piped = bytes.clone();
    piped[40..44].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
    assert_eq!(wav::parse_mono(&piped[..]).unwrap().samples, [5; 100]);
    let mut rate = bytes;
    rate[24..28].copy_from_slice(&0_u32.to_le_bytes());
    rate[28..32].copy_from_slice(&0_u32.to_le_bytes());
    assert!(matches!(wav::parse_mono(&rate[..]), Err(wav::WavError::Rate(0) | wav::WavError::Format(_))));
    assert!(matches!(wav::parse_mono(&b"no wav file at all, only text"[..]), Err(wav::WavError::Format(_))));
    assert!(matches!(wav::read_mono("/nonexistent.wav"), Err(wav::WavError::Io(_))));
}
