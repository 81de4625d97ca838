//! Tones to send, what is heard of them, and the announcements.

use std::f64::consts::TAU;
use std::path::Path;

use frontdesk_audio::{SampleRate, g711, wav};

/// Samples of one excerpt that is searched for: 50 ms.
const EXCERPT: usize = 400;

/// The share of an announcement that is to be heard: on a busy machine some packets come too late, and are concealed.
pub(crate) const HEARD: f64 = 0.5;

/// 20 ms of a tone, from sample number `from` on.
pub(crate) fn frame(hz: f64, rate: SampleRate, from: usize) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate.hz());
    (from..from + rate.samples_in_ms(20)).map(|i| (12_000.0 * (step * i as f64).sin()) as i16).collect()
}

/// The share of the energy that lies at `hz`, from 0 to 1 (Goertzel).
fn level(samples: &[i16], hz: f64, rate: SampleRate) -> f64 {
    let step = TAU * hz / f64::from(rate.hz());
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let (sample, phase) = (f64::from(*sample), step * i as f64);
        re += sample * phase.cos();
        im += sample * phase.sin();
        energy += sample * sample;
    }
    2.0 * (re * re + im * im) / (energy.max(1.0) * samples.len().max(1) as f64)
}

/// Whether this is the tone, loud enough to be heard.
pub(crate) fn is_tone(samples: &[i16], hz: f64, rate: SampleRate) -> bool {
    let mean = samples.iter().map(|sample| f64::from(sample.unsigned_abs())).sum::<f64>() / samples.len().max(1) as f64;
    mean > 1000.0 && level(samples, hz, rate) > 0.8
}

/// One of the built-in announcements as a caller with PCMU hears it.
pub(crate) fn clip(name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    let frame = wav::read_mono(&path).expect("the announcement can be read");
    assert_eq!(frame.rate, SampleRate::HZ_8000);
    g711::decode_ulaw(&g711::encode_ulaw(&frame.samples))
}

/// How much of the clip's sounding excerpts is heard sample by sample, from 0 to 1. A lost packet costs one excerpt or two.
pub(crate) fn find_clip(heard: &[i16], clip: &[i16]) -> f64 {
    let excerpts: Vec<&[i16]> =
        clip.chunks_exact(EXCERPT).filter(|chunk| chunk.iter().any(|sample| sample.unsigned_abs() > 3000)).collect();
    let found = excerpts.iter().filter(|excerpt| heard.windows(EXCERPT).any(|window| window == **excerpt)).count();
    found as f64 / excerpts.len() as f64
}
