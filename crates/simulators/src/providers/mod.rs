//! All simulated providers on one local port: what the demo and whole-call tests start.
//!
//! Speech-to-text and text-to-speech on Deepgram's wire, a language model on OpenAI's. [`Faults`] makes them fail while they run.

mod faults;
mod line;
mod options;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::llm::{self, LlmMode, LlmOptions};
use crate::stt::{self, Inventory, InventoryError, SttMode};
use crate::tts::{self, TtsMode};
use crate::voice::{Speaker, Voice};
use line::{Line, LineListener};

pub use faults::{Fault, Faults, Service};
pub use options::{CheapAnswers, Latency, SimulatorMode, SimulatorOptions};

/// Time for connections to say goodbye.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Time for what is left to end once its connections were cut.
const CUT_WITHIN: Duration = Duration::from_millis(500);

/// Why the simulators could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The recogniser could not learn its utterances; is espeak-ng installed?
    #[error("the simulated speech-to-text cannot learn its utterances: {0}")]
    Utterances(#[from] InventoryError),
    /// No local port could be had.
    #[error("the simulators cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] std::io::Error),
}

/// Running simulators. Dropping them cuts all connections; [`Self::stop`] is polite.
#[derive(Debug)]
pub struct ProviderSimulators {
    address: SocketAddr,
    key: String,
    faults: Faults,
    inventory: Arc<Inventory>,
    /// Asks everything to end.
    stop: CancellationToken,
    /// Cuts every connection.
    cut: CancellationToken,
    server: JoinHandle<()>,
}

impl ProviderSimulators {
    /// Learns the utterances and listens on a free port of 127.0.0.1. Takes about a tenth of a second for each new utterance.
    ///
    /// # Errors
    /// See [`SimulatorError`].
    pub async fn start(options: SimulatorOptions) -> Result<Self, SimulatorError> {
        let inventory = Arc::new(Inventory::default());
        if !matches!(options.mode, SimulatorMode::Cheap(_)) {
            inventory.register_async(options.utterances.clone()).await?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let key = format!("simulated-{}", uuid::Uuid::new_v4().simple());
        let services = routes(&key, &options, &inventory, &stop);
        let app = services.layer(from_fn_with_state(options.faults.clone(), faults::inject));
        let app = app.into_make_service_with_connect_info::<Line>();
        let served = axum::serve(LineListener::new(listener, cut.clone()), app).with_graceful_shutdown(stop.clone().cancelled_owned());
        let server = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!("the simulated providers ended: {error}");
            }
        });
        Ok(Self { address, key, faults: options.faults, inventory, stop, cut, server })
    }

    /// Base URL of the simulated Deepgram: `ws://127.0.0.1:…`.
    #[must_use]
    pub fn deepgram_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Base URL of the simulated OpenAI: `http://127.0.0.1:…/v1`.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The key that all of them want; another one at every start.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.key
    }

    /// What goes wrong; settable at any time.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Teaches the recogniser more utterances; tells how many were new.
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub async fn learn(&self, utterances: Vec<String>) -> Result<usize, InventoryError> {
        self.inventory.register_async(utterances).await
    }

    /// Ends all connections, within a few seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if timeout(STOP_WITHIN, &mut self.server).await.is_err() {
            self.cut.cancel();
            if timeout(CUT_WITHIN, &mut self.server).await.is_err() {
                tracing::warn!("the simulated providers did not end in time");
            }
        }
    }
}

impl Drop for ProviderSimulators {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
        self.server.abort();
    }
}

fn routes(key: &str, options: &SimulatorOptions, inventory: &Arc<Inventory>, stop: &CancellationToken) -> Router {
    let latency = options.latency;
    let (listens, speaks) = (SttMode::Listen(Arc::clone(inventory)), TtsMode::Speak(Arc::new(Speaker::new(Voice::agent()))));
    let (hears, says, answers) = match &options.mode {
        SimulatorMode::Faithful => (listens, speaks, LlmMode::Receptionist),
        SimulatorMode::Reciting(answers) => (listens, speaks, LlmMode::Scripted(answers.clone())),
        SimulatorMode::Cheap(cheap) => (
            SttMode::Scripted(Arc::new(cheap.heard.clone())),
            TtsMode::Tone { hz: cheap.tone_hz, ms_per_char: cheap.ms_per_char },
            LlmMode::Scripted(cheap.answers.clone()),
        ),
    };
    let final_ms = u32::try_from(latency.stt_final.as_millis()).unwrap_or(u32::MAX);
    let hearing = stt::SessionOptions { final_ms, ..stt::SessionOptions::new(hears) };
    let speaking = tts::SessionOptions { first_byte: latency.tts_first_byte, ..tts::SessionOptions::new(says) };
    let caller_lines = options.caller_lines.clone();
    let answering = LlmOptions { first_token: latency.llm_first_token, word: latency.llm_word, mode: answers, caller_lines };
    stt::router(key, hearing, stop.clone()).merge(tts::router(key, speaking, stop.clone())).merge(llm::router(key, answering, stop.clone()))
}
