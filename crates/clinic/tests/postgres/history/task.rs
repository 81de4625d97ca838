//! One of those who work on the calendar at once, and what each answer means.

use std::sync::Arc;

use frontdesk_agent::Pii;
use frontdesk_clinic::booking::{BookingWish, CommitError, PrepareError, Refusal, RescheduleWish, Settled};
use frontdesk_clinic::schedule::when::Phrase;
use frontdesk_clinic::slots::{FindError, SlotQuery, When};
use frontdesk_clinic::waiting::{Leaving, WaitingError, WaitingWish};
use frontdesk_clinic::{ClinicStore, PhoneNumber, PractitionerId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::super::wishes::{at, key};
use super::ledger::{Ledger, SlotId, Violation, slots};

const PATIENTS: usize = 3;

/// An appointment that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Mine {
    pub(super) id: Uuid,
    pub(super) code: String,
    pub(super) patient: usize,
    pub(super) slot: SlotId,
}

/// What a task knows of one of its patients on the waiting list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OnTheList {
    /// The entry that was acknowledged, and not left since.
    pub(super) entry: Option<Uuid>,
    /// Whether a booking since may have served it.
    pub(super) may_be_served: bool,
}

/// One of those who work on the calendar at once.
pub(super) struct Task {
    pub(super) number: usize,
    clinic: ClinicStore,
    ledger: Arc<Ledger>,
    pub(super) rng: StdRng,
    slots: Vec<SlotId>,
    pub(super) mine: Vec<Mine>,
    pub(super) list: [OnTheList; PATIENTS],
    /// Slots that this call may hold.
    holds: Vec<SlotId>,
    operations: usize,
    /// Booked, cancelled, moved, sought, held, joined, left.
    pub(super) counts: [usize; 7],
}

fn phone(task: usize, patient: usize) -> PhoneNumber {
    PhoneNumber::parse(&format!("+1202555{task:02}{patient:02}"), "1").unwrap()
}

fn name(task: usize, patient: usize) -> Pii<String> {
    format!("Patient {} of {task}", ["A", "B", "C"][patient]).into()
}

fn practitioner(slot: SlotId) -> PractitionerId {
    PractitionerId::new(slot.practitioner).unwrap()
}

impl Task {
    pub(super) fn new(number: usize, clinic: ClinicStore, ledger: Arc<Ledger>, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        let list = [OnTheList::default(); PATIENTS];
        Self { number, clinic, ledger, rng, slots: slots(), mine: Vec::new(), list, holds: Vec::new(), operations: 0, counts: [0; 7] }
    }

    fn call(&self) -> String {
        format!("task-{}", self.number)
    }

    /// Does something at random.
    pub(super) async fn operate(&mut self) {
        self.operations += 1;
        let slot = *self.slots.choose(&mut self.rng).unwrap();
        let own = (!self.mine.is_empty()).then(|| self.rng.random_range(0..self.mine.len()));
        match (self.rng.random_range(0..24), own) {
            (0..10, _) => self.book(slot).await,
            (10..14, Some(own)) => self.cancel(own).await,
            (14..18, Some(own)) => self.move_to(own, slot).await,
            (18..20, _) => self.hold(slot).await,
            (20, _) => self.join().await,
            (21, _) => self.leave().await,
            _ => self.find(slot).await,
        }
    }

    /// What a prepared slot means for the ledger: it is held from the question on, and what was held before is not.
    fn holds(&mut self, slot: SlotId, answered: u64) {
        for old in std::mem::take(&mut self.holds) {
            // Not where it has an appointment as well.
            if old != slot && !self.mine.iter().any(|mine| mine.slot == old) {
                self.ledger.has_not(old, self.number, answered);
            }
        }
        self.holds.push(slot);
    }

    fn refused(&self, what: &str, refusal: &Refusal, slot: SlotId, patient: usize, asked: u64) {
        let answered = self.ledger.tick();
        let is_mine = self.mine.iter().any(|mine| mine.slot == slot);
        let reason = match refusal {
            Refusal::SlotTaken { .. } => is_mine || self.ledger.may_be_taken(slot, Some(self.number), asked, answered),
            Refusal::PatientBusy => self.mine.iter().any(|mine| mine.patient == patient && mine.slot.start == slot.start),
            _ => false,
        };
        if !reason {
            self.ledger.violated(Violation::FalseRefusal(format!("{what} {slot:?} by task {}: {refusal:?}", self.number)));
        }
    }

    fn wish(&self, slot: SlotId, patient: usize) -> BookingWish {
        BookingWish {
            start: at(slot.start),
            duration_minutes: 30,
            practitioner: Some(practitioner(slot)),
            service: None,
            location: None,
            department: None,
            patient_name: name(self.number, patient),
            phone: phone(self.number, patient),
        }
    }

