//! The engine over a fake model: order, overload, lateness, withdrawal, failures; and where the model's file is looked for.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::engine::{TurnEngine, TurnEngineOptions, TurnStats};
use super::model::{Model, installed};
use super::{TURN_MODEL_FILE, TURN_SAMPLES, TurnError, find_turn_model};

/// What the fake does with a clip.
enum Act {
    Answer,
    Fail,
    Panic,
}

/// Probability = last sample / 100; acts only when told to.
struct Fake {
    acts: Receiver<Act>,
    taken: Sender<usize>,
}

impl Model for Fake {
    fn judge(&mut self, samples: &[i16]) -> Result<f32, String> {
        // Before it acts, so that a test can wait until the thread holds a clip.
        self.taken.send(samples.len()).ok();
        match self.acts.recv() {
            Ok(Act::Answer) => Ok(f32::from(samples.last().copied().unwrap_or_default()) / 100.0),
            Ok(Act::Panic) => panic!("the fake was told to panic"),
            Ok(Act::Fail) | Err(_) => Err("the fake was told to fail".to_owned()),
        }
    }
}

/// Counts how often it is loaded; each clip's probability is that count / 100.
struct Late {
    loaded: u8,
}

impl Model for Late {
    fn prepare(&mut self) {
        self.loaded += 1;
    }

    fn judge(&mut self, _: &[i16]) -> Result<f32, String> {
        Ok(f32::from(self.loaded) / 100.0)
    }
}

#[tokio::test]
async fn the_model_is_prepared_once_and_when_it_is_wanted() {
    let late = || TurnEngine::with_model(Late { loaded: 0 }, TurnEngineOptions { queue: 16, patience: FOR_EVER }).unwrap();
    assert_eq!(late().ask(vec![1]).await, Some(0.0), "nobody asked");
    let engine = late();
    engine.prepare();
    engine.clone().prepare();
    assert_eq!(engine.ask(vec![1]).await, Some(0.01));
}

struct Rig {
    /// Dropped before the engine, so that a failed test does not wait for a fake that waits for its act.
    acts: Sender<Act>,
    engine: TurnEngine,
    taken: Receiver<usize>,
}

/// Longer than any test: nothing here is timed.
const FOR_EVER: Duration = Duration::from_secs(3_600);

impl Rig {
    fn new(queue: usize, patience: Duration) -> Self {
        let (acts, fake_acts) = channel();
        let (fake_taken, taken) = channel();
        let fake = Fake { acts: fake_acts, taken: fake_taken };
        Self { engine: TurnEngine::with_model(fake, TurnEngineOptions { queue, patience }).unwrap(), acts, taken }
    }

    /// Waits until the thread holds a clip; its length.
    fn taken(&self) -> usize {
        self.taken.recv_timeout(Duration::from_secs(10)).expect("the engine takes a clip")
    }
}

#[tokio::test]
async fn clips_are_judged_in_turn_and_only_their_last_8_s() {
    let rig = Rig::new(16, FOR_EVER);
    let first = rig.engine.ask(vec![10; 100]);
    let second = rig.engine.ask(vec![90; TURN_SAMPLES + 7]);
    rig.acts.send(Act::Answer).unwrap();
    rig.acts.send(Act::Answer).unwrap();
    assert_eq!((second.await, first.await), (Some(0.9), Some(0.1)));
    assert_eq!((rig.taken(), rig.taken()), (100, TURN_SAMPLES));
    assert_eq!(rig.engine.stats(), TurnStats { asked: 2, judged: 2, ..TurnStats::default() });
}

