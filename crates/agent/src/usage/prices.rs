//! What providers ask, as the clinic has agreed with them.

use super::{RecordCost, RecordUsage, ServiceKind, Used};

/// What one provider asks, each in units of the clinic's currency; zero for what is free.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// What it does.
    pub service: ServiceKind,
    /// Its name, as the record has it.
    pub provider: String,
    /// A minute of audio.
    pub per_minute: f64,
    /// A thousand characters.
    pub per_1000_characters: f64,
    /// A million tokens of questions.
    pub per_million_tokens_in: f64,
    /// A million tokens of answers.
    pub per_million_tokens_out: f64,
}

/// A clinic's prices; empty if it has said none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PriceTable {
    /// ISO 4217.
    pub currency: String,
    /// One a service and provider.
    pub prices: Vec<Price>,
}

impl PriceTable {
    /// The sum of what was used; `None` without any price.
    #[must_use]
    pub fn cost(&self, usage: &[RecordUsage]) -> Option<RecordCost> {
        if self.prices.is_empty() {
            return None;
        }
        let mut cost = RecordCost { currency: self.currency.clone(), micros: 0, unpriced: Vec::new() };
        let mut sum = 0.0;
        for entry in usage {
            match self.prices.iter().find(|price| price.service == entry.service && price.provider == entry.provider) {
                Some(price) => sum += price.of(&entry.used),
                None => cost.unpriced.push(format!("{}/{}", entry.service.as_str(), entry.provider)),
            }
        }
        // Rounded once, so that many small amounts do not add up to nothing.
        cost.micros = (sum * 1e6).round() as u64;
        Some(cost)
    }
}

impl Price {
    fn of(&self, used: &Used) -> f64 {
        self.per_minute * used.audio_ms as f64 / 60_000.0
            + self.per_1000_characters * used.characters as f64 / 1e3
            + self.per_million_tokens_in * used.tokens_in as f64 / 1e6
            + self.per_million_tokens_out * used.tokens_out as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(service: ServiceKind, provider: &str) -> Price {
        Price {
            service,
            provider: provider.into(),
            per_minute: 0.0,
            per_1000_characters: 0.0,
            per_million_tokens_in: 0.0,
            per_million_tokens_out: 0.0,
        }
    }

    fn usage(service: ServiceKind, provider: &str, used: Used) -> RecordUsage {
        RecordUsage { service, provider: provider.into(), used }
    }

    #[test]
    fn prices_are_the_clinics_own_and_what_has_none_is_named() {
        let used = [
            usage(ServiceKind::Stt, "ears", Used { audio_ms: 90_000, ..Used::default() }),
            usage(ServiceKind::Tts, "mouth", Used { characters: 250, ..Used::default() }),
            usage(ServiceKind::Llm, "brain", Used { tokens_in: 2_000_000, tokens_out: 1_000, requests: 3, ..Used::default() }),
            usage(ServiceKind::Llm, "second", Used { requests: 1, ..Used::default() }),
        ];
        assert_eq!(PriceTable::default().cost(&used), None);
        let table = PriceTable {
            currency: "EUR".into(),
            prices: vec![
                Price { per_minute: 0.01, ..price(ServiceKind::Stt, "ears") },
                Price { per_1000_characters: 0.04, ..price(ServiceKind::Tts, "mouth") },
                Price { per_million_tokens_in: 0.5, per_million_tokens_out: 2.0, ..price(ServiceKind::Llm, "brain") },
                // Another service of the same name.
                Price { per_minute: 99.0, ..price(ServiceKind::Tts, "second") },
            ],
        };
        let cost = table.cost(&used).expect("there are prices");
        assert_eq!((cost.currency.as_str(), cost.unpriced.as_slice()), ("EUR", &["llm/second".to_owned()][..]));
        // 1.5 minutes, a quarter of a thousand characters, two million tokens in and a thousand out.
        assert_eq!(cost.micros, 15_000 + 10_000 + 1_000_000 + 2_000);
    }
}
