//! Two callers want the same time with the same practitioner.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{Act, Reactive};

use crate::calls::{Together, booking};
use crate::desk::{Desk, DeskOptions};
use crate::documents::{codes, said, transcript};
use crate::people::{FIRST, PEOPLE, Person, RIVAL_WISH};
use crate::run;

/// Takes the first alternative if the time that he wants is taken.
fn rival(person: &Person, arrived: &Arc<AtomicU32>) -> Together<Reactive> {
    let plan = booking(person, RIVAL_WISH, FIRST);
    Together::new(plan, person.tells_number(), Arc::clone(arrived), 2)
}

#[test]
fn of_two_who_want_the_same_time_one_gets_it_and_the_other_an_alternative() {
    run(async {
        let desk = Desk::open(DeskOptions::default()).await;
        let arrived = Arc::new(AtomicU32::new(0));
        let first = desk.place(rival(&PEOPLE[0], &arrived));
        let second = desk.place(rival(&PEOPLE[1], &arrived));
        let outcomes = [first.hung_up_by_agent().await, second.hung_up_by_agent().await];
        let records = desk.records(2).await;
        let appointments = desk.appointments().await;
        let [wanted, alternative] = appointments.as_slice() else { panic!("two appointments: {appointments:?}") };
        assert!((&wanted.practitioner, wanted.start) != (&alternative.practitioner, alternative.start), "{appointments:?}");
        assert!(appointments.iter().any(|appointment| appointment.practitioner == "dr-osei"), "{appointments:?}");
        for record in &records {
            assert_eq!((record.outcome, codes(record).len()), (EndReason::Completed, 1), "{}", transcript(record));
        }
        let is_refused = |record: &&frontdesk_agent::CallRecord| said(record, Speaker::Agent).join(" ").contains("taken");
        assert_eq!(records.iter().filter(is_refused).count(), 1, "one of them was too late");
        let chose = |act: &Act| *act == Act::Say(FIRST.into());
        let choosers = outcomes.iter().filter(|outcome| outcome.turns.iter().any(|turn| chose(&turn.act)));
        assert_eq!(choosers.count(), 1, "and took an alternative");
        desk.close().await;
    });
}
