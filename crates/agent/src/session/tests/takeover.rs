//! A provider dies in the middle of a call; its secondary takes over within the bound.

use super::*;
use crate::resilience::{FallbackLlm, FallbackOptions, FallbackStt, FallbackTts};
use crate::session::Providers;
use crate::testing::{Answer, FakeLlm, FakeStt, FakeTts, FakeVad, broken};
use crate::{LanguageModel, SpeechToText, TextToSpeech};

/// Two of each kind.
#[derive(Default)]
struct Pairs {
    stt: [FakeStt; 2],
    llm: [FakeLlm; 2],
    tts: [FakeTts; 2],
}

impl Pairs {
    fn providers(&self, fakes: &Fakes) -> Providers {
        let options = FallbackOptions::default();
        let stt = self.stt.iter().map(|stt| Arc::new(stt.clone()) as Arc<dyn SpeechToText>);
        let llm = self.llm.iter().map(|llm| Arc::new(llm.clone()) as Arc<dyn LanguageModel>);
        let tts = self.tts.iter().map(|tts| Arc::new(tts.clone()) as Arc<dyn TextToSpeech>);
        Providers {
            stt: Arc::new(FallbackStt::new(stt, options)),
            llm: Arc::new(FallbackLlm::new(llm, options)),
            tts: Arc::new(FallbackTts::new(tts, options)),
            vad: Arc::new(FakeVad),
            ..fakes.providers()
        }
    }

    async fn greeted(&self) -> Call {
        let fakes = Fakes::default();
        let (transport, caller) = FakeTransport::new();
        let stop = CancellationToken::new();
        let session = Session::new(options(), self.providers(&fakes), Box::new(transport));
        let session = tokio::spawn(session.run(stop.clone()));
        let call = Call { fakes, caller, stop, session, began: Instant::now() };
        call.caller.hears().await;
        call.caller.hears_the_end().await;
        call
    }
}

fn words() -> FakeStt {
    FakeStt::default().knowing(1, "I would like an appointment please")
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_breaks_while_the_caller_speaks() {
    let pairs = Pairs { stt: [words(), words()], llm: [FakeLlm::default().saying("With whom?"), FakeLlm::default()], ..Pairs::default() };
    let call = pairs.greeted().await;
    // Half of what the caller says; and then it cannot be reached at all.
    pairs.stt[0].break_after(9_600);
    pairs.stt[0].fail_to_open((0..9).map(|_| broken("fake-stt")).collect());
    call.turn(1).await;
    let record = call.hang_up().await;
    assert!(lines(&record).contains(&(true, "I would like an appointment please")), "{:?}", lines(&record));
    assert!(lines(&record).contains(&(false, "With whom?")));
    assert_eq!(pairs.stt[1].connections().0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_says_nothing_any_more() {
    let pairs = Pairs {
        stt: [words(), words()],
        llm: [FakeLlm::default().answering(Answer::Hangs), FakeLlm::default().saying("With whom?")],
        ..Pairs::default()
    };
    let call = pairs.greeted().await;
    call.caller.say(1, ms(1_200));
    sleep(ms(1_200)).await;
    let since = Instant::now();
    while !pairs.tts[0].spoken().iter().any(|said| said == "With whom?") {
        sleep(ms(20)).await;
    }
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    call.caller.hears_the_end().await;
    let record = call.hang_up().await;
    assert!(record.incidents.is_empty(), "the call has not noticed: {:?}", record.incidents);
}

#[tokio::test(start_paused = true)]
async fn a_synthesiser_that_is_lost_between_two_sentences() {
    let llm = FakeLlm::default().saying("Let me see. With whom would you like to come?");
    let pairs = Pairs { stt: [words(), words()], llm: [llm, FakeLlm::default()], ..Pairs::default() };
    let call = pairs.greeted().await;
    pairs.tts[0].break_after(1);
    pairs.tts[0].fail_to_open((0..9).map(|_| broken("fake-tts")).collect());
    call.turn(1).await;
    let record = call.hang_up().await;
    assert!(lines(&record).contains(&(false, "Let me see. With whom would you like to come?")), "{:?}", lines(&record));
    assert_eq!(pairs.tts[1].spoken().concat(), "Let me see.With whom would you like to come?");
}
