//! The caller as a participant: identity, name and the attributes that LiveKit's SIP service sets.

use std::collections::BTreeMap;

use frontdesk_livekit::api::random_id;
use frontdesk_livekit::transfer::{BRIDGE_ATTRIBUTE, BRIDGE_TRANSFERS};
use frontdesk_telephony::sip::Invite;

use crate::rules::{Rule, Trunk};

/// Whether the call rings, is active or has been hung up.
pub(crate) const CALL_STATUS: &str = "sip.callStatus";
/// Headers that are passed on; a trunk sends fewer.
const HEADERS_MAX: usize = 24;
/// Longest value of a header that is passed on, in bytes.
const HEADER_BYTES_MAX: usize = 512;

/// The identity of the caller: `sip_<number>`. Personal; never logged.
pub(crate) fn identity(invite: &Invite) -> String {
    let number = caller_number(invite);
    if number.is_empty() { "sip_anonymous".to_owned() } else { format!("sip_{number}") }
}

/// The name of the caller as others see it. Personal; never logged.
pub(crate) fn name(invite: &Invite) -> String {
    format!("Phone {}", caller_number(invite)).trim_end().to_owned()
}

fn caller_number(invite: &Invite) -> &str {
    &invite.from.uri.user
}

/// The attributes from the first moment on: the rule's own, then LiveKit's, which the rule cannot replace.
pub(crate) fn attributes(invite: &Invite, trunk: &Trunk, rule: &Rule) -> BTreeMap<String, String> {
    let mut all = rule.attributes.clone();
    let mut set = |key: &str, value: &str| {
        if !value.is_empty() {
            all.insert(key.to_owned(), value.to_owned());
        }
    };
    set(BRIDGE_ATTRIBUTE, BRIDGE_TRANSFERS);
    set("sip.callID", &random_id("SCL_"));
    set("sip.callIDFull", &invite.call_id);
    set("sip.callTag", from_tag(invite).unwrap_or_default());
    set(CALL_STATUS, "ringing");
    set("sip.phoneNumber", caller_number(invite));
    set("sip.trunkPhoneNumber", &invite.request_uri.user);
    set("sip.trunkID", &trunk.id);
    set("sip.ruleID", &rule.id);
    set("sip.hostname", &invite.request_uri.host);
    set("sip.twilio.callSid", invite.header("X-Twilio-CallSid").unwrap_or_default());
    set("sip.twilio.accountSid", invite.header("X-Twilio-AccountSid").unwrap_or_default());
    let extensions = invite.headers.iter().filter(|(name, value)| is_extension(name) && value.len() <= HEADER_BYTES_MAX);
    for (name, value) in extensions.take(HEADERS_MAX) {
        set(&format!("sip.h.{}", name.to_ascii_lowercase()), value);
    }
    all
}

fn is_extension(header: &str) -> bool {
    header.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// The tag parameter of `From` (RFC 3261 §19.3).
fn from_tag(invite: &Invite) -> Option<&str> {
    let from = invite.header("From")?;
    // Parameters of the header follow the address; a quoted display name or a URI may hold semicolons of its own.
    let parameters = from.rsplit_once('>').map_or(from, |(_, parameters)| parameters);
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("tag").then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use frontdesk_telephony::sip::{Party, SipUri, Transport};

    use super::*;

    fn uri(user: &str, host: &str) -> SipUri {
        SipUri { user: user.into(), host: host.into(), text: String::new() }
    }

    fn invite(user: &str, headers: &[(&str, &str)]) -> Invite {
        let party = |uri| Party { display_name: None, uri };
        Invite {
            source: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
            request_uri: uri("+15550100", "desk.example.com"),
            from: party(uri(user, "carrier.example.com")),
            to: party(uri("+15550100", "desk.example.com")),
            call_id: "abc@carrier".into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            offer: None,
        }
    }

    fn parts() -> (Trunk, Rule) {
        let trunk = Trunk { id: "ST_1".into(), numbers: vec![], allowed_addresses: vec![], name: String::new(), refer_to_host: None };
        let attributes = [("tenant", "demo"), ("sip.phoneNumber", "forged")];
        let rule = Rule {
            id: "SDR_1".into(),
            trunks: vec![],
            numbers: vec![],
            room_prefix: "call".into(),
            agent_name: "a".into(),
            metadata: String::new(),
            attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        (trunk, rule)
    }

    #[test]
    fn a_call_looks_like_one_of_livekits_sip_service() {
        let headers = [
            ("From", "\"A; tag=no>\" <sip:+15559990000@carrier.example.com;x=1>;tag=gK0d1"),
            ("X-Twilio-CallSid", "CA1"),
            ("x-twilio-accountsid", "AC1"),
            ("X-Long", &"a".repeat(600)),
            ("Subject", "private"),
        ];
        let (trunk, rule) = parts();
        let attributes = attributes(&invite("+15559990000", &headers), &trunk, &rule);
        let expected = [
            ("frontdesk.bridge", "transfer"),
            ("sip.callIDFull", "abc@carrier"),
            ("sip.callTag", "gK0d1"),
            ("sip.callStatus", "ringing"),
            ("sip.phoneNumber", "+15559990000"),
            ("sip.trunkPhoneNumber", "+15550100"),
            ("sip.trunkID", "ST_1"),
            ("sip.ruleID", "SDR_1"),
            ("sip.hostname", "desk.example.com"),
            ("sip.twilio.callSid", "CA1"),
            ("sip.twilio.accountSid", "AC1"),
            ("sip.h.x-twilio-callsid", "CA1"),
            ("tenant", "demo"),
        ];
        for (key, value) in expected {
            assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(attributes["sip.callID"].starts_with("SCL_"));
        assert_eq!(attributes.len(), expected.len() + 2, "{:?}", attributes.keys());
    }

    #[test]
    fn callers_without_a_number_are_anonymous() {
        assert_eq!(identity(&invite("", &[])), "sip_anonymous");
        assert_eq!(name(&invite("", &[])), "Phone");
        assert_eq!(identity(&invite("+15559990000", &[])), "sip_+15559990000");
    }
}
