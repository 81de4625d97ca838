//! The chain's form: what is hashed, and how.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Version of the canonical form, which is hashed with it; another form is another version.
const VERSION: u8 = 1;

/// The hash before the first row's.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) event_id: i64,
    pub(super) at: DateTime<Utc>,
    pub(super) call_id: Option<String>,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) subject: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) purpose: Option<String>,
}

/// What is hashed of an event: JSON after RFC 8785, which for these types means sorted keys and no white space. The fields stand
/// in the order of their names, so that the serialiser need not sort; a test compares it with the sorting one.
#[derive(Serialize)]
struct Canonical<'a> {
    action: &'a str,
    actor: &'a str,
    /// Microseconds since 1970 UTC, Postgres's own resolution.
    at_us: i64,
    call_id: Option<&'a str>,
    event_id: i64,
    principal: Option<&'a str>,
    purpose: Option<&'a str>,
    sequence: i64,
    subject: Option<&'a str>,
    tenant_id: &'a str,
    version: u8,
}

/// The hash of an event at its place of the chain: SHA-256 over the previous hash and the canonical form.
pub(super) fn link(previous: &[u8; 32], tenant: &str, sequence: i64, event: &Event) -> [u8; 32] {
    let canonical = Canonical {
        action: &event.action,
        actor: &event.actor,
        at_us: event.at.timestamp_micros(),
        call_id: event.call_id.as_deref(),
        event_id: event.event_id,
        principal: event.principal.as_deref(),
        purpose: event.purpose.as_deref(),
        sequence,
        subject: event.subject.as_deref(),
        tenant_id: tenant,
        version: VERSION,
    };
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(serde_json::to_vec(&canonical).expect("text and integers always have a JSON form"));
    hasher.finalize().into()
}

/// The end of a chain: as many rows, and the hash that depends on all of them. Prints as `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last row, from 1.
    pub sequence: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.sequence)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::canonical_json;

    fn event() -> Event {
        Event {
            event_id: 7,
            at: "2026-12-01T09:00:00.000001Z".parse().unwrap(),
            call_id: Some("call \"é\"".into()),
            actor: "agent".into(),
            action: "appointment.booked".into(),
            subject: None,
            principal: Some("worker".into()),
            purpose: None,
        }
    }

    #[test]
    fn the_form_is_canonical_and_pinned() {
        let canonical = canonical_json(&json!({
            "version": 1, "tenant_id": "demo", "sequence": 3, "event_id": 7, "at_us": 1_796_115_600_000_001_i64,
            "call_id": "call \"é\"", "actor": "agent", "action": "appointment.booked", "subject": null,
            "principal": "worker", "purpose": null,
        }));
        let expected: [u8; 32] = Sha256::new().chain_update([9; 32]).chain_update(canonical).finalize().into();
        assert_eq!(link(&[9; 32], "demo", 3, &event()), expected);
    }

    #[test]
    fn every_part_counts() {
        let original = link(&GENESIS, "demo", 1, &event());
        let mut seen = vec![original];
        let mut add = |hash: [u8; 32]| {
            assert!(!seen.contains(&hash));
            seen.push(hash);
        };
        add(link(&original, "demo", 1, &event()));
        add(link(&GENESIS, "other", 1, &event()));
        add(link(&GENESIS, "demo", 2, &event()));
        add(link(&GENESIS, "demo", 1, &Event { event_id: 8, ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { at: event().at + chrono::TimeDelta::microseconds(1), ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { call_id: None, ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { actor: "caller".into(), ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { action: "appointment.read".into(), ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { subject: Some(String::new()), ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { principal: None, ..event() }));
        add(link(&GENESIS, "demo", 1, &Event { purpose: Some("worker".into()), ..event() }));
    }

    #[test]
    fn a_head_prints_number_and_hash() {
        let printed = Head { sequence: 12, hash: [0xab; 32] }.to_string();
        assert_eq!(printed, format!("12:{}", "ab".repeat(32)));
    }
}
