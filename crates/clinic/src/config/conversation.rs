//! What a tenant's configuration means for the conversation.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_agent::{Price, PriceTable, SttOptions};
use frontdesk_conversation::{Config, Phrases, ToolSpec};

use super::model::{ConsentBy, PriceConfig, Tenant};

/// Deepgram's name for speech in whichever of its languages.
const MULTILINGUAL: &str = "multi";

/// What the model is told besides, when all lines are busy.
const BUSY: &str = "\n\nAll of the practice's lines are busy now, and the caller has been told so. In this call you can only take a message \
                    so that somebody calls back: offer that, take it, and end the call. Anything else has to wait until then.\n";

/// The agent's own sentences in a language, where there are any.
pub(super) fn phrases(tag: &str) -> Option<Phrases> {
    match tag {
        "en" => Some(Phrases::default()),
        "es" => Some(Phrases::spanish()),
        _ => None,
    }
}

/// `en-US` is `en`.
fn primary_tag(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

impl Tenant {
    /// The settings of a call that begins at `now`, with these tools.
    #[must_use]
    pub fn conversation_config(&self, now: DateTime<Utc>, tools: Vec<ToolSpec>) -> Config {
        let mut config = Config { instructions: self.instructions(now), greeting: self.greeting.clone(), tools, ..Config::default() };
        if let Some(left_out) = self.features.left_out() {
            config.instructions.push_str(&left_out);
        }
        config.disclaimer = self.disclaimer.as_deref().map(str::trim).unwrap_or_default().to_owned();
        config.language = primary_tag(&self.language).to_owned();
        config.phrases = phrases(&config.language).unwrap_or_default();
        config.languages = self.voice.by_language.keys().filter_map(|tag| Some((tag.clone(), phrases(tag)?))).collect();
        config.trouble_transfer = self.transfer_targets.iter().find(|target| target.in_trouble).map(|target| target.name.clone());
        config.emergency_phrases.clone_from(&self.emergency.phrases);
        let emergency = |tag: &String| self.emergency.text_by_language.get(tag).unwrap_or(&self.emergency.text).clone();
        config.phrases.emergency = emergency(&config.language);
        for (tag, phrases) in &mut config.languages {
            phrases.emergency = emergency(tag);
        }
        if let Some(seconds) = self.limits.call_duration_max_s {
            config.duration_max = Duration::from_secs(seconds.into());
        }
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

    /// Makes it a call beyond the clinic's limit: it begins with the tenant's sentence, and comes to no more than a message.
    pub fn tell_busy(&self, config: &mut Config) {
        if let Some(busy) = &self.limits.busy {
            config.greeting.clone_from(busy);
        }
        config.instructions.push_str(BUSY);
        config.trouble_transfer = None;
    }

    /// Makes it a call that is, or may be, recorded: it begins with the tenant's notice.
    pub fn tell_recorded(&self, config: &mut Config) {
        let Some(recording) = &self.recording else { return };
        let Some(notice) = recording.notice.as_deref().map(str::trim) else { return };
        match recording.consent {
            // Whoever is asked may answer before the question is out.
            ConsentBy::Ask => config.greeting = format!("{notice} {}", config.greeting),
            ConsentBy::Notice | ConsentBy::Elsewhere => config.disclaimer = format!("{} {notice}", config.disclaimer).trim().to_owned(),
        }
    }

    /// What the recogniser is to listen for: one language, or several where the agent speaks several.
    #[must_use]
    pub fn recognised(&self) -> SttOptions {
        let language = if self.voice.by_language.is_empty() { &self.language } else { MULTILINGUAL };
        SttOptions { model: self.voice.speech_to_text.clone(), language: Some(language.to_owned()), keyterms: self.voice.key_terms.clone() }
    }

    /// What the clinic pays its providers.
    #[must_use]
    pub fn price_table(&self) -> PriceTable {
        let price = |price: &PriceConfig| Price {
            service: price.service,
            provider: price.provider.clone(),
            per_minute: price.per_minute,
            per_1000_characters: price.per_1000_characters,
            per_million_tokens_in: price.per_million_tokens_in,
            per_million_tokens_out: price.per_million_tokens_out,
        };
        PriceTable { currency: self.currency.clone(), prices: self.prices.iter().map(price).collect() }
    }

    /// The numbers behind the names of the transfer targets.
    #[must_use]
    pub fn transfer_numbers(&self) -> BTreeMap<String, String> {
        self.transfer_targets.iter().map(|target| (target.name.clone(), target.number.clone())).collect()
    }
}
