//! The torture messages of RFC 4475 and RFC 5118: every one of them, with the answer it must get.
//!
//! The tables say what this endpoint, a callee that serves INVITE, ACK, CANCEL, BYE and OPTIONS, owes each message. They
//! are complete by test: a message without a row fails, and so does a row without a message.

use std::time::Duration;

use bytes::Bytes;
use sipx_testkit::{rfc4475, rfc5118};

use super::{address, core};
use crate::sdp;
use crate::sip::event::Output;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Answered with this status, and nothing is kept.
    Status(u16),
    /// Not a request, or not even SIP.
    Silence,
    /// A proper call.
    Offered,
}

use Due::{Offered, Silence, Status};

const RFC4475: &[(&str, Due)] = &[
    // 3.1.1: valid, however it looks.
    // Valid, but its `To` has a tag: a re-INVITE in a call that is unknown here (RFC 3261 §12.2.2).
    ("wsinv", Status(481)),
    ("intmeth", Status(501)),
    ("esc01", Offered),
    ("escnull", Status(405)),
    ("esc02", Status(501)),
    ("lwsdisp", Status(200)),
    ("longreq", Offered),
    ("dblreq", Status(405)),
    ("semiuri", Status(200)),
    ("transports", Status(200)),
    ("mpart01", Status(405)),
    ("unreason", Silence),
    ("noreason", Silence),
    // 3.1.2: invalid.
    ("badinv01", Status(400)),
    ("clerr", Status(400)),
    ("ncl", Status(400)),
    ("scalar02", Status(400)),
    ("scalarlg", Silence),
    ("quotbal", Status(400)),
    ("ltgtruri", Status(400)),
    ("lwsruri", Status(400)),
    ("lwsstart", Status(400)),
    ("trws", Status(400)),
    ("escruri", Status(400)),
    ("baddate", Status(400)),
    ("regbadct", Status(400)),
    ("badaspec", Status(400)),
    ("baddn", Status(400)),
    ("badvers", Status(505)),
    ("mismatch01", Status(400)),
    ("mismatch02", Status(400)),
    ("bigcode", Silence),
    // 3.2: a branch that is the cookie alone is a transaction of RFC 2543.
    ("badbranch", Status(200)),
    // 3.3: what the application layer has to object to.
    ("insuf", Status(400)),
    ("unkscm", Status(416)),
    ("novelsc", Status(416)),
    ("unksm2", Status(405)),
    ("bext01", Status(420)),
    ("invut", Status(415)),
    ("regaut01", Status(405)),
    ("multi01", Status(400)),
    ("mcl01", Status(400)),
    ("bcast", Silence),
    // Max-Forwards concerns proxies; the endpoint that is meant answers (RFC 3261 §8.1.1.6).
    ("zeromf", Status(200)),
    ("cparam01", Status(405)),
    ("cparam02", Status(405)),
    ("regescrt", Status(405)),
    ("sdp01", Status(406)),
    // 3.4: a caller of RFC 2543, without tag, branch and Contact.
    ("inv2543", Offered),
    // In the archive, but in no section; its first line is no request line.
    ("test", Silence),
];

const RFC5118: &[(&str, Due)] = &[
    ("ipv6-good", Status(405)),
    ("ipv6-bad", Status(400)),
    ("port-ambiguous", Status(405)),
    ("port-unambiguous", Status(405)),
    // A BYE for no call; the brackets around `received` must not make it a 400.
    ("via-received-param-with-delim", Status(481)),
    ("via-received-param-no-delim", Status(200)),
    ("ipv6-in-sdp", Offered),
    ("mult-ip-in-header", Status(481)),
    ("mult-ip-in-sdp", Offered),
    ("ipv4-mapped-ipv6", Offered),
    ("ipv6-bug-abnf-3-colons", Status(200)),
    ("ipv6-correct-abnf-2-colons", Status(200)),
];

/// Runs a message through a fresh core and says what became of it.
fn outcome(name: &str, bytes: Bytes) -> Due {
    let from = address("198.51.100.7:5060");
    let mut core = core(address("192.0.2.1:5060"));
    core.receive_datagram(Duration::ZERO, bytes, from);
    let mut outcomes = Vec::new();
    while let Some(output) = core.poll() {
        match output {
            Output::Datagram { to, bytes } => {
                assert_eq!(to.ip(), from.ip(), "{name}: never to a third party");
                let text = String::from_utf8_lossy(&bytes);
                outcomes.push(Status(text[8..11].parse().unwrap()));
                let answered = sipx_sip::parse_datagram(bytes.clone(), &sipx_sip::Limits::datagram());
                assert!(answered.is_ok(), "{name}: our answer is SIP: {text}");
            }
            Output::Incoming { call, invite } => {
                outcomes.push(Offered);
                answer(name, &mut core, call, &invite);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(outcomes.len() <= 1, "{name}: {outcomes:?}");
    assert!(outcomes.contains(&Offered) || core.is_idle(), "{name}");
    outcomes.first().copied().unwrap_or(Silence)
}

/// An offered call can be answered, hung up and forgotten.
fn answer(name: &str, core: &mut super::Core, call: crate::sip::CallId, invite: &crate::sip::Invite) {
    let local = sdp::LocalMedia::new(address("192.0.2.1:4000"));
    let session = match &invite.offer {
        Some(offer) => sdp::answer(offer, &local).map_or_else(|_| sdp::offer(&local), |negotiated| negotiated.session),
        None => sdp::offer(&local),
    };
    core.accept(Duration::ZERO, call, session).unwrap();
    let Some(Output::Datagram { bytes, .. }) = core.poll() else { panic!("{name}: answered") };
    assert!(bytes.starts_with(b"SIP/2.0 200 OK\r\n"), "{name}");
    for second in 1..=200 {
        core.handle_timeouts(Duration::from_secs(second));
    }
    let mut hung_up = false;
    while let Some(output) = core.poll() {
        hung_up |= matches!(output, Output::Datagram { bytes, .. } if bytes.starts_with(b"BYE "));
    }
    assert!(hung_up && core.is_idle(), "{name}");
}

fn check<'a>(table: &[(&str, Due)], messages: impl Iterator<Item = (&'a str, Bytes)>) {
    let messages: Vec<(&str, Bytes)> = messages.collect();
    assert_eq!(messages.len(), table.len(), "every message has its row");
    for (name, bytes) in messages {
        let due = table.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} has no row")).1;
        assert_eq!(outcome(name, bytes), due, "{name}");
    }
}

#[test]
fn rfc4475_every_message_gets_its_answer() {
    check(RFC4475, rfc4475::CASES.iter().map(|case| (case.name, Bytes::from_static(case.bytes))));
}

#[test]
fn rfc5118_every_message_gets_its_answer() {
    check(RFC5118, rfc5118::CASES.iter().map(|case| (case.name, case.wire())));
}

#[test]
fn every_torture_message_is_survived_cut_anywhere() {
    let from = address("198.51.100.7:5060");
    let mut core = core(address("192.0.2.1:5060"));
    let messages = rfc4475::CASES.iter().map(|case| Bytes::from_static(case.bytes)).chain(rfc5118::CASES.iter().map(rfc5118::Case::wire));
    for (n, message) in messages.enumerate() {
        for end in (0..message.len()).step_by(7) {
            core.receive_datagram(Duration::from_millis(10 * n as u64), message.slice(..end), from);
        }
    }
    while core.poll().is_some() {}
}
