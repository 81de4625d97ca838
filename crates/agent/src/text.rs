//! Calls in writing: a transport of lines of text and providers that are silent, to try an agent without telephone, audio or keys.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_audio::SampleRate;
use frontdesk_conversation::{AgentState, Speaker, TranscriptLine};
use tokio::sync::mpsc;

use crate::error::ProviderError;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream};
use crate::session::Providers;
use crate::speech::Greetings;
use crate::stt::{SpeechToText, SttEvent, SttOptions, SttStream};
use crate::transport::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};
use crate::tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};
use crate::vad::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

/// Lines that wait at most; who writes faster waits.
const LINES_MAX: usize = 16;
/// A silent voice "says" a word in so long: the text is there at once, but in the order of a conversation.
const WORD: Duration = Duration::from_millis(20);

/// A call in writing: each line that comes is a turn of the caller, the end of the lines is his hanging up.
pub struct TextTransport {
    info: CallInfo,
    lines: mpsc::Receiver<String>,
    print: Box<dyn FnMut(&str) + Send>,
    over: bool,
}

impl TextTransport {
    /// A call whose caller's lines come from `lines`, and whose agent's lines go to `print` once they were said.
    #[must_use]
    pub fn new(lines: mpsc::Receiver<String>, print: impl FnMut(&str) + Send + 'static) -> Self {
        Self { info: CallInfo::default(), lines, print: Box::new(print), over: false }
    }

    /// A call in the terminal: the caller is standard input, the agent standard output.
    #[must_use]
    pub fn terminal() -> Self {
        let (send, lines) = mpsc::channel(LINES_MAX);
        // Reading standard input cannot be cancelled, so it has a thread that ends with the process.
        std::thread::spawn(move || {
            let lines = std::io::stdin().lines().map_while(Result::ok);
            lines.map(|line| send.blocking_send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Self::new(lines, |line| println!("agent: {line}"))
    }
}

#[async_trait]
impl Transport for TextTransport {
    fn info(&self) -> &CallInfo {
        &self.info
    }

    async fn answer(&mut self, _rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError> {
        Ok(Box::new(Nowhere))
    }

    async fn next_event(&mut self) -> TransportEvent {
        if self.over {
            return TransportEvent::Disconnected;
        }
        match self.lines.recv().await {
            Some(line) => TransportEvent::Text(line.into()),
            None => {
                self.over = true;
                TransportEvent::CallerLeft
            }
        }
    }

    async fn set_state(&mut self, _state: AgentState) {}

    async fn publish_transcript(&mut self, line: &TranscriptLine) {
        if line.speaker == Speaker::Agent && line.is_final {
            (self.print)(&line.text);
        }
    }

    async fn hang_up(&mut self) {
        self.over = true;
    }
}

struct Nowhere;

impl AudioSink for Nowhere {
    fn write(&mut self, _frame: &[i16]) {}
}

impl Providers {
    /// Providers for calls in writing: this model, and neither ear nor voice.
    #[must_use]
    pub fn in_writing(llm: impl LanguageModel + 'static) -> Self {
        let greetings = Greetings::default();
        Self { stt: Arc::new(Silent), llm: Arc::new(llm), tts: Arc::new(Silent), greetings, vad: Arc::new(Silent), turn: None, store: None }
    }
}

/// Hears nothing, says nothing, but takes its time for it.
struct Silent;

#[async_trait]
impl SpeechToText for Silent {
    async fn open(&self, _options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        Ok(Box::new(Self))
    }

    fn name(&self) -> &'static str {
        "none"
    }
}

#[async_trait]
impl SttStream for Silent {
    async fn send_audio(&mut self, _samples: &[i16]) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        std::future::pending().await
    }

    async fn close(&mut self) {}
}

impl VoiceActivityDetector for Silent {
    fn open(&self) -> Box<dyn VoiceActivity> {
        Box::new(Self)
    }
}

#[async_trait]
impl VoiceActivity for Silent {
    fn push(&mut self, _samples: &[i16]) {}

    async fn next_event(&mut self) -> VoiceEvent {
        std::future::pending().await
    }
}

#[async_trait]
impl TextToSpeech for Silent {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        Ok(Box::new(SilentVoice { rate: options.rate, events: VecDeque::new() }))
    }

    fn name(&self) -> &'static str {
        "none"
    }
}

struct SilentVoice {
    rate: SampleRate,
    events: VecDeque<SpeechEvent>,
}

#[async_trait]
impl SpeechStream for SilentVoice {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        let words = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX).clamp(1, 1000);
        self.events.push_back(SpeechEvent::Audio(vec![0; self.rate.samples_in(WORD * words)]));
        self.events.push_back(SpeechEvent::Finished { words: Vec::new() });
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.events.clear();
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        match self.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {}
}

/// A model that is a function from the question to the answer: for examples and tests.
pub struct FnModel<F>(pub F);

#[async_trait]
impl<F: Fn(&ModelRequest) -> ModelEvent + Send + Sync> LanguageModel for FnModel<F> {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        Ok(Box::new(Pieces(VecDeque::from([(self.0)(&request), ModelEvent::Done]))))
    }

    fn name(&self) -> &'static str {
        "function"
    }
}

struct Pieces(VecDeque<ModelEvent>);

#[async_trait]
impl ModelStream for Pieces {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        Ok(self.0.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_conversation::EndReason;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Agent, Session, SessionOptions};

    #[tokio::test(start_paused = true)]
    async fn a_call_in_writing() {
        let (send, lines) = mpsc::channel(4);
        let (heard, mut said) = mpsc::unbounded_channel();
        let transport = TextTransport::new(lines, move |line| heard.send(line.to_owned()).expect("somebody listens"));
        let agent = Agent::new("echo").greeting("Hello.");
        let options = SessionOptions::for_agents("call", "shop", vec![agent]);
        let model = FnModel(|_: &ModelRequest| ModelEvent::Text("You are welcome.".into()));
        let call = Session::new(options, Providers::in_writing(model), Box::new(transport)).run(CancellationToken::new());
        let caller = async move {
            assert_eq!(said.recv().await.as_deref(), Some("Hello."));
            send.send("Thank you.".into()).await.expect("the call goes on");
            assert_eq!(said.recv().await.as_deref(), Some("You are welcome."));
        };
        let (record, ()) = tokio::join!(call, caller);
        assert_eq!(record.outcome, EndReason::CallerHungUp);
    }
}
