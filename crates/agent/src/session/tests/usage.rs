//! What a call used of its providers stands in its record.

use super::*;
use crate::testing::{FAKE_USAGE, FakeLlm, FakeStt};
use crate::usage::{Price, PriceTable, ServiceKind};

#[tokio::test(start_paused = true)]
async fn the_record_tells_what_was_used_and_what_it_costs() {
    let mut options = options();
    let price = Price {
        service: ServiceKind::Llm,
        provider: "fake-llm".into(),
        per_minute: 0.0,
        per_1000_characters: 0.0,
        per_million_tokens_in: 10_000.0,
        per_million_tokens_out: 0.0,
    };
    options.prices = PriceTable { currency: "USD".into(), prices: vec![price] };
    let stt = FakeStt::default().knowing(1_000, "hello there").knowing(2_000, "thank you");
    let llm = FakeLlm::default().saying("Good day.").saying("You are welcome.");
    let call = Call::greeted(Fakes { stt, llm, ..Fakes::default() }, options).await;
    call.turn(1_000).await;
    call.turn(2_000).await;
    // The count comes behind the answer.
    sleep(ms(1_500)).await;
    let asked = call.fakes.llm.requests().len() as u64;
    let record = call.hang_up().await;
    let of = |service| record.usage.iter().find(|entry| entry.service == service).expect("it was used");
    let (stt, llm, tts) = (of(ServiceKind::Stt), of(ServiceKind::Llm), of(ServiceKind::Tts));
    assert_eq!(record.usage.len(), 3, "{:?}", record.usage);
    assert!(stt.used.audio_ms.abs_diff(record.duration_ms) <= 200, "{stt:?} of {} ms", record.duration_ms);
    assert!(asked >= 2 && llm.used.requests == asked, "{llm:?} of {asked}");
    let counted = llm.used.requests_counted;
    assert!((1..=asked).contains(&counted), "{llm:?}");
    assert_eq!((llm.used.tokens_in, llm.used.tokens_out), (counted * FAKE_USAGE.input, counted * FAKE_USAGE.output));
    let said: u64 = [GREETING, "Good day.", "You are welcome."].iter().map(|text| text.chars().count() as u64).sum();
    assert!(tts.used.characters >= said, "{tts:?}, at least {said}");
    let cost = record.cost.expect("there is a price");
    assert_eq!((cost.currency.as_str(), cost.micros), ("USD", counted * FAKE_USAGE.input * 10_000));
    assert_eq!(cost.unpriced, ["stt/fake-stt", "tts/fake-tts"]);
}