    /// Holds a slot, and leaves it at that.
    async fn hold(&mut self, slot: SlotId) {
        self.counts[4] += 1;
        let patient = self.rng.random_range(0..PATIENTS);
        let (call, wish) = (self.call(), self.wish(slot, patient));
        let asked = self.ledger.tick();
        self.ledger.may_have(slot, self.number, asked);
        match insist(|| self.clinic.prepare_booking(&call, &wish)).await {
            Ok(_) => self.holds(slot, self.ledger.tick()),
            Err(refusal) => self.not_prepared("hold", &refusal, slot, patient, asked),
        }
    }

    /// Puts a patient on the list for Wednesday.
    async fn join(&mut self) {
        self.counts[5] += 1;
        let patient = self.rng.random_range(0..PATIENTS);
        let wish = WaitingWish {
            patient_name: name(self.number, patient),
            phone: phone(self.number, patient),
            practitioner: None,
            service: None,
            department: None,
            duration_minutes: 30,
            when: Phrase::read("Wednesday").unwrap(),
        };
        let prepared = insist(|| self.clinic.prepare_waiting(&wish)).await.unwrap();
        let key = key(&self.call(), &format!("c{}", self.operations));
        let known = self.list[patient];
        match insist(|| self.clinic.commit_waiting(&key, &prepared.waiting)).await.unwrap() {
            Settled::Done(joined) => {
                if known.entry.is_some() && !known.may_be_served {
                    self.ledger.violated(Violation::Overlap(format!("{known:?} and {joined:?} wait for the same")));
                }
                self.list[patient] = OnTheList { entry: Some(joined.entry), may_be_served: false };
            }
            Settled::Refused(refusal) if refusal == Refusal::AlreadyWaiting && known.entry.is_some() => {}
            Settled::Refused(refusal) => {
                self.ledger.violated(Violation::FalseRefusal(format!("join by task {}: {refusal:?}, {known:?}", self.number)));
            }
        }
    }

    /// Takes a patient off the list.
    async fn leave(&mut self) {
        self.counts[6] += 1;
        let patient = self.rng.random_range(0..PATIENTS);
        let leaving = Leaving { patient_name: name(self.number, patient), phone: phone(self.number, patient) };
        let key = key(&self.call(), &format!("c{}", self.operations));
        let known = self.list[patient];
        match insist(|| self.clinic.commit_leaving(&key, &leaving)).await.unwrap() {
            Settled::Done(_) if known.entry.is_some() => {}
            Settled::Refused(Refusal::NotWaiting) if known.entry.is_none() || known.may_be_served => {}
            Settled::Done(left) => {
                self.ledger.violated(Violation::Unacknowledged(format!("task {} left what it never joined: {left:?}", self.number)));
            }
            Settled::Refused(refusal) => {
                self.ledger.violated(Violation::Lost(format!("entry {known:?} of task {}: {refusal:?}", self.number)));
            }
        }
        self.list[patient] = OnTheList::default();
    }

    async fn book(&mut self, slot: SlotId) {
        self.counts[0] += 1;
        let patient = self.rng.random_range(0..PATIENTS);
        let wish = self.wish(slot, patient);
        let call = self.call();
        let asked = self.ledger.tick();
        self.ledger.may_have(slot, self.number, asked);
        let prepared = match insist(|| self.clinic.prepare_booking(&call, &wish)).await {
            Ok(prepared) => prepared,
            Err(refusal) => return self.not_prepared("book", &refusal, slot, patient, asked),
        };
        let answered = self.ledger.tick();
        self.holds(slot, answered);
        let key = key(&call, &format!("c{}", self.operations));
        match insist(|| self.clinic.commit_booking(&key, &prepared.booking)).await.unwrap() {
            Settled::Done(booked) => {
                let answered = self.ledger.tick();
                self.holds.clear();
                self.ledger.has(slot, self.number, answered);
                self.list[patient].may_be_served = true;
                self.mine.push(Mine { id: booked.appointment.0, code: booked.confirmation_code, patient, slot });
            }
            Settled::Refused(refusal) => self.refused("commit", &refusal, slot, patient, asked),
        }
    }

    /// A refused question holds nothing; but an earlier try of it, whose answer was lost, may have.
    fn not_prepared(&mut self, what: &str, refusal: &Refusal, slot: SlotId, patient: usize, asked: u64) {
        if *refusal != Refusal::SameTime {
            self.refused(what, refusal, slot, patient, asked);
        }
        self.holds.push(slot);
    }

