//! The turn model's word decides how long the agent waits.

use tokio::time::sleep;

use super::*;
use crate::testing::{FakeLlm, FakeStt, FakeTurn};

fn fakes(turn: FakeTurn) -> Fakes {
    Fakes {
        stt: FakeStt::default().knowing(1, "I would like").knowing(2, "an appointment"),
        llm: FakeLlm::default().saying("Certainly.").saying("Certainly."),
        turn: Some(turn),
        ..Fakes::default()
    }
}

/// From the caller's last sample to the agent's first.
async fn gap(turn: FakeTurn) -> Duration {
    let call = Call::greeted(fakes(turn), options()).await;
    call.caller.say(1, ms(1_200));
    let end = Instant::now() + ms(1_200);
    sleep(ms(1_210)).await;
    call.caller.hears().await;
    let gap = Instant::now() - end;
    call.caller.hears_the_end().await;
    call.hang_up().await;
    gap
}

#[tokio::test(start_paused = true)]
async fn a_low_probability_makes_the_agent_wait_and_a_high_one_does_not() {
    let (complete, doubtful, silent) = (FakeTurn::default().answering(0.9), FakeTurn::default().answering(0.1), FakeTurn::default());
    let (complete, doubtful, silent) = (gap(complete).await, gap(doubtful).await, gap(silent).await);
    // The answer is ready and synthesised by then, so these are the delays, to the next frame. A tenth of certainty against a half:
    // four fifths of the way from 300 ms to 2500 ms.
    assert!((ms(2_060)..=ms(2_080)).contains(&doubtful), "{doubtful:?}");
    assert_eq!(silent, complete, "without an answer the delay of silence alone, which is the shortest here");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hesitates_is_heard_to_the_end_in_one_turn() {
    let turn = FakeTurn::default().answering(0.05).answering(0.95);
    let call = Call::greeted(fakes(turn.clone()), options()).await;
    call.caller.say(1, ms(800));
    sleep(ms(800 + 1_200)).await;
    call.caller.say(2, ms(800));
    sleep(ms(810)).await;
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    let clips = turn.clips();
    assert_eq!(clips.len(), 2);
    // The half second before, speech, pause, speech, the detector's quarter of a second; give or take a frame.
    let length = Duration::from_micros(clips[1].len() as u64 * 1_000_000 / 16_000);
    assert!((ms(3_530)..=ms(3_580)).contains(&length), "{length:?}");
    assert!(clips[1].contains(&1) && clips[1].contains(&2));
    let record = call.hang_up().await;
    assert_eq!(lines(&record)[1..], [(true, "I would like an appointment"), (false, "Certainly.")]);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_withdrawn_when_the_caller_goes_on_and_none_is_noted() {
    let turn = FakeTurn::default().answering(0.95).answering(None);
    turn.set_delay(ms(700));
    let mut options = options();
    options.conversation.endpointing.vad_delay = ms(1_500);
    let call = Call::greeted(fakes(turn), options).await;
    call.caller.say(1, ms(800));
    // The question comes 250 ms after the words, its answer would 700 ms later; the caller goes on before it.
    sleep(ms(800 + 600)).await;
    call.caller.say(2, ms(800));
    sleep(ms(810)).await;
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    let record = call.hang_up().await;
    assert_eq!(lines(&record)[1..], [(true, "I would like an appointment"), (false, "Certainly.")]);
    assert_eq!(record.incidents, ["turn model: no answer in time"]);
}
