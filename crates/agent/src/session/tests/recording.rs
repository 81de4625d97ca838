//! The recording and the files of a call.

use frontdesk_audio::wav;
use tokio::sync::broadcast;
use tokio::time::sleep;

use super::*;
use crate::observe::SessionEvent;
use crate::testing::{FakeLlm, FakeStt};

#[tokio::test(start_paused = true)]
async fn both_sides_are_recorded_on_one_clock_and_the_record_is_written() {
    let folder = std::env::temp_dir().join(format!("frontdesk-agent-{}", uuid::Uuid::new_v4()));
    let (observer, mut watching) = broadcast::channel(256);
    let mut options = options();
    options.call_id = "../call 1".into();
    options.record_dir = Some(folder.clone());
    options.recording_dir = Some(folder.clone());
    options.tts.rate = SampleRate::HZ_16000;
    options.observer = Some(observer);
    let stt = FakeStt::default().knowing(1_000, "hello there");
    let call = Call::greeted(Fakes { stt, llm: FakeLlm::default().saying("Good day."), ..Fakes::default() }, options).await;
    let answered = call.caller.answered().expect("answered");
    let said = Instant::now();
    call.turn(1_000).await;
    let frames = call.caller.frames();
    let record = call.hang_up().await;

    let path = folder.join("___call_1.wav");
    assert_eq!(record.recording, Some(path.display().to_string()));
    let (left, right) = stereo(&path);
    let at = |instant: Instant| (instant - answered).as_millis() as usize * 16;
    let first = left.iter().position(|&s| s != 0).expect("the caller");
    assert!(first.abs_diff(at(said)) <= 320 * 2, "the caller is {} samples off", first.abs_diff(at(said)));
    let voice: Vec<i16> = left.iter().copied().filter(|&s| s != 0).collect();
    assert_eq!(voice, vec![1_000; 19_200]);
    let (_, greeted) = frames.iter().enumerate().find(|(_, (_, frame))| frame.iter().any(|&s| s != 0)).expect("the agent");
    let first = right.iter().position(|&s| s != 0).expect("the agent");
    assert_eq!(first, at(greeted.0), "the agent is exactly where the pacer wrote");
    let heard: Vec<i16> = frames.iter().flat_map(|(_, frame)| frame.clone()).collect();
    let same = heard.iter().zip(&right).take_while(|(a, b)| a == b).count();
    assert!(same >= right.len().min(heard.len()) - 320, "{same} of {}", right.len());

    let json = std::fs::read_to_string(folder.join("___call_1.json")).expect("the record is written");
    assert_eq!(serde_json::from_str::<CallRecord>(&json).expect("it is a record"), record);
    std::fs::remove_dir_all(folder).expect("it can be removed");

    let mut seen = Vec::new();
    while let Ok(observation) = watching.try_recv() {
        seen.push(observation.event);
    }
    assert!(matches!(seen.first(), Some(SessionEvent::Answered { warm: true, .. })));
    assert!(seen.iter().any(|event| matches!(event, SessionEvent::Turn(_))));
    assert!(matches!(seen.last(), Some(SessionEvent::Ended(_))));
}

/// The two sides of a recording.
fn stereo(path: &std::path::Path) -> (Vec<i16>, Vec<i16>) {
    // Sixteen-bit PCM after a header of 44 bytes.
    let bytes = std::fs::read(path).expect("the recording is there");
    let mono = wav::read_mono(path).expect("it is a WAV file");
    assert_eq!(mono.rate, SampleRate::HZ_16000);
    let samples: Vec<i16> = bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    (samples.iter().copied().step_by(2).collect(), samples.iter().copied().skip(1).step_by(2).collect())
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_ends_the_recording_alone() {
    let mut options = options();
    options.recording_dir = Some("/proc/nowhere".into());
    options.record_dir = Some("/proc/nowhere".into());
    let call = Call::greeted(Fakes::default(), options).await;
    sleep(ms(5_000)).await;
    let record = call.hang_up().await;
    assert_eq!(record.recording, None);
    assert_eq!(record.incidents, ["recording: failed", "record: could not be written"]);
}
