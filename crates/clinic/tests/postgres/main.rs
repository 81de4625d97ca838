//! Tests on a real Postgres: one program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod absences;
mod audit;
mod backup;
mod booking;
mod calls;
mod canaries;
mod commit_faults;
mod constraints;
mod contention;
mod crowd;
mod departments;
mod eligibility;
mod elsewhere;
mod erasure;
mod hang_up;
mod history;
mod import;
mod isolation;
mod keys;
mod killed;
mod leases;
mod limits;
mod migrations;
mod moving;
mod outage;
mod outbox;
mod patients;
mod plans;
mod receipts;
mod recordings;
mod records;
mod resend;
mod retirement;
mod slots;
mod spanish;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod tools;
mod waiting;
mod wishes;
