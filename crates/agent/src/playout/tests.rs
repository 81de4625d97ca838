//! Playout is exact: what was pushed leaves in order, once, without a break inside a frame; pause and flush cut at a sample.

use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_conversation::{PlayedPos, ReplyId, UtteranceId};
use proptest::prelude::*;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Playout;
use super::queue::{PlayoutEvent, PlayoutLimits, Queue};
use crate::transport::AudioSink;

const RATE: SampleRate = SampleRate::HZ_8000;
const FRAME: usize = 160;

const fn utterance(n: u32) -> UtteranceId {
    UtteranceId(n)
}

const fn played(samples: u64) -> PlayedPos {
    PlayedPos { samples, rate_hz: 8_000 }
}

/// Samples that name their utterance and place, never zero.
fn voice(n: u32, range: std::ops::Range<usize>) -> Vec<i16> {
    range.map(|at| i16::try_from(1 + n as usize * 2_000 + at).unwrap()).collect()
}

fn queue() -> Queue {
    Queue::new(RATE, PlayoutLimits::default())
}

fn frame(queue: &mut Queue) -> Vec<i16> {
    let mut frame = vec![-1; FRAME];
    queue.fill(&mut frame);
    frame
}

fn events(queue: &mut Queue) -> Vec<PlayoutEvent> {
    std::iter::from_fn(|| queue.next_event()).collect()
}

#[test]
fn utterances_follow_one_another_without_a_gap() {
    let mut queue = queue();
    queue.enqueue(utterance(0), ReplyId(0));
    queue.enqueue(utterance(1), ReplyId(0));
    queue.push(utterance(1), &voice(1, 0..500));
    queue.push(utterance(0), &voice(0, 0..200));
    assert_eq!(frame(&mut queue), [0; FRAME], "less than the prebuffer");
    assert_eq!(queue.complete(utterance(0)), Some(Duration::from_millis(25)));
    queue.complete(utterance(1));
    let out: Vec<i16> = (0..5).flat_map(|_| frame(&mut queue)).collect();
    assert_eq!(out[..700], [voice(0, 0..200), voice(1, 0..500)].concat());
    assert!(out[700..].iter().all(|&s| s == 0));
    use PlayoutEvent::{Finished, Started};
    let expected = [Started(utterance(0)), Started(utterance(1)), Finished(utterance(0))];
    assert_eq!(events(&mut queue), expected, "the last frame is only now on its way");
    frame(&mut queue);
    assert_eq!(events(&mut queue), [Finished(utterance(1))]);
}

/// A sink that keeps to a grid, and tells when it is written to.
struct OnGrid(Instant, mpsc::UnboundedSender<Instant>);

impl AudioSink for OnGrid {
    fn write(&mut self, _frame: &[i16]) {
        let _ = self.1.send(Instant::now());
    }

