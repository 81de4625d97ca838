//! Moving an appointment, in two phases like booking. The old time is given up in the statement that takes the new one, so
//! there is no moment at which the patient has neither.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use frontdesk_notify::Event;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::commit::{active_practitioner, with_alternatives};
use super::exactly_once::{CommitError, Effect, Settled};
use super::holds::{self, Attempt, Hold};
use super::identify::{self, Claimed, OwnAppointment};
use super::{PrepareError, RESCHEDULE_TOOL, Refusal, code};
use crate::audit::{self, Actor};
use crate::db::{DbError, bounded, violated};
use crate::elsewhere::Age;
use crate::ids::{AppointmentId, CommitKey, PractitionerId};
use crate::phone::PhoneNumber;
use crate::schedule::{Asked, Busy, Place, Practitioner, Schedule, Span};
use crate::slots::{alternatives_with_a_colleague, around};
use crate::store::{ClinicStore, load_busy, load_schedule, merge};
use crate::waiting::{self, Freed};

/// What the caller wants.
#[derive(Debug, Clone)]
pub struct RescheduleWish {
    /// The code of the appointment, however it is spelt.
    pub confirmation_code: String,
    /// The patient's number, the second thing that the caller has to know.
    pub phone: PhoneNumber,
    /// When it shall begin.
    pub start: DateTime<Utc>,
    /// With whom; if not given, whoever it is with now or, where that one is not free, whoever is and offers the service.
    pub practitioner: Option<PractitionerId>,
}

/// A move as it will be committed. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    /// Which appointment.
    pub appointment: AppointmentId,
    /// Its code, which it keeps.
    pub confirmation_code: String,
    /// The patient's number.
    pub phone: PhoneNumber,
    /// When it begins as yet; if that is no longer so, nothing is done.
    pub from: DateTime<Utc>,
    /// When it shall begin.
    pub start: DateTime<Utc>,
    /// How long it lasts, as before.
    pub duration_minutes: u32,
    /// With whom.
    pub practitioner: PractitionerId,
    /// Where it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Reschedule {
    fn span(&self) -> Span {
        Span::lasting(self.start, self.duration_minutes)
    }
}

/// A move that awaits the caller's yes; the new time is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedReschedule {
    /// What will be moved whither; commit exactly this.
    pub reschedule: Reschedule,
    /// The old beginning in local time.
    pub local_from: NaiveDateTime,
    /// The new one.
    pub local_start: NaiveDateTime,
    /// With whom it was.
    pub old_practitioner_name: String,
    /// With whom it will be.
    pub practitioner_name: String,
}

