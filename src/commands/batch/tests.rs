//! Batches in virtual time: what recorded callers get, and that it is printed.

use std::fs;

use frontdesk_agent::ToolSet;
use frontdesk_audio::{Frame, SampleRate, wav};
use frontdesk_inference::vad::VadModel;
use frontdesk_simulators::voice::{Speaker, Voice};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::eval::{OutsideStore, outside_tools};

/// "What are your opening hours?" in the simulated caller's voice, 4.5 s after the answer; 16 kbit/s. Made by
/// `espeak-ng -v en-us -s 150 -p 50`, `sox -r 16000 -c 1 pad 4.5 0.4` and `lame -m m -b 16 --cbr -t`.
const QUESTION_MP3: &[u8] = include_bytes!("opening-hours.mp3");
const QUESTION: &str = "What are your opening hours?";

/// A caller's sentences, each after so many seconds in which the agent speaks.
const REGISTRATION: [(f64, &str); 8] = [
    (5.0, "Hello, I am a new patient and would like to register."),
    (6.0, "My name is Ada Lovelace."),
    (6.0, "The third of May, eighty-one."),
    (7.0, "My number is five five five, zero one two, three four five six."),
    (6.0, "Ada dot Lovelace at example dot com."),
    (6.0, "I am allergic to penicillin."),
    (16.0, "Yes, that is right."),
    (9.0, "No, thank you, goodbye."),
];
const BOOKING: [(f64, &str); 3] = [
    (
        5.0,
        "Hello, my name is Ada Lovelace, my number is five five five, zero one two, three four five six, and I would like an \
         appointment on Tuesday at ten.",
    ),
    (16.0, "Yes, that is right."),
    (16.0, "No, thank you, goodbye."),
];

/// A recording of a caller who says these sentences, whatever is answered.
fn recording(sentences: &[(f64, &str)]) -> Frame {
    let (speaker, rate) = (Speaker::new(Voice::caller()), SampleRate::HZ_8000);
    let mut samples = Vec::new();
    for (pause, text) in sentences {
        samples.resize(samples.len() + rate.samples_in(Duration::from_secs_f64(*pause)), 0);
        samples.extend(speaker.render(text, rate).expect("espeak-ng is installed").iter());
    }
    Frame::new(rate, samples)
}

/// Plays recordings at one clinic, one after the other, in virtual time: what waits for the database waits outside of it.
fn played(files: &[(PathBuf, &[&str])]) -> Vec<Played> {
    let real = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let now = "2026-11-30T14:00:00Z".parse().expect("a moment");
    let clinics = Clinics::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("agent-config"));
    let clinic = real.block_on(clinics.open("demo", Some(now))).expect("the project's cluster runs");
    let play_one = |(number, (file, known)): (usize, &(PathBuf, &[&str]))| {
        let known: Vec<String> = known.iter().map(|text| (*text).to_owned()).collect();
        let engine = VadModel::load().expect("the model is sound");
        let mut options = console::options(&clinic, &format!("batch-test-{number}"), now);
        options.tools = ToolSet::new(outside_tools(&options.tools, real.handle(), &[]));
        let store = OutsideStore { inner: Arc::new(PgCallStore::new(clinic.store.clone())), real: real.handle().clone() };
        let paused: Runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let record = paused.block_on(async {
            let simulated = console::simulated_with(engine, &known).await.expect("espeak-ng is installed");
            play(options, Providers { store: Some(Arc::new(store)), ..simulated }, file, 5).await
        });
        let outcome = record.and_then(|record| real.block_on(Left::read(&clinic, record)).map_err(|error| error.to_string()));
        Played { file: file.clone(), outcome }
    };
    let all = files.iter().enumerate().map(play_one).collect();
    real.block_on(clinic.close());
    all
}

fn assert_printed(played: &Played, expected: &[&str]) {
    let text = played.to_string();
    for expected in expected {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
}

#[test]
fn recorded_callers_are_served_and_what_came_of_it_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    wav::write_mono(path("registration.wav"), &recording(&REGISTRATION)).expect("written");
    wav::write_mono(path("booking.wav"), &recording(&BOOKING)).expect("written");
    let texts = |of: &'static [(f64, &'static str)]| of.iter().map(|(_, text)| *text).collect::<Vec<_>>();
    let (registering, booking) = (texts(&REGISTRATION), texts(&BOOKING));
    let all = played(&[(path("registration.wav"), &registering), (path("booking.wav"), &booking)]);
    assert_printed(
        &all[0],
        &[
            // Its replies, and what the caller was heard to say.
            "agent   Lakeside Family Clinic, good day.",
            "caller  The third of May, eighty-one.",
            "wanted: other",
            "learnt: patient_name = Ada Lovelace",
            // The resulting records.
            r#""date_of_birth":"1981-05-03""#,
            r#""email":"ada.lovelace@example.com""#,
            "penicillin",
            "ended: Completed after",
        ],
    );
    let appointment = ["wanted: book", "learnt: phone = ", "appointments: {", r#""start":"2026-12-01T10:00""#, "ended: Completed after"];
    assert_printed(&all[1], &appointment);
    let document = all[1].document();
    assert_eq!((&document["ok"], &document["intents"]), (&json!(true), &json!(["book"])), "{document}");
    assert!(document["replies"].as_array().is_some_and(|replies| replies.len() >= 3), "{document}");
    assert_eq!(document["clinic"]["appointments"][0]["status"], "booked");
    let table = table(&all).to_string();
    assert!(table.contains("registration.wav") && table.lines().filter(|row| row.contains(" ok ")).count() == 2, "{table}");
}

#[test]
fn a_recording_in_mp3_is_heard_and_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("question.mp3");
    fs::write(&path, QUESTION_MP3).expect("written");
    let all = played(&[(path, &[QUESTION])]);
    assert_printed(&all[0], &["caller  What are your opening hours?", "Sunday: closed", "wanted: question", "ended: CallerHungUp after"]);
    assert_eq!(all[0].fault(), None);
}

#[test]
fn files_are_bounded_and_their_faults_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    wav::write_mono(path("long.wav"), &Frame::silence(SampleRate::HZ_8000, 61_000)).expect("written");
    fs::write(path("junk.mp3"), "not audio").expect("written");
    assert_eq!(read(&path("long.wav"), 2).expect("it is read").len(), 61 * 16_000);
    for (name, expected) in [("long.wav", "1.0 minutes long"), ("junk.mp3", "neither a WAV nor an MP3"), ("none.wav", "No such file")] {
        let fault = read(&path(name), 1).expect_err("it is refused");
        assert!(fault.contains(expected), "{fault}");
        let played = Played { file: path(name), outcome: Err(fault) };
        assert_printed(&played, &["FAILED: ", expected]);
    }
}
