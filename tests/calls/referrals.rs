//! A caller who wants a person: REFER over a real dialog, to a trunk that carries it out or not.

use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{Act, CallEnd, CallerOptions, Reactive};

use crate::clinic;
use crate::desk::{Desk, DeskOptions};
use crate::documents::{said, transcript};
use crate::people::{GOODBYE, PERSON};
use crate::run;

/// Wants a person, and is content to go if nobody is there.
fn wants_a_person(desk: &Desk, number: &str, status: u16) -> CallerOptions {
    let say = |text: &str| Act::Say(text.to_owned());
    let plan = Reactive::new().rule(&["nobody can take"], say(GOODBYE), 2).rule(&["anything else"], say(GOODBYE), 2).rule(
        &["How can I help"],
        say(PERSON),
        1,
    );
    let mut options = desk.options(number, plan);
    options.transfers = vec![status];
    options
}

#[test]
fn a_caller_who_asks_for_a_person_is_put_through() {
    run(async {
        let desk = Desk::open(DeskOptions::default()).await;
        let outcome = desk.place_with(wants_a_person(&desk, "+15550207001", 200)).outcome().await;
        let record = desk.records(1).await.remove(0);
        // The bridge hangs up once the trunk has taken the call over.
        assert_eq!(outcome.end, CallEnd::Agent);
        assert_eq!(outcome.transfers, [format!("tel:{}", clinic::OFFICE)], "{}", transcript(&record));
        assert_eq!(record.outcome, EndReason::Transferred, "{}", transcript(&record));
        let agent = said(&record, Speaker::Agent);
        assert!(agent.iter().any(|text| text.contains("put you through")), "he is told first: {agent:?}");
        desk.close().await;
    });
}

#[test]
fn a_busy_person_leaves_the_caller_with_the_agent() {
    run(async {
        let desk = Desk::open(DeskOptions::default()).await;
        let outcome = desk.place_with(wants_a_person(&desk, "+15550207002", 486)).hung_up_by_agent().await;
        let record = desk.records(1).await.remove(0);
        assert_eq!(outcome.transfers.len(), 1, "{}", transcript(&record));
        assert_eq!(record.outcome, EndReason::Completed, "{}", transcript(&record));
        let after = outcome.turns.last().expect("he said goodbye");
        assert!(after.gap.is_some(), "and was answered: {}", transcript(&record));
        desk.close().await;
    });
}
