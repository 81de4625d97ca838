//! From reports of helper tasks to inputs of the conversation.

use std::time::Duration;

use frontdesk_conversation::{CallTime, CommitOutcome, EndReason, Failure, HeardWord, Input, ToolCallId, Transcript};
use metrics::histogram;
use tokio::time::Instant;

use super::driver::Driver;
use crate::error::ProviderError;
use crate::hearing::clock::HEARING_RATE;
use crate::hearing::{Heard, HeardSegment, HearingOrder};
use crate::line::LineReport;
use crate::llm::ModelEvent;
use crate::model::ModelReport;
use crate::numbers::GREETING_DELAY;
use crate::observe::SessionEvent;
use crate::playout::PlayoutEvent;
use crate::speech::SpeechReport;
use crate::tools::ToolReport;
use crate::transport::TransportEvent;
use crate::vad::VoiceEvent;

/// Silence that is heard at once while no audio comes.
const DRY_CHUNK: Duration = Duration::from_millis(100);

impl Driver {
    pub(super) fn on_line(&mut self, report: Option<LineReport>) {
        match report {
            Some(LineReport::Event(event)) => self.on_transport(event),
            Some(LineReport::Transferred(outcome)) => {
                tracing::info!(outcome = outcome.as_str(), "the transfer ended");
                self.inputs.push_back(Input::TransferEnded(outcome));
            }
            None => {
                self.line_closed = true;
                self.line_ended(EndReason::ConnectionLost);
            }
        }
    }

    fn line_ended(&mut self, reason: EndReason) {
        if self.caller_gone {
            return;
        }
        self.caller_gone = true;
        let input = match reason {
            EndReason::CallerHungUp => Input::CallerLeft,
            reason => {
                tracing::warn!(reason = reason.as_str(), "the line is gone, and the caller did not hang up");
                Input::LineLost { reason }
            }
        };
        self.end(input, reason);
    }

    fn on_transport(&mut self, event: TransportEvent) {
        if self.caller_gone {
            return;
        }
        let is_leased = self.parts.store.as_ref().is_some_and(|store| store.is_leased(&self.parts.watch.call_id));
        if event.is_left_to_another(is_leased) {
            tracing::warn!("the call is left to another agent");
            self.parts.lost.cancel();
            return;
        }
        if matches!(event, TransportEvent::ShutOut) {
            self.parts.incidents.note("transport: the server did not let the agent back in, its token has expired or was revoked");
        }
        if let Some(reason) = event.end() {
            return self.line_ended(reason);
        }
        match event {
            TransportEvent::Audio(frame) => {
                if frame.rate != HEARING_RATE {
                    self.parts.incidents.note("transport: audio at a wrong rate was left out");
                    return;
                }
                self.last_audio = Instant::now();
                self.hear(frame.samples, true);
            }
            TransportEvent::Dtmf(digit) => self.inputs.push_back(Input::Dtmf { digit }),
            TransportEvent::PersonCame => self.inputs.push_back(Input::PersonCame),
            TransportEvent::PersonLeft => self.inputs.push_back(Input::PersonLeft),
            TransportEvent::Text(text) => self.inputs.push_back(Input::Text { text: text.into_inner() }),
            // Those that end the call.
            _ => {}
        }
    }

    /// Silence stands in for audio that does not come.
    pub(super) fn hear_silence(&mut self, now: Instant) {
        self.last_audio = (self.last_audio + DRY_CHUNK).min(now);
        self.hear(vec![0; HEARING_RATE.samples_in(DRY_CHUNK)], false);
    }

    /// Hands audio to detector, recogniser and, if it came from the caller, recording.
    fn hear(&mut self, samples: Vec<i16>, recorded: bool) {
        let first = self.samples.total();
        self.samples.arrived(samples.len(), self.now());
        if let Some(tap) = self.parts.caller_tap.as_ref().filter(|_| recorded) {
            tap.heard(self.samples.time_of(first), &samples);
        }
        self.parts.vad.push(&samples);
        self.parts.turn.heard(&samples);
        if self.unheard.push(first, &samples) {
            self.hand_over();
        }
    }

    /// Gives the recogniser what it has not been given.
    pub(super) fn hand_over(&mut self) {
        if let Some((first, samples)) = self.unheard.take()
            && self.parts.hearing.try_send(HearingOrder::Audio { first, samples }).is_err()
        {
            self.parts.incidents.note("speech-to-text: audio was left out, it is too slow");
        }
    }

    pub(super) fn on_voice(&mut self, event: VoiceEvent) {
        let now = self.now();
        let input = match event {
            VoiceEvent::Started { at } => {
                // The caller goes on: whether he had finished is no question any more.
                self.parts.turn.withdraw();
                Input::SpeechStarted { at: self.samples.time_of(at).min(now) }
            }
            VoiceEvent::Ended { last_speech } => Input::SpeechEnded { last_speech: self.samples.time_of(last_speech).min(now) },
            VoiceEvent::Failed { retryable } => {
                // Transcripts still come, so the call goes on without barge-in by voice alone.
                let what = if retryable { "voice activity: some audio was not judged" } else { "voice activity: failed" };
                self.parts.incidents.note(what);
                return;
            }
        };
        self.inputs.push_back(input);
    }

