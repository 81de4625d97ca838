//! The first phase of a booking: validate, hold, read back.

use chrono::{DateTime, NaiveDateTime, Utc};
use frontdesk_agent::Pii;

use super::holds::{self, Attempt, Hold};
use super::patient::Identity;
use super::{Booking, PrepareError, Refusal};
use crate::db::{DbError, bounded, violated};
use crate::elsewhere::Age;
use crate::ids::{DepartmentId, LocationId, PractitionerId, ServiceCode};
use crate::phone::PhoneNumber;
use crate::schedule::{Asked, Place, Span};
use crate::slots::{alternatives, around};
use crate::store::{ClinicStore, load_busy, load_schedule, merge};

/// What the caller wants.
#[derive(Debug, Clone)]
pub struct BookingWish {
    /// When it shall begin.
    pub start: DateTime<Utc>,
    /// How long it shall last.
    pub duration_minutes: u32,
    /// With whom; anybody who is free if not given.
    pub practitioner: Option<PractitionerId>,
    /// For what.
    pub service: Option<ServiceCode>,
    /// Where; anywhere if not given.
    pub location: Option<LocationId>,
    /// In which department; any if not given.
    pub department: Option<DepartmentId>,
    /// For whom.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
}

/// A slot that is held for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBooking {
    /// What will be booked; commit exactly this.
    pub booking: Booking,
    /// As it is spoken.
    pub practitioner_name: String,
    /// The first moment at which somebody else may take the slot.
    pub held_until: DateTime<Utc>,
    /// The beginning in local time.
    pub local_start: NaiveDateTime,
}

impl ClinicStore {
    /// Validates the wish and holds the slot for two minutes; an earlier hold of the same call is given up for it.
    pub async fn prepare_booking(&self, call_id: &str, wish: &BookingWish) -> Result<PreparedBooking, PrepareError> {
        Ok(bounded(holds::with_retries(|| self.try_hold(call_id, wish))).await??)
    }

    async fn try_hold(&self, call_id: &str, wish: &BookingWish) -> Result<Result<Attempt<PreparedBooking>, Refusal>, DbError> {
        let elsewhere = self.busy_elsewhere(around(wish.start), Age::New).await;
        let (mut transaction, now) = self.begin().await?;
        let schedule = load_schedule(&mut transaction).await?;
        let span = Span::lasting(wish.start, wish.duration_minutes);
        let mut busy = load_busy(&mut transaction, around(wish.start), call_id, None).await?;
        merge(&mut busy, elsewhere);
        let asked = Asked {
            practitioner: wish.practitioner.as_ref(),
            service: wish.service.as_ref(),
            location: wish.location.as_ref(),
            department: wish.department.as_ref(),
        };
        let near = || alternatives(&schedule, span, asked, now, &busy);
        if let Err(reason) = schedule.allows(span, asked, now) {
            return Ok(Err(Refusal::NotBookable { reason, alternatives: near() }));
        }
        let Some(practitioner) = schedule.free_at(span, asked, &busy) else {
            return Ok(Err(Refusal::SlotTaken { alternatives: near() }));
        };
        let identity = Identity::of(self, &wish.patient_name, &wish.phone);
        holds::lock_practitioner(&mut transaction, self, &practitioner.id).await?;
        holds::lock_patient(&mut transaction, identity.lock_key()).await?;
        let patient = identity.find_in_call(&mut transaction, call_id).await?;
        let occupied = schedule.occupied(span, asked.service);
        holds::clear_expired(&mut transaction, call_id, &practitioner.id, patient, occupied).await?;
        holds::release(&mut transaction, call_id).await?;
        let hold = Hold { call_id, practitioner: &practitioner.id, service: wish.service.as_ref(), patient, span, occupied };
        let held = holds::insert(&mut transaction, self, &hold).await?;
        let held_until = match held {
            Ok(held_until) => held_until,
            Err(error) => {
                return match violated(&error).as_deref() {
                    Some("appointments_practitioner_free" | "appointments_one_hold_a_call") => Ok(Ok(Attempt::Overtaken)),
                    Some("appointments_patient_free") => Ok(Err(Refusal::PatientBusy)),
                    Some("appointments_tenant_id_service_code_fkey") => Ok(Err(Refusal::NotOffered)),
                    _ => Err(error.into()),
                };
            }
        };
        self.hold_lease_to_book(&mut transaction).await?;
        transaction.commit().await?;
        let booking = Booking {
            start: wish.start,
            duration_minutes: wish.duration_minutes,
            practitioner: practitioner.id.clone(),
            service: wish.service.clone(),
            patient_name: wish.patient_name.clone(),
            phone: wish.phone.clone(),
            place: schedule.place(&practitioner.id, span),
        };
        let zone = Place::zone(booking.place.as_ref(), schedule.zone);
        let local_start = crate::local_time::local(wish.start, zone);
        Ok(Ok(Attempt::Held(PreparedBooking { booking, practitioner_name: practitioner.name.clone(), held_until, local_start })))
    }
}
