//! Whether the agent's voice reaches the caller whole: every frame once, in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frontdesk_agent::CallRecord;
use frontdesk_agent::record::RecordLine;
use frontdesk_audio::SampleRate;
use frontdesk_conversation::Speaker as Side;
use frontdesk_conversation::sentences::SentenceSplitter;
use frontdesk_simulators::caller::{Act, Alignment, CallOutcome, Piece, Reactive, align};
use frontdesk_simulators::voice::{Speaker, Voice};
use tokio::task::JoinHandle;

use crate::desk::{Desk, DeskOptions};
use crate::people::{GOODBYE, PEOPLE, SECOND, WISH};
use crate::run_alone;

/// Agreement of what was spoken with what came over Opus and G.711, as a whole; other words agree by a third.
const WHOLE_MIN: f32 = 0.7;
/// Least agreement of 20 ms of it: hisses, which codecs word anew, agree by half.
const AGREEMENT_MIN: f32 = 0.2;
/// With this agreement a piece is in its place, even if a voice's next period agrees as well.
const AGREEMENT_SURE: f32 = 0.3;
/// 2 ms.
const DISPLACEMENT_MAX: isize = 16;
/// Samples at 8 kHz by which a line's audio may stand before and after its time in the record.
const BEFORE: isize = 8_000;
const AFTER: isize = 16_000;

/// A frame that comes so late finds the bridge's buffer empty: whoever hears a gap then hears the machine.
const STALL: Duration = Duration::from_millis(50);
/// Calls until one falls into a time without a stall.
const CALLS_MAX: usize = 3;

/// Measures how late the machine is.
struct StallWatch {
    worst_ms: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl StallWatch {
    fn start() -> Self {
        let worst_ms = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&worst_ms);
        let task = tokio::spawn(async move {
            let pause = Duration::from_millis(5);
            loop {
                let since = Instant::now();
                tokio::time::sleep(pause).await;
                let late = since.elapsed().saturating_sub(pause).as_millis();
                shared.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_ms, task }
    }

    fn stop(self) -> Duration {
        self.task.abort();
        Duration::from_millis(self.worst_ms.load(Ordering::Relaxed))
    }
}

/// A caller who lets the agent speak much: asks for times, takes one, and changes his mind.
fn inquiry() -> Reactive {
    let say = |text: &str| Act::Say(text.to_owned());
    Reactive::new()
        .rule(&["area code"], say(GOODBYE), 2)
        .rule(&["full name"], say(&PEOPLE[0].introduction()), 2)
        .rule(&["Which one would you like"], say(SECOND), 2)
        .rule(&["How can I help"], say(WISH), 2)
        .rule(&["still there"], say(WISH), 2)
}

// The last of all by its name, because what waits to run alone lets nothing else begin.
#[test]
fn the_agents_voice_reaches_the_caller_whole() {
    run_alone(async {
        let desk = Desk::open(DeskOptions::default()).await;
        for call in 1..=CALLS_MAX {
            let watch = StallWatch::start();
            let outcome = desk.place(inquiry()).outcome().await;
            let stall = watch.stop();
            let record = desk.records(call).await.remove(call - 1);
            let faults = faults(&outcome, &record).await;
            if faults.is_empty() {
                desk.close().await;
                return;
            }
            assert!(stall > STALL, "the machine was {stall:?} late at most, so it is not to blame: {faults:#?}");
            println!("the machine was {stall:?} late; once more");
        }
        panic!("the machine stalled in each of {CALLS_MAX} calls: whether the voice comes whole cannot be told on it");
    });
}

/// Compares each line of the agent with what the synthesiser's voice says, 20 ms by 20 ms; what is wrong.
async fn faults(outcome: &CallOutcome, record: &CallRecord) -> Vec<String> {
    let stream = &outcome.stream;
    // The clock of the stream may leap in silence; within a sentence, its pieces would tell.
    assert_eq!((stream.lost, stream.repeated, stream.reordered, stream.foreign), (0, 0, 0, 0), "{stream:?}");
    let speaker = Arc::new(Speaker::new(Voice::agent()));
    let (mut utterances, mut pieces, mut faults) = (0, 0, Vec::new());
    for line in record.transcript.iter().filter(|line| line.speaker == Side::Agent) {
        for (text, found) in aligned(&speaker, line, &outcome.recording.agent).await {
            let faulty: Vec<_> = found.pieces.iter().filter(|piece| is_faulty(piece)).collect();
            println!("{text:?}: agreement {:.2}, {} pieces, the least {:.2}", found.correlation, found.pieces.len(), least(&found));
            if !faulty.is_empty() || found.correlation < WHOLE_MIN {
                faults.push(format!("{text:?}: {} of {} pieces are not in their place: {faulty:?}", faulty.len(), found.pieces.len()));
            }
            utterances += 1;
            pieces += found.pieces.len();
        }
    }
    println!("{utterances} utterances, {pieces} pieces of 20 ms; {stream:?}");
    assert!(utterances >= 6 && pieces > 300, "{utterances} utterances, {pieces} pieces");
    faults
}

/// Whether a frame is missing here, or stands elsewhere.
fn is_faulty(piece: &Piece) -> bool {
    let is_displaced = piece.displacement.abs() > DISPLACEMENT_MAX && piece.correlation < AGREEMENT_SURE;
    is_displaced || piece.correlation < AGREEMENT_MIN
}

fn least(found: &Alignment) -> f32 {
    found.pieces.iter().map(|piece| piece.correlation).fold(1.0, f32::min)
}

/// A line as it was spoken, and where each utterance was heard. Clauses and sentences were spoken by themselves or together, and
/// sound otherwise then; of the ways to join them, the longest that agrees is the one that was heard.
async fn aligned(speaker: &Arc<Speaker>, line: &RecordLine, heard: &[i16]) -> Vec<(String, Alignment)> {
    let mut splitter = SentenceSplitter::new(true);
    let mut parts = splitter.push(&line.text);
    parts.extend(splitter.finish());
    let sample = |ms: u64| isize::try_from(ms * 8).expect("a sample");
    let range = sample(line.start_ms) - BEFORE..sample(line.end_ms) + AFTER;
    let (mut all, mut next) = (Vec::new(), 0);
    while next < parts.len() {
        let mut best: Option<(usize, String, Alignment)> = None;
        for end in (next + 1..=parts.len()).rev() {
            let text = parts[next..end].join(" ");
            let clip = speaker.render_async(&text, SampleRate::HZ_8000).await.expect("espeak-ng is installed");
            let Some(found) = align(&clip, heard, range.clone()) else { continue };
            if best.as_ref().is_none_or(|(_, _, known)| found.correlation > known.correlation) {
                best = Some((end, text, found));
            }
            if best.as_ref().is_some_and(|(_, _, known)| known.correlation > WHOLE_MIN) {
                break;
            }
        }
        let (end, text, found) = best.expect("no line is silent");
        all.push((text, found));
        next = end;
    }
    all
}
