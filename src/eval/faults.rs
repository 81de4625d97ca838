//! Faults behind the traits of tools, language model, text-to-speech and speech-to-text; and what the model was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{
    LanguageModel, ModelEvent, ModelRequest, ModelStream, Pii, ProviderError, SpeechEvent, SpeechStream, SpeechToText, SttEvent,
    SttOptions, SttStream, TextToSpeech, TtsOptions,
};
use frontdesk_audio::SampleRate;
use frontdesk_conversation::{Message, ToolError};
use frontdesk_simulators::llm::{Answer, LlmMode, LlmOptions, SimulatedLlm};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::scenario::{HearingFault, ModelFault, Phase, SpeechFault, ToolFault};

const PROVIDER: &str = "simulated";

fn broken(reason: &str) -> ProviderError {
    ProviderError::Broken { provider: PROVIDER, reason: reason.into() }
}

/// How one tool goes wrong.
pub(super) struct ToolFaults {
    faults: Vec<ToolFault>,
    runs: [AtomicU32; 3],
}

impl ToolFaults {
    /// The faults that concern a tool.
    pub(super) fn of(tool: &str, faults: &[ToolFault]) -> Self {
        Self { faults: faults.iter().filter(|fault| fault.tool == tool).cloned().collect(), runs: Default::default() }
    }

    /// The fault of the next run in this phase, after its delay; its error if it is one that fails the run.
    pub(super) async fn strike(&self, phase: Phase) -> Result<Option<ToolFault>, ToolError> {
        let run = self.runs[phase as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let is_meant = |fault: &&ToolFault| fault.phase.is_none_or(|meant| meant == phase) && fault.run.is_none_or(|meant| meant == run);
        let Some(fault) = self.faults.iter().find(is_meant) else { return Ok(None) };
        if fault.slow > 0.0 {
            sleep(Duration::from_secs_f64(fault.slow)).await;
        }
        match fault.fails.clone() {
            Some(code) => {
                let retryable = code == "unavailable";
                Err(ToolError { message: "It does not work at the moment.".into(), details: None, retryable, code })
            }
            None => Ok(Some(fault.clone())),
        }
    }
}

/// What the model was asked, and what was wrong with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The last history.
    pub(super) last: Vec<Message>,
    /// Requests so far.
    pub(super) requests: u32,
    /// Violations of what every history must keep to.
    pub(super) violations: Vec<String>,
}

/// The simulated receptionist, going wrong as told. Its answers follow from the request alone, so it is known before it is given.
pub(super) struct FaultyModel {
    faults: Vec<ModelFault>,
    asked: Arc<Mutex<Asked>>,
    /// Faults that have struck, and how long the history was then.
    struck: Mutex<Vec<(usize, usize)>>,
}

impl FaultyModel {
    pub(super) fn new(faults: &[ModelFault], asked: Arc<Mutex<Asked>>) -> Self {
        Self { faults: faults.to_vec(), asked, struck: Mutex::default() }
    }

    fn begin(&self, request: &ModelRequest) -> u32 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.requests += 1;
        let violations = violations(&request.messages);
        asked.violations.extend(violations);
        asked.last.clone_from(&request.messages);
        asked.requests
    }

    /// The fault that strikes a request, given its answer. What strikes once strikes a turn: a model that names a wrong time in answer to
    /// words that are not final yet names it again in answer to the final ones.
    fn fault(&self, request: u32, history: usize, answer: &Answer) -> Option<ModelFault> {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.faults.iter().enumerate().find(|(number, fault)| {
            let calls = |tool: &String| answer.calls.iter().any(|call| call.name == *tool);
            let says = |text: &String| answer.text.to_lowercase().contains(&text.to_lowercase());
            let once = fault.calling.is_some() || fault.saying.is_some();
            fault.request.is_none_or(|meant| meant == request)
                && fault.calling.as_ref().is_none_or(calls)
                && fault.saying.as_ref().is_none_or(says)
                && !(once && struck.iter().any(|(other, at)| other == number && !(fault.arguments.is_some() && *at == history)))
        });
        let (number, fault) = found?;
        struck.push((number, history));
        Some(fault.clone())
    }
}

