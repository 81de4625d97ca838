//! Speech reaches the playout whole and in order; a lost connection never makes a word be heard twice.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::playout::PlayoutLimits;
use crate::testing::{Caller, FakeTransport, FakeTts, unauthorized};
use crate::transport::Transport;

struct Bench {
    tts: FakeTts,
    playout: Playout,
    caller: Caller,
    orders: mpsc::Sender<SpeechOrder>,
    reports: mpsc::Receiver<SpeechReport>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Bench {
    async fn new(limits: PlayoutLimits) -> Self {
        Self::with(limits, Greetings::default()).await
    }

    async fn with(limits: PlayoutLimits, greetings: Greetings) -> Self {
        let tts = FakeTts::default();
        let options = TtsOptions { voice: None, rate: frontdesk_audio::SampleRate::HZ_16000 };
        let playout = Playout::new(options.rate, limits);
        let (orders, queue) = mpsc::channel(64);
        let (report, reports) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let stream = tts.open(options.clone()).await.expect("the fake opens");
        let (mut transport, caller) = FakeTransport::new();
        let sink = transport.answer(options.rate).await.expect("the fake answers");
        let speech = Speech::new((Arc::new(tts.clone()), options, greetings), stream, playout.clone(), queue, report, stop.clone());
        let tasks = vec![tokio::spawn(speech.run()), tokio::spawn(playout.clone().run(sink, None, stop.clone()))];
        Self { tts, playout, caller, orders, reports, stop, tasks }
    }

    async fn say(&self, utterance: u32, reply: u32, text: &str) {
        self.order(utterance, reply, text, false).await;
    }

    async fn order(&self, utterance: u32, reply: u32, text: &str, is_greeting: bool) {
        let (utterance, reply) = (UtteranceId(utterance), ReplyId(reply));
        self.playout.enqueue(utterance, reply);
        self.orders.send(SpeechOrder::Speak { utterance, reply, text: text.into(), is_greeting }).await.expect("the task runs");
    }

    async fn flush(&self, reply: u32) {
        self.playout.flush(ReplyId(reply));
        self.orders.send(SpeechOrder::Flush { reply: ReplyId(reply) }).await.expect("the task runs");
    }

    /// Waits for the end of an utterance; what happened on the way in short.
    async fn until_settled(&mut self, utterance: u32) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let report = self.reports.recv().await.expect("the task reports");
            let settled = match &report {
                SpeechReport::Started(id) => (format!("started {id}"), None),
                SpeechReport::Done { utterance, duration, .. } => (format!("done {utterance} {}", duration.as_millis()), Some(*utterance)),
                SpeechReport::Failed(utterance, _) => (format!("failed {utterance}"), Some(*utterance)),
                SpeechReport::Reconnected(_) => ("reconnected".into(), None),
            };
            seen.push(settled.0);
            if settled.1 == Some(UtteranceId(utterance)) {
                return seen;
            }
        }
    }

    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("the task ends");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_gave_is_what_the_caller_hears() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.say(0, 0, "This is the first sentence of a reply.").await;
    bench.say(1, 0, "And this is the second one.").await;
    assert_eq!(bench.until_settled(1).await, ["started 0", "done 0 1900", "started 1", "done 1 1350"]);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(bench.caller.voice(), bench.tts.given());
    let frames = bench.caller.frames();
    let voiced: Vec<usize> = (0..frames.len()).filter(|&n| frames[n].1.iter().any(|&s| s != 0)).collect();
    assert_eq!(voiced.last().map(|last| last - voiced[0] + 1), Some(voiced.len()), "no frame of silence within");
    assert!(frames.windows(2).all(|pair| pair[1].0 - pair[0].0 == Duration::from_millis(20)), "a frame every 20 ms");
    bench.end().await;
}