    fn starts_at(&self) -> Instant {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn frames_leave_from_when_the_sink_wants_its_first() {
    let first = Instant::now() + Duration::from_millis(7);
    let (told, mut written) = mpsc::unbounded_channel();
    let (playout, stop) = (Playout::new(RATE, PlayoutLimits::default()), CancellationToken::new());
    let running = tokio::spawn(playout.run(Box::new(OnGrid(first, told)), None, stop.clone()));
    for frame in 0..3 {
        assert_eq!(written.recv().await, Some(first + Duration::from_millis(20) * frame));
    }
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn a_pause_holds_and_resumes_at_the_sample() {
    let mut queue = queue();
    queue.enqueue(utterance(3), ReplyId(0));
    queue.push(utterance(3), &voice(3, 0..1_000));
    queue.complete(utterance(3));
    let mut out = frame(&mut queue);
    queue.pause();
    assert_eq!([frame(&mut queue), frame(&mut queue)].concat(), [0; 2 * FRAME]);
    queue.resume();
    out.extend(frame(&mut queue));
    assert_eq!(out, voice(3, 0..320));
    assert_eq!(queue.flush(ReplyId(0)), Some((utterance(3), played(320))), "silence of the pause is not counted");
    assert_eq!(frame(&mut queue), [0; FRAME]);
}

#[test]
fn the_latency_of_the_sink_is_not_played_yet() {
    let mut queue = queue();
    queue.set_latency(Duration::from_millis(50));
    queue.enqueue(utterance(0), ReplyId(0));
    queue.push(utterance(0), &voice(0, 0..600));
    queue.complete(utterance(0));
    for _ in 0..4 {
        frame(&mut queue);
    }
    assert_eq!(events(&mut queue), [PlayoutEvent::Started(utterance(0))]);
    // 640 samples left, of which 400 (50 ms) are on their way.
    assert_eq!(queue.flush(ReplyId(7)), Some((utterance(0), played(240))));
    assert_eq!(events(&mut queue), []);

    queue.enqueue(utterance(1), ReplyId(8));
    queue.push(utterance(1), &voice(1, 0..160));
    queue.complete(utterance(1));
    let mut finished_after = 0;
    while !events(&mut queue).contains(&PlayoutEvent::Finished(utterance(1))) {
        frame(&mut queue);
        finished_after += 1;
    }
    assert_eq!(finished_after, 5, "its frame, 50 ms, and the tick after");
}

#[test]
fn an_utterance_that_runs_dry_goes_on_at_a_frame() {
    let mut queue = queue();
    queue.enqueue(utterance(0), ReplyId(0));
    queue.push(utterance(0), &voice(0, 0..500));
    let mut out: Vec<i16> = (0..4).flat_map(|_| frame(&mut queue)).collect();
    assert_eq!(out[..480], voice(0, 0..480));
    assert_eq!(out[480..], [0; FRAME], "20 samples are no frame");
    assert_eq!(queue.underruns(), 1);
    queue.push(utterance(0), &voice(0, 500..700));
    assert_eq!(frame(&mut queue), [0; FRAME], "below the prebuffer again");
    queue.push(utterance(0), &voice(0, 700..1_000));
    out = (0..4).flat_map(|_| frame(&mut queue)).collect();
    assert_eq!(out[..480], voice(0, 480..960));
}

#[test]
fn an_utterance_restarts_only_while_nothing_of_it_left() {
    let mut queue = queue();
    queue.enqueue(utterance(0), ReplyId(0));
    queue.push(utterance(0), &voice(0, 0..100));
    assert!(queue.restart(utterance(0)));
    queue.push(utterance(0), &voice(0, 0..800));
    assert_eq!(frame(&mut queue), voice(0, 0..FRAME));
    assert!(!queue.restart(utterance(0)));
    assert!(!queue.restart(utterance(9)));
}

#[test]
fn an_empty_or_unknown_utterance_blocks_nothing() {
    let mut queue = queue();
    queue.enqueue(utterance(0), ReplyId(0));
    queue.enqueue(utterance(1), ReplyId(0));
    queue.enqueue(utterance(2), ReplyId(0));
    assert!(!queue.push(utterance(5), &[1]));
    assert_eq!(queue.complete(utterance(5)), None);
    queue.complete(utterance(0));
    queue.discard(utterance(1));
    queue.push(utterance(2), &voice(2, 0..160));
    queue.complete(utterance(2));
    assert_eq!(frame(&mut queue), voice(2, 0..160));
    frame(&mut queue);
    use PlayoutEvent::{Finished, Started};
    assert_eq!(events(&mut queue), [Started(utterance(2)), Finished(utterance(0)), Finished(utterance(2))]);
}

#[test]
fn the_buffer_is_bounded_by_its_room() {
    let limits = PlayoutLimits { buffer: Duration::from_millis(100), ..PlayoutLimits::default() };
    let mut queue = Queue::new(RATE, limits);
    queue.enqueue(utterance(0), ReplyId(0));
    queue.push(utterance(0), &voice(0, 0..799));
    assert!(queue.has_room());
    queue.push(utterance(0), &voice(0, 799..800));
    assert!(!queue.has_room());
    frame(&mut queue);
    assert!(queue.has_room());
}

#[test]
fn positions_are_reported_while_an_utterance_plays() {
    let mut queue = queue();
    queue.enqueue(utterance(0), ReplyId(0));
    queue.push(utterance(0), &voice(0, 0..1_999));
    let mut seen = Vec::new();
    for _ in 0..12 {
        frame(&mut queue);
        seen.extend(events(&mut queue));
    }
    assert_eq!(seen, [PlayoutEvent::Started(utterance(0)), PlayoutEvent::Position(utterance(0), played(1_600))]);
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue,
    Push(usize, usize),
    Complete(usize),
    Pause,
    Resume,
    Flush(u32),
    Frames(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Enqueue),
        6 => (0..15_usize, 1..400_usize).prop_map(|(n, len)| Step::Push(n, len)),
        3 => (0..15_usize).prop_map(Step::Complete),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => (0..8_u32).prop_map(Step::Flush),
        8 => (1..8_usize).prop_map(Step::Frames),
    ]
}

proptest! {
    /// Whatever the interleaving: every utterance leaves as an unbroken prefix of what was pushed, in order, nothing of a flushed
    /// one after its flush, nothing while paused, and all of the others in the end.
    #[test]
    fn voice_is_never_lost_repeated_or_displaced(steps in prop::collection::vec(step(), 1..120)) {
        let mut queue = queue();
        let mut pushed = Vec::new();
        let (mut complete, mut flushed) = (Vec::new(), 0);
        let mut out: Vec<i16> = Vec::new();
        let mut finished = Vec::new();
        let mut paused = false;
        let alive = |n: usize, flushed: u32| n as u32 / 2 >= flushed;
        for step in steps {
            match step {
                // Two utterances a reply.
                Step::Enqueue if pushed.len() < 15 => {
                    let n = pushed.len() as u32;
                    if alive(n as usize, flushed) { queue.enqueue(utterance(n), ReplyId(n / 2)); }
                    pushed.push(0_usize);
                    complete.push(false);
                }
                Step::Push(n, len) if n < pushed.len() && !complete[n] && pushed[n] + len < 2_000 => {
                    let known = queue.push(utterance(n as u32), &voice(n as u32, pushed[n]..pushed[n] + len));
                    prop_assert_eq!(known, alive(n, flushed));
                    if known { pushed[n] += len; }
                }
                Step::Complete(n) if n < pushed.len() => {
                    queue.complete(utterance(n as u32));
                    complete[n] = true;
                }
                Step::Pause => { queue.pause(); paused = true; }
                Step::Resume => { queue.resume(); paused = false; }
                Step::Flush(reply) => {
                    queue.flush(ReplyId(reply));
                    flushed = flushed.max(reply + 1);
                    paused = false;
                }
                Step::Frames(count) => for _ in 0..count {
                    let frame = frame(&mut queue);
                    prop_assert!(!paused || frame.iter().all(|&s| s == 0));
                    for &sample in frame.iter().filter(|&&s| s != 0) {
                        let n = (sample as usize - 1) / 2_000;
                        prop_assert!(alive(n, flushed), "utterance {} after its flush", n);
                    }
                    out.extend(frame);
                    finished.extend(events(&mut queue).into_iter().filter_map(|event| match event { PlayoutEvent::Finished(u) => Some(u.0 as usize), _ => None }));
                },
                _ => {}
            }
        }
        queue.resume();
        for n in 0..pushed.len() { queue.complete(utterance(n as u32)); }
        for _ in 0..250 {
            out.extend(frame(&mut queue));
            finished.extend(events(&mut queue).into_iter().filter_map(|event| match event { PlayoutEvent::Finished(u) => Some(u.0 as usize), _ => None }));
        }
        let heard: Vec<i16> = out.into_iter().filter(|&s| s != 0).collect();
        let mut rest = heard.as_slice();
        for (n, &count) in pushed.iter().enumerate() {
            let whole = voice(n as u32, 0..count);
            let same = rest.iter().zip(&whole).take_while(|(a, b)| a == b).count();
            prop_assert!(!alive(n, flushed) || same == count, "utterance {} is cut", n);
            rest = &rest[same..];
            prop_assert!(!alive(n, flushed) || finished.iter().filter(|&&f| f == n).count() == 1);
        }
        prop_assert!(rest.is_empty(), "something was repeated or displaced");
    }
}