/// Each tool call has exactly one output, which comes after it; no output is without its call.
fn violations(messages: &[Message]) -> Vec<String> {
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut found = Vec::new();
    for message in messages {
        match message {
            Message::Assistant { tool_calls, .. } => open.extend(tool_calls.iter().map(|call| (call.id.0.clone(), 0))),
            Message::Tool { call, name, .. } => match open.iter_mut().find(|(id, _)| *id == call.0) {
                Some((_, outputs)) => *outputs += 1,
                None => found.push(format!("the model was shown an output of {name} without its call")),
            },
            Message::System { .. } | Message::User { .. } => {}
        }
    }
    let wrong = open.iter().filter(|(_, outputs)| *outputs != 1);
    found.extend(wrong.map(|(_, outputs)| format!("the model was shown a tool call with {outputs} outputs")));
    found
}

#[async_trait]
impl LanguageModel for FaultyModel {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let number = self.begin(&request);
        let mut options = LlmOptions::default();
        let mut answer = options.mode.answer(&request);
        let fault = self.fault(number, request.messages.len(), &answer);
        if let Some(fault) = &fault {
            options.first_token += Duration::from_secs_f64(fault.slow);
            if let Some(says) = &fault.says {
                answer = Answer::say(says.clone());
            }
            if let Some(tool) = &fault.calls {
                answer = Answer::call("", tool, fault.arguments.clone().unwrap_or_else(|| json!({})));
            }
            for (name, value) in fault.arguments.iter().filter_map(Value::as_object).flatten() {
                for call in &mut answer.calls {
                    call.arguments[name] = value.clone();
                }
            }
        }
        options.mode = LlmMode::Scripted(vec![answer]);
        let stream = SimulatedLlm::new(options).ask(request).await?;
        match fault.and_then(|fault| fault.breaks_after) {
            Some(left) => Ok(Box::new(BreakingAnswer { stream, left })),
            None => Ok(stream),
        }
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

/// An answer that breaks off.
struct BreakingAnswer {
    stream: Box<dyn ModelStream>,
    left: usize,
}

#[async_trait]
impl ModelStream for BreakingAnswer {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        if self.left == 0 {
            return Err(broken("the stream broke off"));
        }
        let event = self.stream.next_event().await?;
        self.left -= 1;
        Ok(event)
    }
}

/// Text-to-speech whose connections break as told.
pub(super) struct FaultySpeech {
    inner: Arc<dyn TextToSpeech>,
    faults: Vec<SpeechFault>,
    left: Arc<Vec<AtomicU32>>,
}

impl FaultySpeech {
    pub(super) fn new(inner: Arc<dyn TextToSpeech>, faults: &[SpeechFault]) -> Self {
        let left = faults.iter().map(|fault| AtomicU32::new(fault.times)).collect();
        Self { inner, faults: faults.to_vec(), left: Arc::new(left) }
    }
}

#[async_trait]
impl TextToSpeech for FaultySpeech {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let rate = options.rate;
        let stream = self.inner.open(options).await?;
        let (faults, left) = (self.faults.clone(), Arc::clone(&self.left));
        Ok(Box::new(BreakingSpeech { stream, faults, left, rate, texts: VecDeque::new(), given: 0, is_broken: false }))
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

/// A connection that may break.
struct BreakingSpeech {
    stream: Box<dyn SpeechStream>,
    faults: Vec<SpeechFault>,
    left: Arc<Vec<AtomicU32>>,
    rate: SampleRate,
    /// What is still to be spoken.
    texts: VecDeque<String>,
    /// Samples given of the utterance.
    given: usize,
    is_broken: bool,
}

impl BreakingSpeech {
    /// Whether the connection breaks at this point.
    fn breaks(&self) -> bool {
        let Some(text) = self.texts.front().map(|text| text.to_lowercase()) else { return false };
        let strikes = |(fault, left): (&SpeechFault, &AtomicU32)| {
            text.contains(&fault.within.to_lowercase())
                && self.given >= self.rate.samples_in(Duration::from_secs_f64(fault.breaks_after))
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        self.faults.iter().zip(self.left.iter()).any(strikes)
    }
}

#[async_trait]
impl SpeechStream for BreakingSpeech {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        if self.is_broken {
            return Err(broken("the connection is broken"));
        }
        self.texts.push_back(text.to_owned());
        self.stream.speak(text).await
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.texts.clear();
        self.given = 0;
        self.stream.clear().await
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        if self.is_broken || self.breaks() {
            self.is_broken = true;
            return Err(broken("the connection broke"));
        }
        let event = self.stream.next_event().await?;
        match &event {
            Some(SpeechEvent::Audio(samples)) => self.given += samples.len(),
            Some(SpeechEvent::Finished { .. }) => {
                self.texts.pop_front();
                self.given = 0;
            }
            None => {}
        }
        Ok(event)
    }

