//! What callers of the tests want.

use chrono::{DateTime, Utc};
use frontdesk_clinic::booking::{BookingWish, PrepareError, Refusal};
use frontdesk_clinic::{CommitKey, PhoneNumber, PractitionerId, local_time};

/// A local time in New York.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    local_time::parse(text, chrono_tz::America::New_York).unwrap()
}

/// The n-th caller wants half an hour with Doctor Lovelace.
pub(crate) fn wish(start: &str, caller: usize) -> BookingWish {
    BookingWish {
        start: at(start),
        duration_minutes: 30,
        practitioner: Some(PractitionerId::new("dr-lovelace").unwrap()),
        service: None,
        location: None,
        department: None,
        patient_name: format!("Patient Number{caller}").into(),
        phone: PhoneNumber::parse(&format!("+1202555{caller:04}"), "1").unwrap(),
    }
}

/// The key of a call's confirmation.
pub(crate) fn key(call_id: &str, confirmation_id: &str) -> CommitKey {
    CommitKey { call_id: call_id.into(), confirmation_id: confirmation_id.into() }
}

/// The refusal in a failed preparation.
pub(crate) fn refusal(error: PrepareError) -> Refusal {
    match error {
        PrepareError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}
