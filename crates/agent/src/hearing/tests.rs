//! Hearing survives a lost connection: nothing is lost, nothing that was settled is heard twice.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::testing::{FakeStt, broken, unauthorized};

const FRAME: usize = 320;

struct Bench {
    stt: FakeStt,
    orders: mpsc::Sender<HearingOrder>,
    reports: mpsc::Receiver<Heard>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    at: u64,
    spoke_from: u64,
}

impl Bench {
    async fn new() -> Self {
        let stt = FakeStt::default().knowing(1, "hello there").knowing(2, "good bye then");
        let (orders, queue) = mpsc::channel(128);
        let (report, reports) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let stream = stt.open(SttOptions::default()).await.expect("the fake opens");
        let service = Arc::new(stt.clone());
        let task = tokio::spawn(Hearing::new(service, SttOptions::default(), stream, queue, report, stop.clone()).run());
        Self { stt, orders, reports, stop, task, at: 0, spoke_from: 0 }
    }

    /// Sends frames of that value in real time.
    async fn frames(&mut self, value: i16, count: usize) {
        for _ in 0..count {
            let order = HearingOrder::Audio { first: self.at, samples: vec![value; FRAME] };
            self.orders.send(order).await.expect("the task runs");
            self.at += FRAME as u64;
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn finalize(&mut self) {
        self.orders.send(HearingOrder::Finalize { started: self.spoke_from }).await.expect("the task runs");
        self.spoke_from = self.at;
        sleep(Duration::from_millis(10)).await;
    }

    async fn next(&mut self) -> Heard {
        self.reports.recv().await.expect("the task reports")
    }

    async fn segment(&mut self) -> HeardSegment {
        match self.next().await {
            Heard::Segment(segment) => segment,
            other => panic!("{other:?} is no segment"),
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("the task ends");
        let (opened, closed) = self.stt.connections();
        assert!(closed <= opened && opened - closed <= 2, "{opened} opened, {closed} closed");
    }
}

#[tokio::test(start_paused = true)]
async fn words_are_placed_by_the_samples_of_the_call() {
    let mut bench = Bench::new().await;
    bench.frames(0, 50).await;
    // 20 frames that could not be handed over: the two counts run apart.
    bench.at += 20 * FRAME as u64;
    bench.frames(1, 20).await;
    bench.finalize().await;
    assert!(!bench.segment().await.is_final);
    let last = bench.segment().await;
    assert!(last.is_final && last.from_finalize);
    assert_eq!((last.words[0].start, last.words[0].end, last.words[1].end), (22_400, 25_600, 28_800));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_mid_utterance_is_replaced_and_what_it_heard_replayed() {
    let mut bench = Bench::new().await;
    bench.frames(1, 15).await;
    bench.finalize().await;
    assert!(!bench.segment().await.is_final);
    assert!(bench.segment().await.is_final);
    bench.frames(0, 10).await;
    bench.stt.break_after(5 * FRAME as u64);
    bench.stt.set_open_delay(Duration::from_millis(700));
    bench.frames(2, 40).await;
    bench.finalize().await;
    assert!(matches!(bench.next().await, Heard::Reconnected(error) if error == broken("fake-stt")));
    let segment = loop {
        let segment = bench.segment().await;
        if segment.is_final {
            break segment;
        }
    };
    assert_eq!(segment.text.expose(), "good bye then");
    assert_eq!((segment.words[0].start, segment.words[2].end), (25 * FRAME as u64, 65 * FRAME as u64), "not a sample of it is missing");
    let second = &bench.stt.heard()[1];
    assert!(second.iter().all(|&sample| sample != 1), "what was settled is not heard twice");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn replay_is_bounded() {
    let mut bench = Bench::new().await;
    bench.frames(1, 400).await;
    bench.stt.break_after(1);
    bench.stt.set_open_delay(Duration::from_millis(500));
    bench.frames(1, 1).await;
    let began = Instant::now();
    while !matches!(bench.next().await, Heard::Reconnected(_)) {}
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(bench.stt.heard()[1].len(), 96_000);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_or_a_second_loss_is_final() {
    let mut bench = Bench::new().await;
    bench.stt.fail_to_open(vec![unauthorized("fake-stt")]);
    bench.stt.break_after(1);
    bench.frames(0, 2).await;
    assert!(matches!(bench.next().await, Heard::Failed(error) if error == unauthorized("fake-stt")));
    bench.frames(0, 200).await;
    bench.end().await;

    let mut bench = Bench::new().await;
    bench.stt.break_after(1);
    bench.frames(0, 2).await;
    assert!(matches!(bench.next().await, Heard::Reconnected(_)));
    bench.stt.break_after(1);
    bench.frames(0, 2).await;
    assert!(matches!(bench.next().await, Heard::Failed(_)), "it broke again at once");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_back_is_heard_again() {
    let mut bench = Bench::new().await;
    bench.stt.fail_to_open(vec![broken("fake-stt"), broken("fake-stt")]);
    bench.stt.break_after(1);
    bench.frames(0, 2).await;
    for _ in 0..2 {
        assert!(matches!(bench.next().await, Heard::Failed(error) if error == broken("fake-stt")));
    }
    assert!(matches!(bench.next().await, Heard::Reconnected(_)));
    bench.frames(1, 40).await;
    bench.finalize().await;
    while !bench.segment().await.is_final {}
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_open_is_given_up_in_time() {
    let mut bench = Bench::new().await;
    bench.stt.set_open_delay(Duration::from_secs(60));
    bench.stt.break_after(1);
    let began = Instant::now();
    bench.frames(0, 1).await;
    assert!(matches!(bench.next().await, Heard::Failed(ProviderError::Timeout { .. })));
    assert!(began.elapsed() <= REOPEN_MAX + Duration::from_millis(50));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sentence_that_a_deaf_connection_missed_is_heard_by_another() {
    let mut bench = Bench::new().await;
    bench.stt.go_deaf();
    // 4 s: a telephone number.
    bench.frames(2, 200).await;
    let asked = Instant::now();
    bench.finalize().await;
    assert!(matches!(bench.next().await, Heard::Reconnected(ProviderError::Timeout { stage: "answer to speech", .. })));
    assert!(asked.elapsed() <= DEAF_WITHIN + Duration::from_millis(10));
    let segment = loop {
        let segment = bench.segment().await;
        if segment.is_final {
            break segment;
        }
    };
    assert_eq!((segment.text.expose().as_str(), segment.from_finalize), ("good bye then", true));
    assert_eq!((segment.words[0].start, segment.words[2].end), (0, 200 * FRAME as u64), "not a sample of it is missing");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_sound_and_a_recogniser_that_said_anything_raise_no_doubt() {
    let mut bench = Bench::new().await;
    bench.stt.go_deaf();
    bench.frames(2, 40).await;
    bench.finalize().await;
    sleep(Duration::from_secs(5)).await;
    assert!(bench.reports.try_recv().is_err(), "0.8 s may be a cough");

    let mut bench = Bench::new().await;
    bench.frames(1, 100).await;
    assert!(!bench.segment().await.is_final);
    bench.stt.go_deaf();
    bench.finalize().await;
    sleep(Duration::from_secs(5)).await;
    assert!(bench.reports.try_recv().is_err(), "it has just heard something");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_answers_nothing_is_taken_for_deaf() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.frames(0, 10).await;
        bench.finalize().await;
    }
    assert!(matches!(bench.next().await, Heard::Reconnected(ProviderError::Timeout { .. })));
    // Noise that holds no words looks the same: not again at once.
    for _ in 0..6 {
        bench.frames(0, 10).await;
        bench.finalize().await;
    }
    assert!(bench.reports.try_recv().is_err());
    bench.end().await;
}