    async fn close(&mut self) {
        self.stream.close().await;
    }
}

/// Speech-to-text whose first connection goes wrong as told.
pub(super) struct FaultyHearing {
    inner: Arc<dyn SpeechToText>,
    faults: Vec<HearingFault>,
    opened: AtomicUsize,
}

impl FaultyHearing {
    pub(super) fn new(inner: Arc<dyn SpeechToText>, faults: &[HearingFault]) -> Self {
        Self { inner, faults: faults.to_vec(), opened: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl SpeechToText for FaultyHearing {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let stream = self.inner.open(options).await?;
        // Each connection has the next fault of the list.
        let fault = self.faults.get(self.opened.fetch_add(1, Ordering::Relaxed)).cloned();
        Ok(Box::new(FailingEar { stream, fault, heard: 0 }))
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

/// A connection that may fail.
struct FailingEar {
    stream: Box<dyn SttStream>,
    fault: Option<HearingFault>,
    /// Samples taken.
    heard: usize,
}

impl FailingEar {
    fn fails(&self) -> Option<bool> {
        let fault = self.fault.as_ref().filter(|fault| fault.unsure.is_none() && fault.wordless.is_none())?;
        self.is_due(fault).then_some(fault.deaf)
    }

    /// Whether it gives no words now, if that is the fault.
    fn is_wordless(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| {
            let over = fault.wordless.map(|lasting| SampleRate::HZ_16000.samples_in(Duration::from_secs_f64(fault.after + lasting)));
            self.is_due(fault) && over.is_some_and(|over| self.heard < over)
        })
    }

    fn is_due(&self, fault: &HearingFault) -> bool {
        self.heard >= SampleRate::HZ_16000.samples_in(Duration::from_secs_f64(fault.after))
    }

    /// How sure it is of each word, if that is the fault.
    fn confidence(&self) -> Option<f32> {
        self.fault.as_ref().filter(|fault| self.is_due(fault)).and_then(|fault| fault.unsure)
    }
}

#[async_trait]
impl SttStream for FailingEar {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        self.heard += samples.len();
        match self.fails() {
            None => self.stream.send_audio(samples).await,
            Some(true) => Ok(()),
            Some(false) => Err(broken("the connection broke")),
        }
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        if self.fails().is_some() { Ok(()) } else { self.stream.finalize().await }
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        match self.fails() {
            None => {
                let mut event = self.stream.next_event().await;
                if let Ok(Some(event)) = &mut event {
                    if let Some(unsure) = self.confidence() {
                        event.words.iter_mut().for_each(|word| word.confidence = unsure);
                    }
                    if self.is_wordless() {
                        (event.text, event.words) = (Pii::default(), Vec::new());
                    }
                }
                event
            }
            Some(true) => std::future::pending().await,
            Some(false) => Err(broken("the connection broke")),
        }
    }

    async fn close(&mut self) {
        self.stream.close().await;
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_conversation::{ToolCall, ToolCallId};

    use super::*;

    #[test]
    fn a_call_without_exactly_one_output_is_noticed() {
        let call = ToolCall { id: ToolCallId("1".into()), name: "find".into(), arguments: Value::Null };
        let output = Message::Tool { call: ToolCallId("1".into()), name: "find".into(), content: String::new() };
        let asked = Message::Assistant { text: String::new(), tool_calls: vec![call] };
        assert!(violations(&[asked.clone(), output.clone()]).is_empty());
        assert_eq!(violations(std::slice::from_ref(&asked)).len(), 1);
        assert_eq!(violations(&[asked, output.clone(), output.clone()]).len(), 1);
        assert_eq!(violations(&[output]).len(), 1);
    }
}
