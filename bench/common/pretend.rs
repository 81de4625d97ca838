//! Services that only pretend, so that the machine is left to what is measured; and what callers say to them.

use frontdesk_simulators::llm::Answer;
use frontdesk_simulators::providers::{CheapAnswers, SimulatorMode, SimulatorOptions};

use super::Delays;

/// What the model answers to everything: one clause.
pub(crate) const ANSWER: &str = "I will gladly look into that for you.";
/// What the recogniser makes of every sentence: a single word, which it knows before the sentence is over.
const HEARD: &str = "Hello.";
/// Said in one breath, in turn.
pub(crate) const SENTENCES: [&str; 6] = [
    "I would like to book an appointment for my daughter.",
    "My back has been hurting since the weekend.",
    "Could someone renew my prescription this week?",
    "The nurse asked me to call about my blood test.",
    "Is it too late to get a flu vaccination?",
    "Will my insurance pay for the new treatment?",
];

/// The services.
pub(crate) fn simulators(delays: &Delays) -> SimulatorOptions {
    let cheap = CheapAnswers { heard: vec![HEARD.to_owned()], answers: vec![Answer::say(ANSWER)], ..CheapAnswers::default() };
    SimulatorOptions { latency: delays.latency(), mode: SimulatorMode::Cheap(cheap), ..SimulatorOptions::default() }
}
