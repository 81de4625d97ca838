//! The numbers of every turn: histograms, counters and a log line, under LiveKit's names where it has one and OpenTelemetry's for
//! generative AI. Labels are closed lists and names of tools and providers that this program knows; none is personal data.

use std::collections::BTreeMap;
use std::time::Duration;

use frontdesk_conversation::{EndReason, TurnMetrics};
use metrics::{counter, gauge, histogram};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing::field::Empty;

/// A stage of a turn that has a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From the caller's last sound to the final transcript.
    TranscriptionDelay,
    /// From the caller's last sound to the decision that his turn is over.
    EndOfTurnDelay,
    /// From the question to the model's first text or tool call.
    LlmTtft,
    /// From the model's first text to the first clause for the synthesiser.
    TimeToFirstClause,
    /// From the first clause to the first byte of its speech.
    TtsTtfb,
    /// From the first byte of speech to the first sample that left the pacer.
    PlayoutDelay,
    /// From the caller's last sound to the agent's first.
    E2eLatency,
}

impl Stage {
    /// All of them, in the order of a turn.
    pub const ALL: [Self; 7] = [
        Self::TranscriptionDelay,
        Self::EndOfTurnDelay,
        Self::LlmTtft,
        Self::TimeToFirstClause,
        Self::TtsTtfb,
        Self::PlayoutDelay,
        Self::E2eLatency,
    ];

    /// The word in records, settings and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TranscriptionDelay => "transcription_delay",
            Self::EndOfTurnDelay => "end_of_turn_delay",
            Self::LlmTtft => "llm_ttft",
            Self::TimeToFirstClause => "time_to_first_clause",
            Self::TtsTtfb => "tts_ttfb",
            Self::PlayoutDelay => "playout_delay",
            Self::E2eLatency => "e2e_latency",
        }
    }

    /// The name of its histogram, in seconds: LiveKit's where it has one.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        match self {
            Self::TranscriptionDelay => "lk.agents.turn.transcription_delay",
            Self::EndOfTurnDelay => "lk.agents.turn.end_of_turn_delay",
            Self::LlmTtft => "lk.agents.turn.llm_ttft",
            Self::TimeToFirstClause => "frontdesk.turn.time_to_first_clause",
            Self::TtsTtfb => "lk.agents.turn.tts_ttfb",
            Self::PlayoutDelay => "frontdesk.turn.playout_delay",
            Self::E2eLatency => "lk.agents.turn.e2e_latency",
        }
    }

    /// How long it took in a turn; `None` if it was not reached.
    #[must_use]
    pub fn of(self, turn: &TurnMetrics) -> Option<Duration> {
        match self {
            Self::TranscriptionDelay => turn.transcription_delay(),
            Self::EndOfTurnDelay => turn.end_of_turn_delay(),
            Self::LlmTtft => turn.llm_ttft(),
            Self::TimeToFirstClause => turn.time_to_first_clause(),
            Self::TtsTtfb => turn.tts_ttfb(),
            Self::PlayoutDelay => turn.playout_delay(),
            Self::E2eLatency => turn.e2e_latency(),
        }
    }
}

/// Turns of which a stage took longer than its target, by stage.
pub const TARGET_MISSES: &str = "frontdesk.turn.target_misses";
/// Turns that were answered.
pub const TURNS: &str = "frontdesk.turns";
/// Requests to the model from question to end, in seconds.
pub const CHAT_DURATION: &str = "gen_ai.client.operation.duration";
/// Requests to the model from question to first piece, in seconds.
pub const CHAT_FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
/// Counter: calls that ended, by `outcome`.
pub const CALLS: &str = "frontdesk.calls";
/// Counter: calls that a watchdog ended.
pub const CALLS_STUCK: &str = "frontdesk.calls_stuck";
/// Gauge: calls under way.
pub const CALLS_ACTIVE: &str = "frontdesk.calls_active";
/// Counter: frames of 20 ms that left late by as much or more.
pub const FRAMES_LATE: &str = "frontdesk.audio.frames_late";
/// From the beginning of a session to the first sample of its greeting, in seconds.
pub const GREETING_DELAY: &str = "frontdesk.greeting_delay";
/// From the question to the turn model's answer, in seconds.
pub const TURN_MODEL_DURATION: &str = "frontdesk.turn_model.duration";
/// Runs of tools, in seconds.
pub const TOOL_DURATION: &str = "gen_ai.execute_tool.duration";

/// How long the stages of a turn may take; a stage without a target is only measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyTargets {
    targets: BTreeMap<Stage, Duration>,
}

impl LatencyTargets {
    /// No targets.
    #[must_use]
    pub const fn none() -> Self {
        Self { targets: BTreeMap::new() }
    }

    /// Sets the target of a stage; zero takes it away.
    #[must_use]
    pub fn with(mut self, stage: Stage, target: Duration) -> Self {
        if target.is_zero() {
            self.targets.remove(&stage);
        } else {
            self.targets.insert(stage, target);
        }
        self
    }