/// An appointment that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescheduled {
    /// Which; the same as before.
    pub appointment: AppointmentId,
    /// The same as before.
    pub confirmation_code: String,
    /// When it would have begun.
    pub from: DateTime<Utc>,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How long it lasts.
    pub duration_minutes: u32,
    /// With whom.
    pub practitioner: PractitionerId,
    /// As it is spoken.
    pub practitioner_name: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl ClinicStore {
    /// Finds the appointment by code and number, both of which have to match, and holds the new time for two minutes.
    pub async fn prepare_reschedule(&self, call_id: &str, wish: &RescheduleWish) -> Result<PreparedReschedule, PrepareError> {
        Ok(bounded(holds::with_retries(|| self.try_move(call_id, wish))).await??)
    }

    /// Moves exactly what was prepared, at most once under `key`.
    pub async fn commit_reschedule(&self, key: &CommitKey, reschedule: &Reschedule) -> Result<Settled<Rescheduled>, CommitError> {
        self.settle(key, &Move(reschedule)).await
    }

    async fn try_move(&self, call_id: &str, wish: &RescheduleWish) -> Result<Result<Attempt<PreparedReschedule>, Refusal>, DbError> {
        let elsewhere = self.busy_elsewhere(around(wish.start), Age::New).await;
        let confirmation_code = code::normalise(&wish.confirmation_code);
        let Claimed { mut transaction, now, own } = match self.claim(call_id, &confirmation_code, &wish.phone).await? {
            Ok(claimed) => claimed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let schedule = load_schedule(&mut transaction).await?;
        let span = Span { start: wish.start, end: wish.start + (own.span.end - own.span.start) };
        if span == own.span && wish.practitioner.as_ref().is_none_or(|whom| *whom == own.practitioner) {
            return Ok(Err(Refusal::SameTime));
        }
        let wanted = (&own, wish.practitioner.as_ref(), span);
        let practitioner = match self.who_is_free(&mut transaction, &schedule, wanted, (call_id, elsewhere), now).await? {
            Ok(practitioner) => practitioner,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let whom = &practitioner.id;
        holds::lock_practitioner(&mut transaction, self, whom).await?;
        holds::lock_patient(&mut transaction, own.identity.lock_key()).await?;
        let occupied = schedule.occupied(span, own.service.as_ref());
        holds::clear_expired(&mut transaction, call_id, whom, Some(own.patient), occupied).await?;
        holds::release(&mut transaction, call_id).await?;
        if let Some(rest) = to_hold(&own, whom, occupied) {
            // The patient may well have the time already: the hold is nobody's.
            let hold = Hold { call_id, practitioner: whom, service: own.service.as_ref(), patient: None, span: rest, occupied: rest };
            if let Err(error) = holds::insert(&mut transaction, self, &hold).await? {
                return match violated(&error).as_deref() {
                    Some("appointments_practitioner_free" | "appointments_one_hold_a_call") => Ok(Ok(Attempt::Overtaken)),
                    _ => Err(error.into()),
                };
            }
        }
        let subject = own.id.to_string();
        audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Agent, "appointment.read", Some(&subject)).await?;
        transaction.commit().await?;
        let place = schedule.place(whom, span);
        let old_place = schedule.place(&own.practitioner, own.span);
        let local = |moment, place: &Option<Place>| crate::local_time::local(moment, Place::zone(place.as_ref(), schedule.zone));
        Ok(Ok(Attempt::Held(PreparedReschedule {
            local_from: local(own.span.start, &old_place),
            local_start: local(span.start, &place),
            old_practitioner_name: own.practitioner_name,
            practitioner_name: practitioner.name.clone(),
            reschedule: Reschedule {
                appointment: own.id,
                confirmation_code,
                phone: wish.phone.clone(),
                from: own.span.start,
                start: span.start,
                duration_minutes: u32::try_from((span.end - span.start).num_minutes()).unwrap_or_default(),
                practitioner: whom.clone(),
                place,
            },
        })))
    }

    /// With whom the new time can be had: with whom the caller names; else with the same practitioner as before or, if that one is not
    /// free then, with whoever of the same department is and offers the service.
    async fn who_is_free<'a>(
        &self,
        connection: &mut PgConnection,
        schedule: &'a Schedule,
        (own, named, span): (&OwnAppointment, Option<&PractitionerId>, Span),
        (call_id, elsewhere): (&str, Busy),
        now: DateTime<Utc>,
    ) -> Result<Result<&'a Practitioner, Refusal>, DbError> {
        let mut busy = load_busy(connection, around(span.start), call_id, None).await?;
        // An appointment does not stand in its own way.
        if let Some(taken) = busy.get_mut(&own.practitioner) {
            taken.retain(|taken| *taken != own.occupied);
        }
        merge(&mut busy, elsewhere);
        // Nor does its entry in the practitioner's own calendar, which tells the visit without buffers.
        if let Some(taken) = busy.get_mut(&own.practitioner) {
            taken.retain(|taken| *taken != own.span);
        }
        let first = Asked { practitioner: Some(named.unwrap_or(&own.practitioner)), service: own.service.as_ref(), ..Asked::default() };
        let asked = if named.is_some() { first } else { schedule.or_a_colleague(first) };
        let near = || alternatives_with_a_colleague(schedule, span, first, now, &busy);
        if let Err(reason) = schedule.allows(span, asked, now) {
            return Ok(Err(Refusal::NotBookable { reason, alternatives: near() }));
        }
        let free = schedule.free_at(span, first, &busy).or_else(|| schedule.free_at(span, asked, &busy));
        let Some(practitioner) = free else {
            return Ok(Err(Refusal::SlotTaken { alternatives: near() }));
        };
        let is_elsewhere = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM appointments
                              WHERE patient_id = $1 AND appointment_id <> $2 AND status = 'booked' AND during && $3) AS "is_elsewhere!""#,
            own.patient.0,
            own.id.0,
            holds::range(span)
        )
        .fetch_one(connection)
        .await?;
        Ok(if is_elsewhere { Err(Refusal::PatientBusy) } else { Ok(practitioner) })
    }
}

