//! Turns, barge-in, backchannels.

use frontdesk_conversation::{AgentState, Message};
use tokio::time::sleep;

use super::*;
use crate::testing::{FakeLlm, FakeStt};

fn fakes(llm: FakeLlm) -> Fakes {
    let stt = FakeStt::default().knowing(1, "I would like an appointment").knowing(2, "no wait that is wrong").knowing(3, "mm hm");
    Fakes { stt, llm, ..Fakes::default() }
}

#[tokio::test(start_paused = true)]
async fn a_turn_leads_to_a_reply() {
    let llm = FakeLlm::default().saying("Certainly. When would you like to come?");
    llm.set_first_token(ms(200));
    let call = Call::greeted(fakes(llm), options()).await;
    call.turn(1).await;
    same(&call.caller.voice(), &call.fakes.tts.given());
    let requests = call.fakes.llm.requests();
    let last = requests[0].messages.last().cloned();
    assert_eq!(last, Some(Message::User { text: "I would like an appointment".into() }));
    let states = call.caller.states();
    assert!(states.contains(&AgentState::Thinking) && states.contains(&AgentState::Speaking), "{states:?}");
    assert!(call.caller.transcript().iter().any(|line| line.is_final && line.text == "I would like an appointment"));
    let record = call.hang_up().await;
    let said = [(false, GREETING), (true, "I would like an appointment"), (false, "Certainly. When would you like to come?")];
    assert_eq!(lines(&record), said);
    assert_eq!(record.transcript[1].confidence, Some(0.9));
    assert_eq!(record.transcript[1].end_ms - record.transcript[1].start_ms, 1_200, "places are those of the audio");
    let turn = record.turns.first().expect("figures of the turn");
    assert!(turn.speech_ended_ms.is_some_and(|at| (240..=320).contains(&at)), "{turn:?}");
    assert!(turn.playback_started_ms.is_some_and(|at| (600..=700).contains(&at)), "{turn:?}");
    assert!(turn.committed_ms <= turn.first_token_ms && turn.first_token_ms <= turn.first_audio_ms, "{turn:?}");
}

#[tokio::test(start_paused = true)]
async fn barge_in_silences_the_agent_and_cuts_the_history() {
    let long = "We have many times next week. Monday at nine is free, and so is Tuesday at ten, or you could come on Friday at noon.";
    let llm = FakeLlm::default().saying(long).saying("Sorry. Go on.");
    let call = Call::greeted(fakes(llm), options()).await;
    call.caller.say(1, ms(1_200));
    sleep(ms(1_300)).await;
    call.caller.hears().await;
    sleep(ms(2_500)).await;
    let interrupted = Instant::now();
    call.caller.say(2, ms(1_500));
    sleep(ms(1_600)).await;
    let voiced = |frame: &&(Instant, Vec<i16>)| frame.1.iter().any(|&s| s != 0);
    let last = call.caller.frames().iter().rfind(voiced).expect("voice").0;
    // 500 ms of speech pause it; the detector, the frame on its way and the caller's own frames take some more.
    assert!(last - interrupted < ms(600), "{:?} of voice over the caller's", last - interrupted);
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    let heard = call.caller.voice();
    let given = call.fakes.tts.given();
    assert_ne!(heard, given);
    let (heard, given) = (&heard[heard.len() - 12_000..], &given[given.len() - 12_000..]);
    same(heard, given);
    let requests = call.fakes.llm.requests();
    let history = &requests.last().expect("a second question").messages;
    let Some(Message::Assistant { text, .. }) = history.iter().rfind(|message| matches!(message, Message::Assistant { .. })) else {
        panic!("the agent's line is missing");
    };
    assert!(!text.is_empty() && long.starts_with(text.as_str()) && text.len() < long.len() * 3 / 4, "{text}");
    let record = call.hang_up().await;
    assert_eq!(record.interruptions, 1);
    assert!(record.transcript.iter().any(|line| line.interrupted && line.text == *text));
}

#[tokio::test(start_paused = true)]
async fn a_backchannel_pauses_at_most_and_not_a_sample_is_lost() {
    let long = "We have many times next week. Monday at nine is free, and so is Tuesday at ten.";
    let call = Call::greeted(fakes(FakeLlm::default().saying(long)), options()).await;
    call.caller.say(1, ms(1_200));
    sleep(ms(1_300)).await;
    call.caller.hears().await;
    sleep(ms(1_000)).await;
    call.caller.say(3, ms(700));
    call.caller.hears_the_end().await;
    sleep(ms(3_000)).await;
    call.caller.hears_the_end().await;
    same(&call.caller.voice(), &call.fakes.tts.given());
    let record = call.hang_up().await;
    assert_eq!(record.interruptions, 0);
    assert!(lines(&record).contains(&(false, long)));
}

#[tokio::test(start_paused = true)]
async fn silence_stands_in_for_audio_that_does_not_come() {
    let call = Call::greeted(fakes(FakeLlm::default().saying("Certainly.")), options()).await;
    call.caller.say(1, ms(1_000));
    sleep(ms(1_010)).await;
    // The caller's side stops sending, as a muted or lossy one does.
    call.caller.set_dry(true);
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    let record = call.hang_up().await;
    assert_eq!(lines(&record)[1..], [(true, "I would like an appointment"), (false, "Certainly.")]);
}
