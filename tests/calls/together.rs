//! Eight at once book.
//!
//! Eight calls and their callers are all that two cores can bear in a build for tests: nothing else runs meanwhile. Late in the
//! alphabet, because what waits to run alone lets nothing else begin.

use std::collections::BTreeSet;

use frontdesk_conversation::EndReason;
use frontdesk_simulators::caller::CallEnd;

use crate::calls::booking;
use crate::desk::{Desk, DeskOptions};
use crate::documents::{codes, transcript};
use crate::people::{PEOPLE, SECOND};
use crate::run_alone;

/// At once.
const CALLS: usize = 8;

#[test]
fn eight_callers_at_once_book_eight_appointments() {
    run_alone(async {
        let desk = Desk::open(DeskOptions::default()).await;
        let placed: Vec<_> = PEOPLE[..CALLS].iter().map(|person| desk.place(booking(person, person.wish, SECOND))).collect();
        let mut outcomes = Vec::new();
        for call in placed {
            outcomes.push(call.outcome().await);
        }
        let records = desk.records(CALLS).await;
        let appointments = desk.appointments().await;
        for record in &records {
            assert_eq!((record.outcome, codes(record).len()), (EndReason::Completed, 1), "{}", transcript(record));
        }
        let starts: BTreeSet<_> = appointments.iter().map(|appointment| appointment.start).collect();
        assert_eq!((appointments.len(), starts.len()), (CALLS, CALLS), "{appointments:#?}");
        let told: BTreeSet<String> = records.iter().flat_map(codes).collect();
        let booked: BTreeSet<String> = appointments.iter().map(|appointment| appointment.code.clone()).collect();
        assert_eq!(told, booked);
        for outcome in &outcomes {
            assert_eq!(outcome.end, CallEnd::Agent, "{:?}", outcome.turns);
            println!("median gap {:?}, answered after {:?}, {:?}", outcome.median_gap(), outcome.answered_after, outcome.stream);
        }
        desk.close().await;
    });
}