/// What has to be held so that the new time can be taken: all of it, less what the appointment has already. Buffers count.
fn to_hold(own: &OwnAppointment, whom: &PractitionerId, occupied: Span) -> Option<Span> {
    if own.practitioner != *whom || !occupied.overlaps(own.occupied) {
        return Some(occupied);
    }
    let rest = if occupied.start < own.occupied.start {
        Span { start: occupied.start, end: own.occupied.start }
    } else {
        Span { start: own.occupied.end, end: occupied.end }
    };
    (rest.start < rest.end).then_some(rest)
}

struct Move<'a>(&'a Reschedule);

#[async_trait]
impl Effect for Move<'_> {
    type Output = Rescheduled;
    type Arguments = Reschedule;

    fn tool(&self) -> &'static str {
        RESCHEDULE_TOOL
    }

    fn arguments(&self) -> &Reschedule {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Rescheduled>, DbError> {
        let wanted = self.0;
        let Some(practitioner_name) = active_practitioner(connection, &wanted.practitioner).await? else {
            return Ok(Settled::Refused(Refusal::NotOffered));
        };
        let Some(own) = identify::find_own(connection, store, &wanted.confirmation_code, &wanted.phone).await? else {
            return Ok(Settled::Refused(Refusal::NotFound));
        };
        if own.id != wanted.appointment {
            return Ok(Settled::Refused(Refusal::NotFound));
        }
        holds::lock_practitioner(connection, store, &wanted.practitioner).await?;
        holds::lock_patient(connection, own.identity.lock_key()).await?;
        // Behind the locks it may have become another.
        let row = sqlx::query!(
            r#"SELECT status, lower(during) AS "start!" FROM appointments WHERE appointment_id = $1 FOR NO KEY UPDATE"#,
            wanted.appointment.0
        )
        .fetch_one(&mut *connection)
        .await?;
        if let Some(refusal) = identify::refusal(&row.status, row.start, now) {
            return Ok(Settled::Refused(refusal));
        }
        if row.start != wanted.from {
            return Ok(Settled::Refused(Refusal::ChangedMeanwhile));
        }
        let occupied = holds::occupied(connection, own.service.as_ref(), wanted.span()).await?;
        holds::clear_expired(connection, &key.call_id, &wanted.practitioner, Some(own.patient), occupied).await?;
        holds::release(connection, &key.call_id).await?;
        let moved = sqlx::query!(
            "UPDATE appointments SET practitioner_id = $2, during = $3, occupies = $4, revision = revision + 1, updated_at = now()
             WHERE appointment_id = $1",
            wanted.appointment.0,
            wanted.practitioner.as_str(),
            holds::range(wanted.span()),
            (occupied != wanted.span()).then(|| holds::range(occupied))
        )
        .execute(&mut *connection)
        .await;
        if let Err(error) = moved {
            return match violated(&error).as_deref() {
                Some("appointments_practitioner_free") => Ok(Settled::Refused(Refusal::SlotTaken { alternatives: Vec::new() })),
                Some("appointments_patient_free") => Ok(Settled::Refused(Refusal::PatientBusy)),
                _ => Err(error.into()),
            };
        }
        let subject = wanted.appointment.to_string();
        audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, "appointment.moved", Some(&subject)).await?;
        store.tell_of_appointment(connection, &key.call_id, Event::AppointmentMoved, wanted.appointment).await?;
        waiting::is_served(connection, store, &key.call_id, own.patient, wanted.start).await?;
        let freed = Freed { practitioner: &own.practitioner, span: own.span, by: own.patient };
        waiting::freed(connection, store, &key.call_id, &freed, now).await?;
        Ok(Settled::Done(Rescheduled {
            appointment: wanted.appointment,
            confirmation_code: wanted.confirmation_code.clone(),
            from: wanted.from,
            start: wanted.start,
            duration_minutes: wanted.duration_minutes,
            practitioner: wanted.practitioner.clone(),
            practitioner_name,
            place: wanted.place.clone(),
        }))
    }

    async fn explain(
        &self,
        _store: &ClinicStore,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
        refusal: Refusal,
    ) -> Result<Refusal, DbError> {
        let asked = Asked { practitioner: Some(&self.0.practitioner), ..Asked::default() };
        with_alternatives(now, connection, refusal, self.0.span(), asked).await
    }
}