    pub(super) fn on_turn_answer(&mut self, last_speech: CallTime, probability: Option<f32>) {
        match probability {
            Some(probability) => self.inputs.push_back(Input::TurnProbability { last_speech, probability }),
            // The conversation goes by silence alone.
            None => self.parts.incidents.note("turn model: no answer in time"),
        }
    }

    pub(super) fn on_playout(&mut self, event: PlayoutEvent) {
        if matches!(event, PlayoutEvent::Started(_))
            && let Some(answered_after) = self.answered_after.take()
        {
            let after = answered_after + self.epoch.elapsed();
            tracing::info!(after_ms = after.as_millis() as u64, "greeted");
            histogram!(GREETING_DELAY).record(after.as_secs_f64());
        }
        self.inputs.push_back(match event {
            PlayoutEvent::Started(utterance) => Input::PlaybackStarted { utterance },
            PlayoutEvent::Position(utterance, played) => Input::PlaybackPosition { utterance, played },
            PlayoutEvent::Finished(utterance) => Input::PlaybackFinished { utterance },
        });
    }

    pub(super) fn on_heard(&mut self, report: Heard) {
        match report {
            Heard::Segment(segment) => {
                let transcript = self.transcript(segment);
                self.inputs.push_back(Input::Transcript(transcript));
            }
            Heard::Reconnected(error) => {
                self.parts.incidents.note(format!("speech-to-text: {}, connected anew", error.kind()));
                self.inputs.push_back(Input::TranscriptionReopened);
            }
            Heard::Failed(error) => {
                let failure = self.failed("speech-to-text", &error);
                self.inputs.push_back(Input::TranscriptionFailed(failure));
            }
        }
    }

    fn transcript(&self, segment: HeardSegment) -> Transcript {
        let now = self.now();
        let at = |index: u64| -> CallTime { self.samples.time_of(index).min(now) };
        let words = segment.words.into_iter().map(|word| HeardWord {
            start: at(word.start),
            end: at(word.end),
            text: word.text.into_inner(),
            confidence: word.confidence,
        });
        Transcript {
            words: words.collect(),
            text: segment.text.into_inner(),
            is_final: segment.is_final,
            from_finalize: segment.from_finalize,
            ends_turn: segment.ends_turn,
            language: segment.language,
        }
    }

    pub(super) fn on_spoken(&mut self, report: SpeechReport) {
        let input = match report {
            SpeechReport::Started(utterance) => Input::SynthesisStarted { utterance },
            SpeechReport::Done { utterance, duration, words } => {
                self.mute = false;
                Input::SynthesisDone { utterance, duration, words }
            }
            SpeechReport::Failed(utterance, error) => {
                self.mute = true;
                Input::SynthesisFailed { utterance, failure: self.failed("text-to-speech", &error) }
            }
            SpeechReport::Reconnected(error) => {
                self.parts.incidents.note(format!("text-to-speech: {}, connected anew", error.kind()));
                return;
            }
        };
        self.inputs.push_back(input);
    }

    pub(super) fn on_model(&mut self, report: ModelReport) {
        let input = match report {
            ModelReport::Event(generation, ModelEvent::Text(text)) => Input::ModelText { generation, text },
            ModelReport::Event(generation, ModelEvent::ToolCall(call)) => Input::ModelToolCall { generation, call },
            ModelReport::Event(generation, ModelEvent::Done) => Input::ModelDone { generation },
            ModelReport::Failed(generation, error) => Input::ModelFailed { generation, failure: self.failed("language model", &error) },
        };
        self.inputs.push_back(input);
    }

    fn failed(&self, service: &str, error: &ProviderError) -> Failure {
        tracing::warn!(service, %error, "a provider failed");
        self.parts.incidents.note(format!("{service}: {} {}", error.provider(), error.kind()));
        error.into()
    }

    pub(super) fn on_tool(&mut self, report: ToolReport) {
        let input = match report {
            ToolReport::Finished(call, outcome) => {
                self.tool_ended(&call, Some(outcome.is_ok()));
                Input::ToolFinished { call, outcome }
            }
            ToolReport::Prepared(call, outcome) => {
                self.tool_ended(&call, Some(outcome.is_ok()));
                Input::ToolPrepared { call, outcome }
            }
            ToolReport::Committed(confirmation, outcome) => {
                if let Some(call) = self.commits.remove(&confirmation) {
                    self.tool_ended(&call, succeeded(&outcome));
                }
                if self.summary.is_some() {
                    self.late.push((confirmation, outcome));
                    return;
                }
                Input::ToolCommitted { confirmation, outcome }
            }
            ToolReport::Order(order) => return self.on_order(order),
        };
        self.inputs.push_back(input);
    }

    pub(super) fn tool_ended(&mut self, call: &ToolCallId, succeeded: Option<bool>) {
        let Some(running) = self.running.remove(call) else { return };
        let took = running.since.elapsed();
        tracing::info!(tool = %running.name, phase = ?running.phase, ?succeeded, took_ms = took.as_millis() as u64, "tool ended");
        let (call, name, phase) = (call.clone(), running.name, running.phase);
        self.parts.watch.tell(self.now(), SessionEvent::ToolEnded { call, name, phase, succeeded, took });
    }
}

const fn succeeded(outcome: &CommitOutcome) -> Option<bool> {
    match outcome {
        CommitOutcome::Done(_) => Some(true),
        CommitOutcome::Refused(_) => Some(false),
        CommitOutcome::Unknown => None,
    }
}