    async fn cancel(&mut self, own: usize) {
        self.counts[1] += 1;
        let mine = self.mine[own].clone();
        let (call, phone) = (self.call(), phone(self.number, mine.patient));
        let prepared = insist(|| self.clinic.prepare_cancellation(&call, &mine.code, &phone)).await.unwrap();
        let key = key(&call, &format!("c{}", self.operations));
        self.ledger.may_lose(mine.slot, self.number, self.ledger.tick());
        let settled = insist(|| self.clinic.commit_cancellation(&key, &prepared.cancellation)).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{mine:?}: {settled:?}");
        self.gave_up(own);
    }

    /// The slot of an appointment is nobody's any more, unless the call holds it.
    fn gave_up(&mut self, own: usize) {
        let mine = self.mine.swap_remove(own);
        if !self.holds.contains(&mine.slot) {
            self.ledger.has_not(mine.slot, self.number, self.ledger.tick());
        }
    }

    async fn move_to(&mut self, own: usize, slot: SlotId) {
        self.counts[2] += 1;
        let mine = self.mine[own].clone();
        let call = self.call();
        let wish = RescheduleWish {
            confirmation_code: mine.code.clone(),
            phone: phone(self.number, mine.patient),
            start: at(slot.start),
            practitioner: Some(practitioner(slot)),
        };
        let asked = self.ledger.tick();
        self.ledger.may_have(slot, self.number, asked);
        let prepared = match insist(|| self.clinic.prepare_reschedule(&call, &wish)).await {
            Ok(prepared) => prepared,
            Err(refusal) => return self.not_prepared("move", &refusal, slot, mine.patient, asked),
        };
        let answered = self.ledger.tick();
        self.holds(slot, answered);
        let key = key(&call, &format!("c{}", self.operations));
        self.ledger.may_lose(mine.slot, self.number, self.ledger.tick());
        match insist(|| self.clinic.commit_reschedule(&key, &prepared.reschedule)).await.unwrap() {
            Settled::Done(moved) => {
                assert_eq!((moved.appointment.0, &moved.confirmation_code), (mine.id, &mine.code));
                let answered = self.ledger.tick();
                self.holds.clear();
                self.gave_up(own);
                self.ledger.has(slot, self.number, answered);
                self.list[mine.patient].may_be_served = true;
                self.mine.push(Mine { slot, ..mine });
            }
            Settled::Refused(refusal) => {
                // The old time was never given up.
                self.ledger.has(mine.slot, self.number, self.ledger.tick());
                self.refused("commit of move", &refusal, slot, mine.patient, asked);
            }
        }
    }

    async fn find(&mut self, slot: SlotId) {
        self.counts[3] += 1;
        let when = When::Exact(at(slot.start));
        let query = SlotQuery {
            when,
            duration_minutes: 30,
            practitioner: Some(practitioner(slot)),
            service: None,
            location: None,
            department: None,
        };
        let call = self.call();
        let asked = self.ledger.tick();
        let found = insist(|| self.clinic.find_slots(&call, &query)).await.unwrap();
        let answered = self.ledger.tick();
        let violation = match found.exact.unwrap().unwrap() {
            true => self.ledger.is_certainly_taken(slot, asked, answered).then_some(Violation::FalseFree(slot)),
            false => (!self.ledger.may_be_taken(slot, None, asked, answered))
                .then(|| Violation::FalseRefusal(format!("{slot:?} was told to be taken"))),
        };
        if let Some(violation) = violation {
            self.ledger.violated(violation);
        }
    }
}

/// What may be asked again.
trait Retry: Sized + std::fmt::Display {
    fn settle(self) -> Result<Refusal, Self>;
}

impl Retry for PrepareError {
    fn settle(self) -> Result<Refusal, Self> {
        if let Self::Refused(refusal) = self { Ok(refusal) } else { Err(self) }
    }
}

impl Retry for CommitError {
    fn settle(self) -> Result<Refusal, Self> {
        Err(self)
    }
}

impl Retry for WaitingError {
    fn settle(self) -> Result<Refusal, Self> {
        Err(self)
    }
}

impl Retry for FindError {
    fn settle(self) -> Result<Refusal, Self> {
        Err(self)
    }
}

/// Asks until there is an answer: a refusal is one, a lost connection is none.
async fn insist<T, E: Retry, F: Future<Output = Result<T, E>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    let mut last = String::new();
    for _ in 0..100 {
        match ask().await.map_err(Retry::settle) {
            Ok(value) => return Ok(value),
            Err(Ok(refusal)) => return Err(refusal),
            Err(Err(error)) => last = error.to_string(),
        }
    }
    panic!("a hundred tries were not enough: {last}")
}
