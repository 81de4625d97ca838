//! What the turn model makes of sound files (16 kHz mono WAV), and what it costs on this machine.
//!
//!     cargo run --release -p frontdesk-inference --example turn -- crates/inference/tests/data/speech.wav
//!
//! Times are given by the clock and by the processor (Linux counts the latter for this thread alone): on a busy machine the first
//! tells about the machine, the second about the work.

#![expect(clippy::unwrap_used, reason = "an example says what is missing by stopping")]

use std::fs::read_to_string;
use std::hint::black_box;
use std::time::{Duration, Instant};

use frontdesk_audio::wav;
use frontdesk_inference::turn::{LogMel, TURN_RATE_HZ, TURN_SAMPLES, TurnEngine};
use frontdesk_inference::vad::{VadModel, VadOptions};

const REPETITIONS: usize = 20;

/// Time that this thread has had a processor.
fn processor_time() -> Duration {
    let text = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

fn memory_kb() -> u64 {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Prints the medians of many runs.
fn measure(what: &str, mut run: impl FnMut()) {
    let (mut clock, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let (began, had) = (Instant::now(), processor_time());
        run();
        clock.push(began.elapsed());
        processor.push(processor_time().saturating_sub(had));
    }
    clock.sort();
    processor.sort();
    println!("{what:<24} {:>9.1?} by the clock, {:>9.1?} of a processor", clock[REPETITIONS / 2], processor[REPETITIONS / 2]);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let before = memory_kb();
    let mut vad = VadModel::load().unwrap().stream(VadOptions::default()).unwrap();
    vad.push(&[0; 16_000]);
    let with_vad = memory_kb();
    let engine = TurnEngine::inline(None).unwrap();
    let mut clip: Vec<i16> = (0..TURN_SAMPLES).map(|n| (n.wrapping_mul(7_919) % 4_001) as i16 - 2_000).collect();
    for path in std::env::args().skip(1) {
        let frame = wav::read_mono(&path).unwrap();
        assert_eq!(frame.rate.hz(), TURN_RATE_HZ, "{path} is not at 16 kHz");
        clip = frame.samples;
        println!("{:.3} {path}", engine.ask(clip.clone()).await.unwrap());
    }
    let mut mel = LogMel::new();
    measure("log-mel of 8 s", || {
        black_box(mel.compute(&clip));
    });
    // An inline engine has judged by the time `ask` returns.
    measure("log-mel and turn model", || drop(black_box(engine.ask(clip.clone()))));
    let both = memory_kb();
    println!("memory: {before} kB at the start, {with_vad} kB with the VAD warm, {both} kB with both models warm");
}
