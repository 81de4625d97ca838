//! The clients against the simulated services, over sockets: what callers say is understood, what is written is spoken, what fails
//! is reported.

mod failing;
mod hearing;
mod speaking;

use std::time::Duration;

use frontdesk_providers::DeepgramOptions;
use frontdesk_simulators::providers::{CheapAnswers, Latency, ProviderSimulators, SimulatorMode, SimulatorOptions};

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start(utterances: &[&str]) -> ProviderSimulators {
    let utterances = utterances.iter().map(|text| (*text).to_owned()).collect();
    let options = SimulatorOptions { utterances, ..SimulatorOptions::default() };
    ProviderSimulators::start(options).await.expect("espeak-ng is installed and a port is free")
}

/// Services that only pretend; ten milliseconds of tone a character.
async fn humming() -> ProviderSimulators {
    let mode = SimulatorMode::Cheap(CheapAnswers { ms_per_char: 10, ..CheapAnswers::default() });
    let latency = Latency { tts_first_byte: Duration::from_millis(5), ..Latency::default() };
    let options = SimulatorOptions { mode, latency, ..SimulatorOptions::default() };
    ProviderSimulators::start(options).await.expect("a port is free")
}

fn deepgram(simulators: &ProviderSimulators) -> DeepgramOptions {
    DeepgramOptions { base_url: simulators.deepgram_url(), ..DeepgramOptions::new(simulators.api_key()) }
}

/// Fails the test instead of hanging.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}