#[tokio::test]
async fn a_full_queue_answers_none_at_once() {
    let rig = Rig::new(1, FOR_EVER);
    let in_hand = rig.engine.ask(vec![1]);
    rig.taken();
    let waiting = rig.engine.ask(vec![2]);
    assert_eq!(rig.engine.ask(vec![3]).await, None);
    rig.acts.send(Act::Answer).unwrap();
    rig.acts.send(Act::Answer).unwrap();
    assert_eq!((in_hand.await, waiting.await), (Some(0.01), Some(0.02)));
    assert_eq!(rig.engine.stats(), TurnStats { asked: 3, judged: 2, refused: 1, ..TurnStats::default() });
}

#[tokio::test]
async fn a_withdrawn_clip_is_skipped() {
    let rig = Rig::new(16, FOR_EVER);
    let in_hand = rig.engine.ask(vec![1]);
    rig.taken();
    drop(rig.engine.ask(vec![2]));
    let last = rig.engine.ask(vec![3]);
    rig.acts.send(Act::Answer).unwrap();
    rig.acts.send(Act::Answer).unwrap();
    assert_eq!((in_hand.await, last.await), (Some(0.01), Some(0.03)));
    assert_eq!(rig.engine.stats(), TurnStats { asked: 3, judged: 2, skipped: 1, ..TurnStats::default() });
}

/// The paused clock runs ahead as soon as everything waits for the thread, so no time passes.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_none() {
    let rig = Rig::new(16, FOR_EVER);
    let in_hand = rig.engine.ask(vec![1]);
    rig.taken();
    assert_eq!(in_hand.await, None);
    rig.acts.send(Act::Answer).unwrap();
    let next = rig.engine.ask(vec![2]);
    assert_eq!(rig.taken(), 1, "the engine goes on");
    drop(next);
    rig.acts.send(Act::Answer).unwrap();
}

#[tokio::test]
async fn a_clip_that_waited_too_long_is_not_judged() {
    let Rig { engine, acts, taken } = Rig::new(16, Duration::ZERO);
    assert_eq!(engine.ask(vec![1]).await, None);
    drop(engine);
    assert!(acts.send(Act::Answer).is_err(), "the fake went with the thread");
    assert_eq!(taken.try_iter().count(), 0);
}

#[tokio::test]
async fn failures_and_panics_of_the_model_cost_their_clip_only() {
    let rig = Rig::new(16, FOR_EVER);
    let asked = [rig.engine.ask(vec![1]), rig.engine.ask(vec![2]), rig.engine.ask(vec![3])];
    for act in [Act::Fail, Act::Panic, Act::Answer] {
        rig.acts.send(act).unwrap();
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await);
    }
    assert_eq!(answers, [None, None, Some(0.03)]);
    assert_eq!(rig.engine.stats(), TurnStats { asked: 3, judged: 1, failed: 2, ..TurnStats::default() });
}

#[test]
fn a_missing_model_names_the_places_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let named = dir.path().join("absent.onnx");
    let error = find_turn_model(Some(&named)).unwrap_err().to_string();
    assert!(error.contains(&named.display().to_string()) && error.contains("scripts/setup"), "{error}");
    let error = installed(dir.path()).unwrap_err().to_string();
    assert!(error.contains("var/models") && error.contains("FRONTDESK_TURN_MODEL"), "{error}");
}

#[test]
fn the_installed_model_is_found_from_below() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, below) = (dir.path().join("var/models"), dir.path().join("crates/any"));
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&below).unwrap();
    fs::write(folder.join(TURN_MODEL_FILE), "").unwrap();
    assert_eq!(installed(&below).unwrap(), folder.join(TURN_MODEL_FILE));
}

#[test]
fn a_file_that_is_no_model_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(TURN_MODEL_FILE);
    fs::write(&path, "not a model").unwrap();
    let error = TurnEngine::start(Some(&path)).unwrap_err();
    assert!(matches!(&error, TurnError::Model { path: named, .. } if named == &path), "{error}");
    assert!(error.to_string().contains("scripts/setup"), "{error}");
    assert!(matches!(find_turn_model(Some(Path::new("/"))), Err(TurnError::NotFound { .. })), "a folder is no model");
}
