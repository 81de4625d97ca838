//! What a call leaves behind besides appointments: patients, the waiting list, messages, the audit log.

use super::super::scenario::{CallerMessage, Expect, Messages, Patient, Waiting};
use super::super::trace::{Registered, Taken, Trace, Waiting as Entry};
use super::ends_with_digits;

/// Appends everything that is not as expected.
pub(super) fn compare(expect: &Expect, trace: &Trace, found: &mut Vec<String>) {
    if let Some(expected) = &expect.patients {
        lists("patients", expected, &trace.patients, is_patient, found);
    }
    if let Some(expected) = &expect.waiting {
        lists("waiting", expected, &trace.waiting, is_waiting, found);
    }
    match &expect.messages {
        Some(Messages::Count(expected)) if *expected != trace.messages.len() => {
            found.push(format!("messages: {expected} are expected, {} were taken", trace.messages.len()));
        }
        Some(Messages::These(expected)) => lists("messages", expected, &trace.messages, is_message, found),
        Some(Messages::Count(_)) | None => {}
    }
    if let Some(expected) = expect.recorded {
        recording(expected, trace, found);
    }
    for (action, expected) in &expect.audit {
        let count = trace.audit.get(action).copied().unwrap_or_default();
        if count != *expected {
            found.push(format!("audit: {action} is expected {expected} times, the log has it {count} times"));
        }
    }
}

/// Whether a recording was kept, and of what.
fn recording(expected: bool, trace: &Trace, found: &mut Vec<String>) {
    let Some(kept) = trace.recording else {
        if expected || trace.record.recording.is_some() {
            found.push(format!("recorded: {expected} is expected, nothing was kept; the record says {:?}", trace.record.recording));
        }
        return;
    };
    if !expected {
        found.push(format!("recorded: nothing shall be kept, there is {kept:?}"));
        return;
    }
    if kept.heard_from_ms.contains(&None) || trace.record.recording.is_none() {
        found.push(format!(
            "recorded: caller and agent shall be heard, and the record shall say so: {kept:?}, {:?}",
            trace.record.recording
        ));
    }
    let asked = trace.record.tools.iter().find(|tool| tool.name == "recording_consent");
    let is_before = |consent_ms: u64| kept.heard_from_ms.into_iter().flatten().any(|heard_ms| heard_ms < consent_ms);
    if let Some(consent) = asked.filter(|consent| is_before(consent.start_ms)) {
        found.push(format!("recorded: {kept:?}, which is before the caller's yes at {} ms", consent.start_ms));
    }
}

/// One by one, and as many.
fn lists<E: std::fmt::Debug, G: std::fmt::Debug>(
    key: &str,
    expected: &[E],
    given: &[G],
    is_so: fn(&G, &E) -> bool,
    found: &mut Vec<String>,
) {
    let fits = expected.len() == given.len() && given.iter().zip(expected).all(|(given, expected)| is_so(given, expected));
    if !fits {
        found.push(format!("{key}: {expected:?} is expected, in the database: {given:?}"));
    }
}

fn holds(given: &str, part: Option<&str>) -> bool {
    part.is_none_or(|part| given.to_lowercase().contains(&part.to_lowercase()))
}

fn is_patient(given: &Registered, expected: &Patient) -> bool {
    given.name == expected.name
        && ends_with_digits(&given.phone, expected.phone.as_deref())
        && expected.registered.is_none_or(|registered| registered == given.born.is_some())
        && expected.born.is_none_or(|born| given.born == Some(born))
        && expected.email.as_ref().is_none_or(|email| *email == given.email)
        && holds(&given.allergies, expected.allergies.as_deref())
}

fn is_waiting(given: &Entry, expected: &Waiting) -> bool {
    let begins = |given: &str, with: &Option<String>| with.as_ref().is_none_or(|with| given.starts_with(with.as_str()));
    given.status == expected.status
        && begins(&given.from, &expected.from)
        && begins(&given.offered, &expected.offered)
        && expected.practitioner.as_ref().is_none_or(|practitioner| *practitioner == given.practitioner)
        && expected.service.as_ref().is_none_or(|service| *service == given.service)
}

fn is_message(given: &Taken, expected: &CallerMessage) -> bool {
    holds(&given.text, expected.text.as_deref())
        && holds(&given.name, expected.name.as_deref())
        && ends_with_digits(&given.phone, expected.phone.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_one_by_one_and_as_many() {
        let given = [Registered { name: "Ada Lovelace".into(), phone: "+15550123456".into(), ..Registered::default() }];
        let expected = |name: &str, phone: &str| {
            let (phone, none) = (Some(phone.to_owned()), None);
            Patient { name: name.into(), phone, registered: Some(false), born: None, email: none.clone(), allergies: none }
        };
        let faults = |expected: &[Patient]| {
            let mut found = Vec::new();
            lists("patients", expected, &given, is_patient, &mut found);
            found.len()
        };
        assert_eq!(faults(&[expected("Ada Lovelace", "123456")]), 0);
        assert_eq!(faults(&[expected("Ada Lovelace", "123457")]), 1);
        assert_eq!(faults(&[expected("Ada Byron", "123456")]), 1);
        assert_eq!((faults(&[]), faults(&[expected("Ada Lovelace", "123456"), expected("Ada Lovelace", "123456")])), (1, 1));
        assert_eq!(faults(&[Patient { registered: Some(true), ..expected("Ada Lovelace", "123456") }]), 1);
    }
}