/// Three calls: what the first two were told alike, the third is told at once, word for word and sample for sample.
#[tokio::test(start_paused = true)]
async fn a_greeting_is_synthesised_for_two_calls_and_then_kept() {
    let greetings = Greetings::default();
    let mut heard = Vec::new();
    for call in 0..3 {
        let mut bench = Bench::with(PlayoutLimits::default(), greetings.clone()).await;
        bench.order(0, 0, "Hello, the bicycle shop.", true).await;
        bench.say(1, 0, "How can I help?").await;
        assert_eq!(bench.until_settled(1).await, ["started 0", "done 0 1200", "started 1", "done 1 750"]);
        sleep(Duration::from_secs(4)).await;
        let given = bench.tts.given();
        heard.push(bench.caller.voice());
        let samples = 16 * if call < 2 { 1950 } else { 750 };
        assert_eq!(given.len(), samples, "what the service spoke in call {call}");
        assert!(heard[call].ends_with(&given) && heard[call].len() == 16 * 1950, "what the caller heard in call {call}");
        bench.end().await;
    }
    assert_eq!(heard[1][..16 * 1200], heard[2][..16 * 1200]);
}

/// The call was ended, or the connection lost, while the greeting was being spoken: half of it must not be every later caller's greeting.
#[tokio::test(start_paused = true)]
async fn a_greeting_that_was_broken_off_is_not_kept() {
    let greetings = Greetings::default();
    for _ in 0..3 {
        let mut bench = Bench::with(PlayoutLimits::default(), greetings.clone()).await;
        bench.order(0, 0, "Hello, the bicycle shop.", true).await;
        let SpeechReport::Started(_) = bench.reports.recv().await.expect("the task reports") else { panic!("it begins") };
        bench.flush(0).await;
        sleep(Duration::from_secs(4)).await;
        assert!(!bench.tts.given().is_empty(), "the service was asked each time");
        bench.end().await;
    }
    let bench = Bench::with(PlayoutLimits::default(), greetings).await;
    bench.order(0, 0, "Hello, the bicycle shop.", true).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(bench.caller.voice().len(), 16 * 1200, "all of it");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_playout_holds_the_service_back_and_loses_nothing() {
    let limits = PlayoutLimits { buffer: Duration::from_millis(500), ..PlayoutLimits::default() };
    let mut bench = Bench::new(limits).await;
    let text = "x".repeat(400);
    bench.say(0, 0, &text).await;
    sleep(Duration::from_secs(5)).await;
    let ahead = bench.tts.given().len() - bench.caller.voice().len();
    assert!(ahead <= 16 * 700, "{ahead} samples ahead");
    assert_eq!(bench.until_settled(0).await, ["started 0", "done 0 20000"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.caller.voice(), bench.tts.given());
    bench.end().await;
}

/// Found by a caller who was told of three times with long names: Deepgram's client kept the next sentence until he had heard most of
/// them, and was taken for dead.
#[tokio::test(start_paused = true)]
async fn a_silent_service_is_not_given_up_while_there_is_speech_to_be_heard() {
    let mut bench = Bench::new(PlayoutLimits { buffer: Duration::from_secs(30), ..PlayoutLimits::default() }).await;
    let begun = tokio::time::Instant::now();
    bench.say(0, 0, &"x".repeat(400)).await;
    assert_eq!(bench.until_settled(0).await, ["started 0", "done 0 20000"]);
    bench.tts.set_first_byte(Duration::from_secs(13));
    bench.say(1, 0, "And the next.").await;
    assert_eq!(bench.until_settled(1).await, ["started 1", "done 1 650"]);
    assert!(begun.elapsed() < Duration::from_secs(19), "the first is still to be heard");
    bench.tts.set_first_byte(Duration::from_secs(60));
    bench.say(2, 0, "Never.").await;
    let asked = tokio::time::Instant::now();
    assert!(matches!(bench.reports.recv().await, Some(SpeechReport::Reconnected(_))));
    assert_eq!((asked.elapsed().as_secs(), bench.playout.left()), (STALL_MAX.as_secs(), Duration::ZERO));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_before_a_word_was_heard_is_replaced() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.tts.break_after(1);
    bench.say(0, 0, "Hello there.").await;
    bench.say(1, 0, "Good bye.").await;
    assert_eq!(bench.until_settled(1).await, ["reconnected", "started 0", "done 0 600", "started 1", "done 1 450"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.caller.voice(), bench.tts.given());
    assert_eq!(bench.tts.spoken(), ["Hello there.", "Good bye.", "Hello there.", "Good bye."]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_is_never_said_again() {
    let mut bench = Bench::new(PlayoutLimits { buffer: Duration::from_millis(200), ..PlayoutLimits::default() }).await;
    bench.tts.break_after(16_000);
    bench.say(0, 0, &"x".repeat(100)).await;
    bench.say(1, 0, "Good bye.").await;
    assert_eq!(bench.until_settled(1).await, ["started 0", "failed 0", "reconnected", "started 1", "done 1 450"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.caller.voice(), bench.tts.given());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_fails_every_utterance_and_is_asked_again_by_the_next() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.tts.break_after(1);
    bench.tts.fail_to_open(vec![unauthorized("fake-tts")]);
    bench.say(0, 0, "One.").await;
    bench.say(1, 0, "Two.").await;
    assert_eq!(bench.until_settled(1).await, ["failed 0", "failed 1"]);
    bench.say(2, 1, "Three.").await;
    assert_eq!(bench.until_settled(2).await, ["started 2", "done 2 300"]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_drops_older_replies_alone() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.say(0, 0, &"x".repeat(100)).await;
    bench.say(1, 1, "Good bye.").await;
    bench.caller.hears().await;
    bench.flush(0).await;
    assert_eq!(bench.until_settled(1).await, ["started 0", "started 1", "done 1 450"]);
    sleep(Duration::from_secs(2)).await;
    let (given, voice) = (bench.tts.given(), bench.caller.voice());
    assert_eq!(voice[voice.len() - 7_200..], given[given.len() - 7_200..]);
    assert!(voice.len() < 16_000);
    assert_eq!(bench.tts.cleared(), 1);
    bench.flush(1).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (bench.tts.cleared(), bench.tts.cut_off()),
        (1, 1),
        "there was nothing left to clear; the listener has nothing left to hear"
    );
    bench.end().await;
}

impl Bench {
    async fn ahead(&self, text: &str) {
        self.orders.send(SpeechOrder::Ahead { text: text.into() }).await.expect("the task runs");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_spoken_ahead_is_there_at_once_when_it_is_wanted() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.ahead("This is the first sentence of a reply.").await;
    sleep(Duration::from_secs(3)).await;
    assert!(bench.caller.voice().is_empty(), "nobody asked for it yet");
    let wanted = Instant::now();
    bench.say(0, 0, "This is the first sentence of a reply.").await;
    bench.say(1, 0, "And this is the second one.").await;
    assert_eq!(bench.until_settled(0).await, ["started 0", "done 0 1900"]);
    assert_eq!(Instant::now(), wanted);
    assert_eq!(bench.until_settled(1).await, ["started 1", "done 1 1350"]);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(bench.tts.spoken(), ["This is the first sentence of a reply.", "And this is the second one."]);
    assert_eq!(bench.caller.voice(), bench.tts.given());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_goes_on_when_it_is_wanted() {
    let mut bench = Bench::new(PlayoutLimits::default()).await;
    bench.ahead("This is the first sentence of a reply.").await;
    sleep(Duration::from_millis(10)).await;
    bench.say(0, 0, "This is the first sentence of a reply.").await;
    assert_eq!(bench.until_settled(0).await, ["started 0", "done 0 1900"]);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((bench.tts.spoken().len(), bench.caller.voice()), (1, bench.tts.given()));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_what_was_spoken_ahead_in_vain_is_heard() {
    for wait in [0, 10, 3_000] {
        let mut bench = Bench::new(PlayoutLimits::default()).await;
        bench.ahead("Everything is free.").await;
        sleep(Duration::from_millis(wait)).await;
        bench.say(0, 0, "Nine is free.").await;
        assert_eq!(bench.until_settled(0).await[0], "started 0");
        bench.ahead("And ten.").await;
        bench.orders.send(SpeechOrder::DropAhead).await.expect("the task runs");
        sleep(Duration::from_secs(3)).await;
        // The fake's samples are numbers in a row.
        let (heard, given) = (bench.caller.voice(), bench.tts.given());
        assert_eq!(heard.len(), 16_000 * 650 / 1000, "thirteen characters of 50 ms, after {wait} ms");
        let at = given.windows(heard.len()).position(|window| window == heard);
        assert!(at.is_some_and(|at| wait < 3_000 || at > 0), "the second text after {wait} ms: {at:?}");
        // What is complete needs no clearing, but the service's client must not take it for something that is being heard.
        assert_eq!((bench.tts.cleared(), bench.tts.cut_off()), if wait < 3_000 { (2, 0) } else { (1, 1) }, "after {wait} ms");
        bench.end().await;
    }
}
