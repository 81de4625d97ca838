//! How long the caller waits for an answer: each stage takes what its service takes, and nothing is added between them.

use frontdesk_audio::FRAME_MS;
use tokio::time::sleep;

use super::*;
use crate::testing::{FakeLlm, FakeStt};

/// What the services take: final words, first word of the model (each further word takes 20 ms), first byte of speech.
const STT: Duration = ms(150);
const LLM: Duration = ms(200);
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

const ANSWER: &str = "Certainly, I can help with that. When would you like to come?";
/// The first sentence is known to be whole with the first word of the next one.
const SENTENCE: Duration = Duration::from_millis(200 + 6 * 20);

/// From the caller's last sample to the agent's first, the figures of the turn, and how often the model was asked.
async fn gap(options: SessionOptions) -> (Duration, crate::record::RecordTurn, usize) {
    let call = Call::greeted(fakes(ANSWER), options).await;
    call.caller.say(1, ms(1_200));
    let end = Instant::now() + ms(1_200);
    sleep(ms(1_210)).await;
    call.caller.hears().await;
    let voiced = call.caller.frames().into_iter().find(|(at, frame)| *at >= end && frame.iter().any(|&sample| sample != 0));
    let first = voiced.expect("the agent was heard").0;
    call.caller.hears_the_end().await;
    let asked = call.fakes.llm.requests().len();
    let record = call.hang_up().await;
    (first - end, record.turns.first().copied().expect("figures of the turn"), asked)
}

#[tokio::test(start_paused = true)]
async fn the_model_thinks_while_the_recogniser_makes_up_its_mind() {
    let (waited, turn, asked) = gap(options()).await;
    let sum = VAD + STT.max(SENTENCE) + TTS;
    assert!(waited <= sum + FRAMES, "{waited:?}, the services took {sum:?}: {turn:?}");
    assert_eq!(asked, 1, "the final words agreed");
}

#[tokio::test(start_paused = true)]
async fn without_preemptive_generation_the_caller_waits_for_the_services_and_for_nothing_else() {
    let mut options = options();
    options.conversation.preemptive_generation = false;
    let (waited, turn, asked) = gap(options).await;
    let sum = VAD + STT + SENTENCE + TTS;
    assert!(waited <= sum + FRAMES, "{waited:?}, the services took {sum:?}: {turn:?}");
    assert!(waited <= ms(1_200), "{waited:?}");
    assert_eq!(asked, 1);
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_ready_to_be_heard_when_the_turn_is_over() {
    let mut options = options();
    options.conversation.endpointing.mode = frontdesk_conversation::EndpointingMode::Vad;
    options.conversation.endpointing.vad_delay = ms(900);
    let (waited, turn, asked) = gap(options.clone()).await;
    assert!(waited <= ms(900) + FRAMES, "{waited:?}: {turn:?}");
    assert_eq!(asked, 1);
    options.conversation.preemptive_tts = false;
    let (waited, turn, _) = gap(options).await;
    assert!(waited >= ms(900) + TTS, "{waited:?}: {turn:?}");
}
