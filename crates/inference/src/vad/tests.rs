//! The engine and its streams over a fake model: batching, overload, stalls, failures, cancellation.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::engine::{EngineOptions, VadEngine};
use super::model::{Model, Row};
use super::window::CONTEXT_SAMPLES;
use super::{VadError, VadEvent, VadOptions, WINDOW_SAMPLES};

/// What the fake does with a batch.
enum Turn {
    Answer,
    Fail,
    Panic,
}

/// Probability = first new sample; counts its windows in the state; acts only when told to.
struct Fake {
    turns: Receiver<Turn>,
    batches: Sender<usize>,
}

impl Model for Fake {
    fn judge(&mut self, rows: &mut [Row<'_>]) -> Result<(), String> {
        // Before its turn, so that a test can wait until the thread holds a batch.
        self.batches.send(rows.len()).ok();
        match self.turns.recv() {
            Ok(Turn::Answer) => {}
            Ok(Turn::Panic) => panic!("the fake was told to panic"),
            Ok(Turn::Fail) | Err(_) => return Err("the fake was told to fail".to_owned()),
        }
        for row in rows {
            row.state[0] += 1.0;
            row.probability = row.input[CONTEXT_SAMPLES];
        }
        Ok(())
    }
}

struct Rig {
    /// Dropped before the engine, so that a failed test does not wait for a fake that waits for its turn.
    turns: Sender<Turn>,
    engine: VadEngine,
    batches: Receiver<usize>,
}

impl Rig {
    fn new(options: EngineOptions) -> Self {
        let (turns, fake_turns) = channel();
        let (fake_batches, batches) = channel();
        let fake = Fake { turns: fake_turns, batches: fake_batches };
        Self { engine: VadEngine::with_model(fake, options).unwrap(), turns, batches }
    }

    /// Lets so many batches be answered.
    fn allow(&self, batches: usize) {
        for _ in 0..batches {
            self.turns.send(Turn::Answer).unwrap();
        }
    }

    /// Waits until the engine's thread has taken a batch, without blocking the runtime's only thread for good.
    fn taken(&self) -> usize {
        self.batches.recv_timeout(Duration::from_secs(10)).expect("the engine takes a batch")
    }
}

fn loud(windows: usize) -> Vec<i16> {
    vec![29_491; WINDOW_SAMPLES * windows]
}

fn probabilities(events: &[VadEvent]) -> usize {
    events.iter().filter(|event| matches!(event, VadEvent::Probability { .. })).count()
}

#[tokio::test]
async fn windows_of_several_streams_share_a_run() {
    // Nothing is timed: the wait is far longer than the test, and ends when every stream has sent its window.
    let rig = Rig::new(EngineOptions { batch_wait: Duration::from_secs(60), ..EngineOptions::default() });
    rig.allow(2);
    let streams: Vec<_> = (0..8).map(|_| rig.engine.stream(VadOptions::default()).unwrap()).collect();
    assert_eq!(rig.engine.stats().streams, 8);
    let pushes = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let events = stream.push(&loud(2)).await.unwrap();
            assert_eq!(probabilities(&events), 2);
            stream
        })
    });
    let mut kept = Vec::new();
    for push in pushes.collect::<Vec<_>>() {
        kept.push(push.await.unwrap());
    }
    let stats = rig.engine.stats();
    assert_eq!((stats.batches, stats.windows, stats.largest_batch), (2, 16, 8));
    drop(kept);
    assert_eq!(rig.engine.stats().streams, 0);
}

#[tokio::test]
async fn a_single_stream_does_not_wait_for_others() {
    let rig = Rig::new(EngineOptions { batch_wait: Duration::from_secs(3_600), ..EngineOptions::default() });
    rig.allow(1);
    let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
    assert_eq!(stream.push(&[0; 500]).await.unwrap(), [], "no window is full yet");
    assert_eq!(probabilities(&stream.push(&[0; 12]).await.unwrap()), 1);
    assert_eq!(stream.position(), 512);
}

#[tokio::test]
async fn a_full_queue_is_an_error_that_loses_no_sample() {
    let options = EngineOptions { queue: 1, max_batch: 1, batch_wait: Duration::ZERO, ..EngineOptions::default() };
    let rig = Rig::new(options);
    let mut streams: Vec<_> = (0..3).map(|_| rig.engine.stream(VadOptions::default()).unwrap()).collect();
    let mut last = streams.pop().unwrap();
    let mut under_way = Vec::new();
    for mut stream in streams {
        under_way.push(tokio::spawn(async move { stream.push(&loud(1)).await }));
        // The first is taken by the thread, the second then fills the queue.
        tokio::task::yield_now().await;
        if under_way.len() == 1 {
            assert_eq!(rig.taken(), 1);
        }
    }
    assert!(matches!(last.push(&loud(1)).await, Err(VadError::Overloaded)));
    assert!(VadError::Overloaded.is_retryable());
    assert_eq!(last.position(), 512);
    rig.allow(10);
    for push in under_way {
        assert_eq!(probabilities(&push.await.unwrap().unwrap()), 1);
    }
    let events = last.push(&loud(1)).await.unwrap();
    assert_eq!(probabilities(&events), 2);
    assert!(matches!(events[2], VadEvent::SpeechStarted { start_sample: 0, .. }));
}

