//! Which offered jobs a worker may take at all.

use std::collections::BTreeMap;

use serde_json::Value;
use wildmatch::WildMatch;

use super::job::JobRequest;

/// Attribute of a dispatch, or of the participant that a job is for, that names the tenant.
pub const TENANT_ATTRIBUTE: &str = "frontdesk.tenant";
/// Field of a dispatch's metadata, a JSON object, that names it as well.
const TENANT_FIELD: &str = "tenant";

/// Conditions on offered jobs; each that is empty admits all. What is not admitted is refused, so that the server asks another worker.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Names of rooms; `*` stands for any text, `?` for one character.
    pub rooms: Vec<WildMatch>,
    /// Tenants. A job that names none is not admitted then.
    pub tenants: Vec<String>,
    /// Fields that the dispatch's metadata, a JSON object, must have, with these values.
    pub metadata: BTreeMap<String, String>,
}

impl RequestFilter {
    /// Whether the job meets every condition.
    #[must_use]
    pub fn admits(&self, request: &JobRequest) -> bool {
        let room = self.rooms.is_empty() || self.rooms.iter().any(|pattern| pattern.matches(&request.room));
        let metadata = metadata(request);
        let tenant = self.tenants.is_empty() || tenant(request, metadata.as_ref()).is_some_and(|named| self.tenants.contains(&named));
        let fields = self.metadata.iter().all(|(key, wanted)| {
            let value = metadata.as_ref().and_then(|metadata| metadata.get(key));
            value.is_some_and(|value| match value {
                Value::String(text) => text == wanted,
                other => wanted.parse::<Value>().is_ok_and(|wanted| wanted == *other),
            })
        });
        room && tenant && fields
    }
}

impl JobRequest {
    /// The tenant that the job names: by attribute, by the attribute of the participant that it is for, or in its metadata.
    #[must_use]
    pub fn tenant(&self) -> Option<String> {
        tenant(self, metadata(self).as_ref())
    }
}

fn metadata(request: &JobRequest) -> Option<Value> {
    serde_json::from_str::<Value>(&request.metadata).ok().filter(Value::is_object)
}

fn tenant(request: &JobRequest, metadata: Option<&Value>) -> Option<String> {
    let of_participant = || request.participant.as_ref().and_then(|participant| participant.attributes.get(TENANT_ATTRIBUTE));
    let named = request.attributes.get(TENANT_ATTRIBUTE).or_else(of_participant).cloned();
    named.or_else(|| metadata?.get(TENANT_FIELD)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Participant;

    fn request(room: &str, metadata: &str) -> JobRequest {
        JobRequest { room: room.into(), metadata: metadata.into(), ..JobRequest::default() }
    }

    #[test]
    fn nothing_asked_admits_all() {
        assert!(RequestFilter::default().admits(&request("", "")));
    }

    #[test]
    fn rooms_match_by_pattern() {
        let filter = RequestFilter { rooms: vec![WildMatch::new("call_*"), WildMatch::new("test-?")], ..RequestFilter::default() };
        for (room, admitted) in [("call_x8k2", true), ("test-1", true), ("test-12", false), ("recall_1", false), ("", false)] {
            assert_eq!(filter.admits(&request(room, "")), admitted, "{room}");
        }
    }

    #[test]
    fn tenants_are_named_in_three_places() {
        let filter = RequestFilter { tenants: vec!["demo".into()], ..RequestFilter::default() };
        let mut by_attribute = request("a", "{\"tenant\":\"other\"}");
        by_attribute.attributes.insert(TENANT_ATTRIBUTE.into(), "demo".into());
        let mut by_participant = request("a", "");
        let mut participant = Participant::default();
        participant.attributes.insert(TENANT_ATTRIBUTE.into(), "demo".into());
        by_participant.participant = Some(participant);
        for (request, admitted) in [
            (by_attribute, true),
            (by_participant, true),
            (request("a", "{\"tenant\":\"demo\"}"), true),
            (request("a", "{\"tenant\":\"other\"}"), false),
            (request("a", "demo"), false),
            (request("a", ""), false),
        ] {
            assert_eq!(filter.admits(&request), admitted, "{:?}", request.tenant());
        }
    }

    #[test]
    fn metadata_must_hold_every_field() {
        let metadata = [("campaign", "recall"), ("version", "2")].map(|(key, value)| (key.into(), value.into())).into();
        let filter = RequestFilter { metadata, ..RequestFilter::default() };
        for (metadata, admitted) in [
            ("{\"campaign\":\"recall\",\"version\":2}", true),
            ("{\"campaign\":\"recall\",\"version\":\"2\",\"more\":true}", true),
            ("{\"campaign\":\"recall\"}", false),
            ("{\"campaign\":\"other\",\"version\":2}", false),
            ("[\"campaign\"]", false),
        ] {
            assert_eq!(filter.admits(&request("a", metadata)), admitted, "{metadata}");
        }
    }
}
