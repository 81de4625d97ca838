//! The greeting: how soon it begins, and that what all callers are told alike is kept.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::*;
use crate::numbers::GREETING_DELAY;
use crate::speech::Greetings;

/// Three callers, one after the other. The recorder is the thread's, which is all that a runtime of one thread has.
#[test]
fn the_third_caller_is_greeted_as_soon_as_the_call_is_answered() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (mut spoken, mut heard) = (Vec::new(), Vec::new());
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let greetings = Greetings::default();
            for _ in 0..3 {
                let fakes = Fakes { greetings: greetings.clone(), ..Fakes::default() };
                let call = Call::greeted(fakes, options()).await;
                spoken.push(call.fakes.tts.spoken());
                heard.push(call.caller.voice());
                let record = call.hang_up().await;
                assert_eq!(lines(&record), [(false, GREETING)], "the record does not tell where it came from");
            }
        });
    });
    assert_eq!(spoken, [vec![GREETING.to_owned()], vec![GREETING.to_owned()], vec![]]);
    same(&heard[2], &heard[1]);
    let delays = snapshotter.snapshot().into_vec().into_iter().find_map(|(key, _, _, value)| match value {
        DebugValue::Histogram(values) if key.key().name() == GREETING_DELAY => Some(values),
        _ => None,
    });
    let delays: Vec<f64> = delays.expect("it is measured").into_iter().map(f64::from).collect();
    assert_eq!(delays.len(), 3, "once a call");
    assert!(delays[1] >= 0.1 && delays[2] <= 0.02, "{delays:?}");
}