#[tokio::test]
async fn overload_for_long_drops_the_oldest_windows_but_keeps_the_position() {
    let options = EngineOptions { queue: 1, max_batch: 1, batch_wait: Duration::ZERO, ..EngineOptions::default() };
    let rig = Rig::new(options);
    let mut blockers = Vec::new();
    for _ in 0..2 {
        let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
        blockers.push(tokio::spawn(async move { stream.push(&loud(1)).await }));
        tokio::task::yield_now().await;
        if blockers.len() == 1 {
            rig.taken();
        }
    }
    let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
    for _ in 0..100 {
        assert!(matches!(stream.push(&loud(1)).await, Err(VadError::Overloaded)));
    }
    assert_eq!(stream.position(), 100 * 512);
    rig.allow(100);
    for blocker in blockers {
        blocker.await.unwrap().unwrap();
    }
    let events = stream.push(&[]).await.unwrap();
    assert_eq!(probabilities(&events), 64);
    assert!(matches!(events[0], VadEvent::Probability { start_sample, .. } if start_sample == 36 * 512));
    assert_eq!(stream.position(), 100 * 512);
}

#[tokio::test]
async fn a_stalled_answer_is_taken_by_a_later_push() {
    let rig = Rig::new(EngineOptions { answer_timeout: Duration::from_millis(5), ..EngineOptions::default() });
    let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
    assert!(matches!(stream.push(&loud(2)).await, Err(VadError::Stalled { waited_ms: 5 })));
    assert_eq!(stream.position(), 1_024);
    rig.allow(3);
    let mut events = Vec::new();
    // However slow this machine is: a push that stalls again keeps everything too.
    while probabilities(&events) < 3 {
        let more = if stream.position() < 1_536 { &loud(1)[..] } else { &[] };
        match stream.push(more).await {
            Ok(found) => events.extend(found),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    assert_eq!(stream.position(), 1_536);
}

#[tokio::test]
async fn a_cancelled_push_loses_neither_samples_nor_events() {
    let rig = Rig::new(EngineOptions::default());
    let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
    let samples = loud(2);
    tokio::select! {
        biased;
        _ = stream.push(&samples) => panic!("the model has not been allowed to answer"),
        () = std::future::ready(()) => {}
    }
    rig.allow(2);
    let events = stream.push(&[]).await.unwrap();
    assert_eq!(probabilities(&events), 2);
    assert!(stream.is_speaking());
}

#[tokio::test]
async fn failures_and_panics_of_the_model_cost_their_windows_only() {
    let rig = Rig::new(EngineOptions::default());
    let mut stream = rig.engine.stream(VadOptions::default()).unwrap();
    rig.turns.send(Turn::Answer).unwrap();
    rig.turns.send(Turn::Answer).unwrap();
    rig.turns.send(Turn::Fail).unwrap();
    let error = stream.push(&loud(4)).await.unwrap_err();
    assert!(matches!(&error, VadError::Inference(reason) if reason.contains("told to fail")), "{error}");
    assert!(error.is_retryable());
    rig.turns.send(Turn::Panic).unwrap();
    assert!(matches!(stream.push(&loud(1)).await, Err(VadError::Inference(_))));
    rig.turns.send(Turn::Answer).unwrap();
    let events = stream.push(&loud(1)).await.unwrap();
    // What was found before the failure was not lost with it.
    assert!(matches!(events[2], VadEvent::SpeechStarted { start_sample: 0, .. }), "{events:?}");
    assert!(matches!(events[3], VadEvent::Probability { start_sample, speaking: true, .. } if start_sample == 5 * 512));
    assert_eq!(stream.position(), 6 * 512);
}

#[tokio::test]
async fn finishing_closes_speech_and_the_thread_ends_with_its_last_stream() {
    let Rig { engine, turns, batches } = Rig::new(EngineOptions::default());
    let mut stream = engine.stream(VadOptions::default()).unwrap();
    drop(engine);
    turns.send(Turn::Answer).unwrap();
    turns.send(Turn::Answer).unwrap();
    stream.push(&loud(2)).await.unwrap();
    let end = stream.finish().await.unwrap();
    assert!(matches!(end[..], [VadEvent::SpeechEnded { start_sample: 0, last_speech_sample: 1_023, .. }]), "{end:?}");
    assert!(turns.send(Turn::Answer).is_err(), "the fake went with the thread");
    assert_eq!(batches.try_iter().sum::<usize>(), 2);
}

#[tokio::test]
async fn bad_options_open_no_stream() {
    let rig = Rig::new(EngineOptions::default());
    let options = VadOptions { activation_threshold: 2.0, ..VadOptions::default() };
    assert!(matches!(rig.engine.stream(options), Err(VadError::Options(_))));
    assert_eq!(rig.engine.stats().streams, 0);
}

#[tokio::test]
async fn a_line_on_which_nothing_is_heard_costs_nothing_and_is_not_waited_for() {
    let rig = Rig::new(EngineOptions { batch_wait: Duration::from_secs(60), ..EngineOptions::default() });
    let mut hushed = rig.engine.stream(VadOptions::default()).unwrap();
    rig.allow(18);
    for _ in 0..60 {
        let events = hushed.push(&[0; WINDOW_SAMPLES]).await.unwrap();
        assert_eq!(probabilities(&events), 1, "each window has its verdict");
    }
    assert_eq!((rig.engine.stats().windows, hushed.position()), (16, 60 * WINDOW_SAMPLES as u64));
    // Another's window does not wait a minute for one of this stream.
    let mut other = rig.engine.stream(VadOptions::default()).unwrap();
    assert_eq!(probabilities(&other.push(&loud(1)).await.unwrap()), 1);
    let heard = hushed.push(&loud(1)).await.unwrap();
    assert!(matches!(heard[0], VadEvent::Probability { probability, .. } if probability > 0.8), "something is heard");
    assert_eq!(rig.engine.stats().windows, 18);
}