    /// The stages of a turn that took longer than they may.
    pub fn missed<'a>(&'a self, turn: &'a TurnMetrics) -> impl Iterator<Item = Stage> + 'a {
        self.targets.iter().filter(|(stage, target)| stage.of(turn).is_some_and(|took| took > **target)).map(|(stage, _)| *stage)
    }

    /// How many turns missed each target that was missed.
    pub(crate) fn count<'a>(&self, turns: impl IntoIterator<Item = &'a TurnMetrics>) -> BTreeMap<Stage, u32> {
        let mut misses = BTreeMap::new();
        for turn in turns {
            for stage in self.missed(turn) {
                *misses.entry(stage).or_default() += 1;
            }
        }
        misses
    }
}

impl Default for LatencyTargets {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self::none()
            .with(Stage::EndOfTurnDelay, ms(800))
            .with(Stage::LlmTtft, ms(800))
            .with(Stage::TtsTtfb, ms(400))
            .with(Stage::E2eLatency, ms(1500))
    }
}

/// A call under way, for as long as this lives.
pub(crate) struct Active(());

impl Active {
    pub(crate) fn begin() -> Self {
        gauge!(CALLS_ACTIVE).increment(1.0);
        Self(())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        gauge!(CALLS_ACTIVE).decrement(1.0);
    }
}

/// A call has ended.
pub(crate) fn call(outcome: EndReason) {
    counter!(CALLS, "outcome" => outcome.as_str()).increment(1);
}

/// The span of a turn: from the first question about it to its end, with its figures in seconds as attributes.
pub(crate) fn turn_span() -> Span {
    tracing::info_span!(
        "turn",
        turn = Empty,
        lk.agents.turn.transcription_delay = Empty,
        lk.agents.turn.end_of_turn_delay = Empty,
        lk.agents.turn.llm_ttft = Empty,
        frontdesk.turn.time_to_first_clause = Empty,
        lk.agents.turn.tts_ttfb = Empty,
        frontdesk.turn.playout_delay = Empty,
        lk.agents.turn.e2e_latency = Empty
    )
}

/// Tells of a turn whose span ends now.
pub(crate) fn turn(turn: &TurnMetrics, targets: &LatencyTargets, span: &Span) {
    span.record("turn", turn.turn.0);
    counter!(TURNS).increment(1);
    for (stage, took) in Stage::ALL.into_iter().filter_map(|stage| Some((stage, stage.of(turn)?))) {
        histogram!(stage.metric()).record(took.as_secs_f64());
        span.record(stage.metric(), took.as_secs_f64());
    }
    for stage in targets.missed(turn) {
        counter!(TARGET_MISSES, "stage" => stage.as_str()).increment(1);
    }
    let seconds = |stage: Stage| stage.of(turn).map(|took| took.as_secs_f64());
    let _turn = span.enter();
    tracing::info!(
        turn = turn.turn.0,
        lk.agents.turn.transcription_delay = seconds(Stage::TranscriptionDelay),
        lk.agents.turn.end_of_turn_delay = seconds(Stage::EndOfTurnDelay),
        lk.agents.turn.llm_ttft = seconds(Stage::LlmTtft),
        frontdesk.turn.time_to_first_clause = seconds(Stage::TimeToFirstClause),
        lk.agents.turn.tts_ttfb = seconds(Stage::TtsTtfb),
        frontdesk.turn.playout_delay = seconds(Stage::PlayoutDelay),
        lk.agents.turn.e2e_latency = seconds(Stage::E2eLatency),
        "turn completed"
    );
}

/// Tells of a request to the model.
pub(crate) fn chat(provider: &'static str, first_chunk: Option<Duration>, took: Duration, error: Option<&'static str>) {
    let mut labels = vec![("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", provider)];
    if let Some(first) = first_chunk {
        histogram!(CHAT_FIRST_CHUNK, &labels).record(first.as_secs_f64());
    }
    labels.extend(error.map(|error| ("error.type", error)));
    histogram!(CHAT_DURATION, &labels).record(took.as_secs_f64());
}

/// Tells of a tool that this program knows.
pub(crate) fn tool(name: &'static str, took: Duration, failed: bool) {
    let mut labels = vec![("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", name)];
    labels.extend(failed.then_some(("error.type", "tool_error")));
    histogram!(TOOL_DURATION, &labels).record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use frontdesk_conversation::CallTime;

    use super::*;

    #[test]
    fn a_stage_that_takes_longer_than_its_target_is_a_miss() {
        let at = |ms: u64| Some(CallTime::from_micros(ms * 1000));
        let slow = TurnMetrics {
            last_speech: at(1000),
            committed: at(1500),
            model_asked: at(1400),
            first_token: at(2300),
            ..TurnMetrics::default()
        };
        let targets = LatencyTargets::default();
        assert_eq!(targets.missed(&slow).collect::<Vec<_>>(), [Stage::LlmTtft]);
        assert_eq!(targets.count([&slow, &slow]), BTreeMap::from([(Stage::LlmTtft, 2)]));
        let lenient = targets.with(Stage::LlmTtft, Duration::ZERO);
        assert_eq!(lenient.missed(&slow).count(), 0);
    }
}
