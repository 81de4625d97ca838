//! The call follows its caller into another language, and so does the voice.

use frontdesk_conversation::Phrases;
use serde_json::json;

use super::*;
use crate::FnTool;
use crate::testing::{FakeLlm, FakeStt};

#[tokio::test(start_paused = true)]
async fn the_voice_is_that_of_the_language() {
    let stt = FakeStt::default().knowing(1, "quisiera una cita por favor señora").in_language(1, "es-419");
    let stt = stt.knowing(2, "sorry let us speak English again please");
    let llm = FakeLlm::default().saying("Con mucho gusto.").saying("Gladly.");
    let mut options = options();
    options.tts.voice = Some("thalia".into());
    // A draft would be asked before the language is known, and take an answer of the script.
    options.conversation.preemptive_generation = false;
    options.conversation.languages.insert("es".into(), Phrases::spanish());
    options.voices.insert("es".into(), "celeste".into());
    let call = Call::greeted(Fakes { stt, llm, ..Fakes::default() }, options).await;
    call.turn(1).await;
    call.turn(2).await;
    let tts = call.fakes.tts.clone();
    call.hang_up().await;
    let said: Vec<(String, Option<String>)> = tts.spoken().into_iter().zip(tts.voices()).collect();
    let with = |text: &str, voice: &str| (text.to_owned(), Some(voice.to_owned()));
    assert_eq!(said, [with(GREETING, "thalia"), with("Con mucho gusto.", "celeste"), with("Gladly.", "thalia")]);
}

#[derive(serde::Deserialize, schemars::JsonSchema, garde::Validate)]
struct Nothing {}

#[tokio::test(start_paused = true)]
async fn a_tool_is_told_the_language_of_the_call() {
    let stt =
        FakeStt::default().knowing(1, "good morning to you").knowing(2, "quisiera una cita por favor señora").in_language(2, "es-419");
    let llm = FakeLlm::default().calling("words", json!({})).saying("Gladly.").calling("words", json!({})).saying("Con mucho gusto.");
    let words = FnTool::read("words", "Tells it.", |context: crate::ToolContext, _: Nothing| async move { Ok(context.language) });
    let mut options = options_with(vec![Arc::new(words)]);
    options.conversation.preemptive_generation = false;
    options.conversation.languages.insert("es".into(), Phrases::spanish());
    let call = Call::greeted(Fakes { stt, llm, ..Fakes::default() }, options).await;
    call.turn(1).await;
    call.turn(2).await;
    let record = call.hang_up().await;
    assert_eq!(record.tools.iter().map(|tool| &tool.result).collect::<Vec<_>>(), [&json!("en"), &json!("es")]);
}
