//! Speech over a line that loses one packet in twenty and delays each by up to 40 ms: what the recogniser makes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontdesk_audio::SampleRate;
use frontdesk_audio::opus::Encoder;
use frontdesk_simulators::features::{Extractor, distance};
use frontdesk_simulators::stt::{Inventory, Session, SessionOptions, SttMode};
use frontdesk_simulators::voice::{Speaker, Voice};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::room::depacketizer::FRAME_TICKS;

const LOSS: f64 = 0.05;
const JITTER: Duration = Duration::from_millis(40);
/// Lines that are tried for each sentence.
const LINES: u64 = 6;
const SENTENCES: [&str; 5] = [
    "I would like to make an appointment for a cleaning, please.",
    "My name is Margaret Ellison.",
    "My number is five five five, zero one three, four two seven.",
    "The second one, please.",
    "Yes, that is right.",
];

/// A packet with its sequence number and timestamp.
type Sent = (u16, u32, Bytes);

/// Silence, the sentence and silence again, as packets of 20 ms.
fn packets(sentence: &str, loss_percent: u8) -> Vec<Sent> {
    let clip = Speaker::new(Voice::caller()).render(sentence, SampleRate::HZ_16000).expect("espeak-ng is installed");
    let mut encoder = Encoder::new(SampleRate::HZ_16000).expect("a rate of Opus");
    encoder.set_fec(loss_percent).expect("libopus takes it");
    let mut samples = vec![0; 4800];
    samples.extend(clip.iter());
    samples.resize(samples.len().next_multiple_of(320) + 16_000, 0);
    let frames = samples.chunks(320).zip(0_u16..);
    frames.map(|(frame, seq)| (seq, u32::from(seq) * FRAME_TICKS, encoder.encode(frame).expect("a frame").into())).collect()
}

/// The steps of a line's packets, in virtual time. The first packet always comes, and at once.
fn steps(packets: &[Sent], line: Option<u64>) -> Vec<Step> {
    let mut chance = StdRng::seed_from_u64(line.unwrap_or_default());
    let mut arrivals: Vec<(Duration, &Sent)> = Vec::new();
    for packet in packets {
        let (is_lost, late) = (chance.random_bool(LOSS), JITTER.mul_f64(chance.random()));
        let sent = Duration::from_millis(20) * packet.0.into();
        match line {
            Some(_) if packet.0 > 0 && is_lost => {}
            Some(_) if packet.0 > 0 => arrivals.push((sent + late, packet)),
            _ => arrivals.push((sent, packet)),
        }
    }
    arrivals.sort_by_key(|(at, _)| *at);
    let (mut depacketizer, mut steps) = (Depacketizer::new(Some(Duration::from_millis(80))), Vec::new());
    for (at, (seq, timestamp, payload)) in arrivals {
        while let Some(deadline) = depacketizer.deadline().filter(|deadline| *deadline <= at) {
            depacketizer.tick(deadline, &mut steps);
        }
        depacketizer.push(at, *seq, *timestamp, payload.clone(), &mut steps);
    }
    if line.is_some() {
        assert!(depacketizer.counts().lost > 0 && depacketizer.counts().reordered > 0, "{:?}", depacketizer.counts());
    }
    steps
}

/// What is heard of steps; what was lost is filled in, or left silent.
fn heard(steps: Vec<Step>, fills_in: bool) -> Vec<i16> {
    let mut decoder = StreamDecoder::new(SampleRate::HZ_16000).expect("a rate of Opus");
    let silenced = |step| match step {
        Step::Conceal { ticks } | Step::Recover { ticks, .. } if !fills_in => Step::Silence { ticks },
        step => step,
    };
    steps.into_iter().flat_map(|step| decoder.run(&silenced(step)).samples).collect()
}

fn transcript(inventory: &Arc<Inventory>, audio: &[i16]) -> String {
    let mut session = Session::new(SessionOptions::new(SttMode::Listen(Arc::clone(inventory))));
    session.on_audio(Duration::ZERO, audio);
    session.on_finalize(Duration::ZERO);
    let results = std::iter::from_fn(|| session.poll(Duration::from_secs(60)));
    let finals: Vec<String> = results.filter(|heard| heard.is_final && !heard.text.is_empty()).map(|heard| heard.text).collect();
    finals.join(" ")
}

/// Mean distance of the features to those of a line without loss.
fn harm(audio: &[i16], clean: &[i16]) -> f32 {
    let (audio, clean) = (Extractor::new().push(audio), Extractor::new().push(clean));
    let pairs = audio.iter().zip(&clean);
    pairs.map(|(a, b)| distance(a, b)).sum::<f32>() / clean.len() as f32
}

#[test]
fn transcripts_survive_loss_and_jitter_and_concealment_is_why() {
    let inventory = Arc::new(Inventory::default());
    inventory.register(SENTENCES).expect("espeak-ng is installed");
    let (mut redundant, mut concealed, mut silent, mut misheard) = (0.0, 0.0, 0.0, 0);
    for sentence in SENTENCES {
        let (plain, with_fec) = (packets(sentence, 0), packets(sentence, 5));
        let clean = heard(steps(&plain, None), true);
        let clean_with_fec = heard(steps(&with_fec, None), true);
        assert_eq!(transcript(&inventory, &clean), sentence);
        for line in 0..LINES {
            let (steps, steps_with_fec) = (steps(&plain, Some(line)), steps(&with_fec, Some(line)));
            let (filled, recovered) = (heard(steps.clone(), true), heard(steps_with_fec, true));
            assert_eq!(transcript(&inventory, &filled), sentence, "line {line}");
            assert_eq!(transcript(&inventory, &recovered), sentence, "line {line} with redundancy");
            let unfilled = heard(steps, false);
            misheard += u32::from(transcript(&inventory, &unfilled) != sentence);
            redundant += harm(&recovered, &clean_with_fec);
            concealed += harm(&filled, &clean);
            silent += harm(&unfilled, &clean);
        }
    }
    let calls = SENTENCES.len() as f32 * LINES as f32;
    println!(
        "mean distance to the line without loss: {:.3} with redundancy, {:.3} concealed, {:.3} left silent ({misheard} of {calls} misheard)",
        redundant / calls,
        concealed / calls,
        silent / calls
    );
    assert!(redundant < concealed && concealed < silent, "{redundant} {concealed} {silent}");
}
