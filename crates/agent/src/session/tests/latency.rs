//! How long the caller waits for an answer: each stage takes what its service takes, and nothing is added between them.

use frontdesk_audio::FRAME_MS;
use tokio::time::sleep;

use super::*;
use crate::testing::{FakeLlm, FakeStt};

/// What the services take: final words, first word of the model, each further word, first byte of speech.
const STT: Duration = ms(150);
const LLM: Duration = ms(200);
const WORD: Duration = ms(20);
const TTS: Duration = ms(150);
/// Silence after which the detector reports the end of speech.
const VAD: Duration = ms(250);
/// What cutting time into frames may cost, on the way in and on the way out.
const FRAMES: Duration = Duration::from_millis(2 * FRAME_MS as u64);

fn fakes(answer: &str) -> Fakes {
    let fakes = Fakes {
        stt: FakeStt::default().knowing(1, "I would like an appointment"),
        llm: FakeLlm::default().saying(answer),
        ..Fakes::default()
    };
    fakes.stt.set_final_delay(STT);
    fakes.llm.set_first_token(LLM);
    fakes
}

/// From the caller's last sample to the agent's first, and the figures of the turn.
async fn gap(answer: &str) -> (Duration, crate::record::RecordTurn) {
    let call = Call::greeted(fakes(answer), options()).await;
    call.caller.say(1, ms(1_200));
    let end = Instant::now() + ms(1_200);
    sleep(ms(1_210)).await;
    call.caller.hears().await;
    let voiced = call.caller.frames().into_iter().find(|(at, frame)| *at >= end && frame.iter().any(|&sample| sample != 0));
    let first = voiced.expect("the agent was heard").0;
    call.caller.hears_the_end().await;
    let record = call.hang_up().await;
    (first - end, record.turns.first().copied().expect("figures of the turn"))
}

#[tokio::test(start_paused = true)]
async fn the_caller_waits_for_the_services_and_for_nothing_else() {
    // The first sentence is known to be whole with the first word of the next one.
    let (waited, turn) = gap("Certainly, I can help with that. When would you like to come?").await;
    let sum = VAD + STT + LLM + 6 * WORD + TTS;
    assert!(waited <= sum + FRAMES, "{waited:?}, the services took {sum:?}: {turn:?}");
    assert!(waited <= ms(1_200), "{waited:?}");
}
