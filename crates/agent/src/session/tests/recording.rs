//! The recording and the files of a call.

use frontdesk_audio::wav;
use tokio::sync::broadcast;
use tokio::time::sleep;

use super::*;
use crate::observe::SessionEvent;
use crate::recording::{Consent, PlainFolder, Recorder, RecordingConsent, RecordingOptions};
use crate::testing::{FakeLlm, FakeStt};

#[tokio::test(start_paused = true)]
async fn both_sides_are_recorded_on_one_clock_and_the_record_is_written() {
    let folder = std::env::temp_dir().join(format!("frontdesk-agent-{}", uuid::Uuid::new_v4()));
    let (observer, mut watching) = broadcast::channel(256);
    let mut options = options();
    options.call_id = "../call 1".into();
    options.record_dir = Some(folder.clone());
    options.recording = Some(plain(&folder, Consent::Given));
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

fn plain(folder: &std::path::Path, consent: Consent) -> RecordingOptions {
    RecordingOptions { vault: Arc::new(PlainFolder::new(folder)), consent: RecordingConsent::new(consent) }
}

/// The names of what is in a folder, if there is one.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_before_the_callers_yes() {
    let folder = std::env::temp_dir().join(format!("frontdesk-agent-{}", uuid::Uuid::new_v4()));
    let mut options = options();
    options.recording = Some(plain(&folder, Consent::Awaited));
    let consent = options.recording.as_ref().expect("set above").consent.clone();
    options.tts.rate = SampleRate::HZ_16000;
    let stt = FakeStt::default().knowing(1_000, "yes").knowing(2_000, "book it");
    let llm = FakeLlm::default().saying("Thank you.").saying("Good day.");
    let call = Call::greeted(Fakes { stt, llm, ..Fakes::default() }, options).await;
    call.turn(1_000).await;
    assert_eq!(names(&folder), [""; 0], "greeting and first turn left nothing on the disk");
    consent.give();
    call.turn(2_000).await;
    let record = call.hang_up().await;
    let path = record.recording.expect("recorded from the yes on");
    let (left, right) = stereo(std::path::Path::new(&path));
    assert!(!left.contains(&1_000) && left.contains(&2_000), "only what was said after the yes");
    assert!(right.iter().any(|&sample| sample != 0), "the agent's second answer");
    let from: u64 = path.rsplit_once("-from-").and_then(|(_, rest)| rest.strip_suffix("s.wav")?.parse().ok()).expect("where it begins");
    let length = left.len() as u64 / 16;
    assert!(record.duration_ms.abs_diff(from * 1000 + length) <= 1_500, "{from} s and {length} ms of {} ms", record.duration_ms);
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_is_discarded_when_the_caller_refuses() {
    let folder = std::env::temp_dir().join(format!("frontdesk-agent-{}", uuid::Uuid::new_v4()));
    let mut options = options();
    options.recording = Some(plain(&folder, Consent::Given));
    let consent = options.recording.as_ref().expect("set above").consent.clone();
    let call = Call::greeted(Fakes::default(), options).await;
    sleep(ms(5_000)).await;
    assert_eq!(names(&folder), ["call-1.wav"]);
    consent.refuse();
    sleep(ms(5_000)).await;
    assert_eq!(names(&folder), [""; 0]);
    let record = call.hang_up().await;
    assert_eq!((record.recording, record.incidents), (None, Vec::new()));
    assert_eq!(names(&folder), [""; 0]);
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

/// The clock of a call that was taken over goes on, but its second recording begins with the second worker.
#[tokio::test(start_paused = true)]
async fn both_sides_agree_in_a_call_that_was_taken_over() {
    let folder = std::env::temp_dir().join(format!("frontdesk-agent-{}", uuid::Uuid::new_v4()));
    let age = frontdesk_conversation::CallTime::from_millis(90_000);
    let begins = (age, SampleRate::HZ_16000);
    let (caller, mut agent, recorder) = Recorder::new(plain(&folder, Consent::Given), "call-1", begins, Default::default());
    let running = tokio::spawn(recorder.run());
    for frame in 0..10_u64 {
        caller.heard(age + ms(frame * 20), &[7; 320]);
        agent.frame(&[9; 320], 0);
    }
    drop((caller, agent));
    let path = running.await.expect("it ends").expect("it was written");
    assert!(path.ends_with("call-1-from-90s.wav"), "{path}");
    let (left, right) = stereo(std::path::Path::new(&path));
    assert_eq!((left, right), (vec![7; 3_200], vec![9; 3_200]));
    std::fs::remove_dir_all(folder).expect("it can be removed");
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
    options.recording = Some(plain("/proc/nowhere".as_ref(), Consent::Given));
    options.record_dir = Some("/proc/nowhere".into());
    let call = Call::greeted(Fakes::default(), options).await;
    sleep(ms(5_000)).await;
    let record = call.hang_up().await;
    assert_eq!(record.recording, None);
    assert_eq!(record.incidents, ["recording: failed", "record: could not be written"]);
}
