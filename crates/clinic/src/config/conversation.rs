//! What a tenant's configuration means for the conversation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_conversation::{Config, ToolSpec};

use super::model::Tenant;

impl Tenant {
    /// The settings of a call that begins at `now`, with these tools.
    #[must_use]
    pub fn conversation_config(&self, now: DateTime<Utc>, tools: Vec<ToolSpec>) -> Config {
        let mut config = Config { instructions: self.instructions(now), greeting: self.greeting.clone(), tools, ..Config::default() };
        config.emergency_phrases.clone_from(&self.emergency.phrases);
        config.phrases.emergency.clone_from(&self.emergency.text);
        let taking = &self.turn_taking;
        let set = |value: Option<f64>, target: &mut Duration| {
            if let Some(seconds) = value {
                // Validation bounds it to 0..=120.
                *target = Duration::from_secs_f64(seconds.clamp(0.0, 120.0));
            }
        };
        config.endpointing.mode = taking.turn_detection.unwrap_or(config.endpointing.mode);
        config.preemptive_generation = taking.preemptive_generation.unwrap_or(config.preemptive_generation);
        config.preemptive_tts = taking.preemptive_tts.unwrap_or(config.preemptive_tts);
        set(taking.min_endpointing_delay, &mut config.endpointing.min_delay);
        set(taking.max_endpointing_delay, &mut config.endpointing.max_delay);
        set(taking.min_interruption_duration, &mut config.interruption.min_duration);
        set(taking.false_interruption_timeout, &mut config.interruption.resume_after);
        set(taking.user_away_timeout, &mut config.silence.away_after);
        config
    }
}
