//! Writing notices, within the transaction of the act that they tell of.

use chrono::{DateTime, Utc};
use frontdesk_agent::{CallRecord, Pii};
use frontdesk_notify::{Appointment, Call, CallerMessage, ChannelKind, Delivery, Event, Field, Language, Notice, Patient};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::config::Tenant;
use crate::db::DbError;
use crate::ids::{AppointmentId, PatientId};
use crate::messages::About;
use crate::patients::{Intake, Registration};
use crate::phone::PhoneNumber;
use crate::schedule::{Place, Span};
use crate::store::{ClinicStore, load_schedule, practitioner_id};
use crate::subjects::Subject;

/// What is told, before any channel has cut it down.
pub(crate) struct Told {
    pub(crate) notice: Notice,
    /// Where the patient is reached, by those channels that write to patients.
    pub(crate) reached: Reached,
    /// Tells notices about one thing apart: a revision, say.
    pub(crate) version: String,
    /// Whose key seals it: erasing that patient or call makes the notice unreadable, too.
    pub(crate) owner: OwnerOf,
}

/// Where a patient is reached; nowhere, in a notice that is not about an appointment.
#[derive(Default)]
pub(crate) struct Reached {
    pub(crate) phone: Option<Pii<String>>,
    pub(crate) email: Option<Pii<String>>,
}

impl Reached {
    /// By a channel.
    fn by(&self, kind: ChannelKind) -> Option<Pii<String>> {
        match kind {
            ChannelKind::Sms => self.phone.clone(),
            ChannelKind::PatientEmail => self.email.clone(),
            _ => None,
        }
    }
}

/// Whom a notice is about, for its key.
pub(crate) enum OwnerOf {
    Patient(PatientId),
    Call,
}

impl Told {
    /// What happens once.
    fn once(notice: Notice, owner: OwnerOf) -> Self {
        Self { notice, reached: Reached::default(), version: "0".into(), owner }
    }

    /// The same for the same thing, version, event and channel: told once.
    pub(crate) fn key(&self, kind: ChannelKind) -> String {
        format!("{}:{}:{}:{}", self.notice.subject(), self.version, self.notice.event.as_str(), kind.as_str())
    }
}

impl ClinicStore {
    /// Whether an event is told to anybody.
    fn is_told(&self, event: Event) -> bool {
        self.notices.as_ref().is_some_and(|tenant| tenant.notifications.of(event).next().is_some())
    }

    /// Tells of an appointment as it stands now in this transaction.
    pub(crate) async fn tell_of_appointment(
        &self,
        connection: &mut PgConnection,
        call_id: &str,
        event: Event,
        id: AppointmentId,
    ) -> Result<(), DbError> {
        let Some(tenant) = self.notices.as_ref().filter(|_| self.is_told(event)) else { return Ok(()) };
        let told = self.appointment_told(connection, tenant, event, id).await?;
        self.tell(connection, call_id, &told, |_| true).await?;
        Ok(())
    }

    /// Everything that could be told of an appointment.
    pub(crate) async fn appointment_told(
        &self,
        connection: &mut PgConnection,
        tenant: &Tenant,
        event: Event,
        id: AppointmentId,
    ) -> Result<Told, DbError> {
        // What a patient told of himself is not opened for nothing.
        let writes_emails = tenant.notifications.of(event).any(|(kind, _)| kind == ChannelKind::PatientEmail);
        let row = sqlx::query!(
            r#"SELECT a.revision, lower(a.during) AS "start!", upper(a.during) AS "end!", a.confirmation_code, a.practitioner_id, patients.patient_id,
                      p.name AS practitioner_name, s.name AS "service_name?", patients.name_sealed, patients.phone_sealed,
                      CASE WHEN $2 THEN patients.intake_sealed END AS intake_sealed
               FROM appointments a
               JOIN practitioners p USING (tenant_id, practitioner_id)
               JOIN patients USING (tenant_id, patient_id)
               LEFT JOIN services s USING (tenant_id, service_code)
               WHERE a.appointment_id = $1"#,
            id.0,
            writes_emails
        )
        .fetch_one(&mut *connection)
        .await?;
        let span = Span { start: row.start, end: row.end };
        let place = if tenant.locations.is_empty() {
            None
        } else {
            load_schedule(&mut *connection).await?.place(&practitioner_id(row.practitioner_id)?, span)
        };
        let keys = self.keys_of(&mut *connection, [&row.name_sealed, &row.phone_sealed].into_iter().chain(&row.intake_sealed)).await?;
        let phone: PhoneNumber = self.open_with(&keys, ("patients", "phone_sealed"), row.phone_sealed)?;
        let phone = Pii::new(phone.as_e164().to_owned());
        let intake: Option<Intake> =
            row.intake_sealed.map(|sealed| self.open_with(&keys, ("patients", "intake_sealed"), sealed)).transpose()?;
        let reached =
            Reached { phone: Some(phone.clone()), email: intake.and_then(|intake| intake.email).map(|it| String::from(it).into()) };
        let appointment = Appointment {
            id: id.0,
            revision: row.revision.unsigned_abs(),
            start: span.start,
            duration_minutes: u32::try_from((span.end - span.start).num_minutes()).unwrap_or_default(),
            code: row.confirmation_code,
            practitioner: Some(row.practitioner_name),
            service: row.service_name,
            location: place.as_ref().map(|place| place.name.clone()),
            name: Some(self.open_with(&keys, ("patients", "name_sealed"), row.name_sealed)?),
            phone: Some(phone),
        };
        let version = appointment.revision.to_string();
        let mut notice = notice(tenant, event);
        notice.zone = Place::zone(place.as_ref(), tenant.zone);
        notice.appointment = Some(appointment);
        Ok(Told { notice, reached, version, owner: OwnerOf::Patient(PatientId(row.patient_id)) })
    }

    /// Tells of a message that was left.
    pub(crate) async fn tell_of_message(
        &self,
        connection: &mut PgConnection,
        (call_id, about): (&str, About),
        (id, taken_at): (Uuid, DateTime<Utc>),
        message: &crate::messages::CallerMessage,
        is_urgent: bool,
    ) -> Result<(), DbError> {
        let Some(tenant) = self.notices.as_ref().filter(|_| self.is_told(Event::MessageTaken)) else { return Ok(()) };
        let mut notice = notice(tenant, Event::MessageTaken);
        notice.message = Some(CallerMessage {
            id,
            taken_at,
            is_urgent,
            text: Some(message.text.clone()),
            name: message.caller_name.clone(),
            phone: message.phone.as_ref().map(|phone| phone.as_e164().to_owned().into()),
        });
        let owner = match about {
            About::Call => OwnerOf::Call,
            About::Patient(patient) => OwnerOf::Patient(patient),
        };
        self.tell(connection, call_id, &Told::once(notice, owner), |_| true).await?;
        Ok(())
    }

    /// Tells of a patient who has registered: who he is, and nothing of what he said of his health.
    pub(crate) async fn tell_of_patient(
        &self,
        connection: &mut PgConnection,
        call_id: &str,
        (patient, registered_at): (PatientId, DateTime<Utc>),
        told: &Registration,
    ) -> Result<(), DbError> {
        let Some(tenant) = self.notices.as_ref().filter(|_| self.is_told(Event::PatientRegistered)) else { return Ok(()) };
        let mut notice = notice(tenant, Event::PatientRegistered);
        let intake = told.intake.expose();
        notice.patient = Some(Patient {
            id: patient.0,
            registered_at,
            name: Some(told.patient_name.clone()),
            phone: Some(told.phone.as_e164().to_owned().into()),
            email: intake.email.clone().map(|email| String::from(email).into()),
            date_of_birth: Some(intake.date_of_birth.to_string().into()),
        });
        self.tell(connection, call_id, &Told::once(notice, OwnerOf::Patient(patient)), |_| true).await?;
        Ok(())
    }

    /// Tells of a call that ended.
    pub(crate) async fn tell_of_call(
        &self,
        connection: &mut PgConnection,
        record: &CallRecord,
        outcome: String,
        caller: Option<&PhoneNumber>,
    ) -> Result<(), DbError> {
        let Some(tenant) = self.notices.as_ref().filter(|_| self.is_told(Event::CallEnded)) else { return Ok(()) };
        let mut notice = notice(tenant, Event::CallEnded);
        notice.call = Some(Call {
            id: record.call_id.clone(),
            started_at: record.started_at,
            ended_at: record.ended_at.max(record.started_at),
            outcome,
            phone: caller.map(|phone| phone.as_e164().to_owned().into()),
        });
        self.tell(connection, &record.call_id, &Told::once(notice, OwnerOf::Call), |_| true).await?;
        Ok(())
    }

    /// Writes one row for each channel of the event that is `wanted`; tells which. What was told before under the same version
    /// stays as it is. Who cannot be reached on a channel that writes to patients is not told on it.
    pub(crate) async fn tell(
        &self,
        connection: &mut PgConnection,
        call_id: &str,
        told: &Told,
        wanted: impl Fn(ChannelKind) -> bool,
    ) -> Result<Vec<ChannelKind>, DbError> {
        let Some(tenant) = &self.notices else { return Ok(Vec::new()) };
        let event = told.notice.event;
        let subject = told.notice.subject();
        let mut channels = Vec::new();
        for (kind, fields) in tenant.notifications.of(event).filter(|(kind, _)| wanted(*kind)) {
            let recipient = told.reached.by(kind);
            if kind.is_to_the_patient() && recipient.is_none() {
                continue;
            }
            let notice = Notice { recipient, ..restricted(told.notice.clone(), fields) };
            let owner = match told.owner {
                OwnerOf::Patient(patient) => Subject::Patient(patient),
                OwnerOf::Call => Subject::Call(call_id),
            };
            let sealed = self.seal_for(&mut *connection, owner, ("outbox", "payload_sealed"), &notice).await?;
            sqlx::query!(
                "INSERT INTO outbox (tenant_id, notice_id, event, channel, subject, call_id, dedupe_key, payload_sealed)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, dedupe_key) DO NOTHING",
                self.tenant.as_str(),
                Uuid::now_v7(),
                event.as_str(),
                kind.as_str(),
                subject,
                call_id,
                told.key(kind),
                sealed.as_bytes()
            )
            .execute(&mut *connection)
            .await?;
            channels.push(kind);
        }
        Ok(channels)
    }
}

fn notice(tenant: &Tenant, event: Event) -> Notice {
    Notice {
        delivery: Delivery::default(),
        event,
        language: tenant.notifications.language.unwrap_or_else(|| Language::of_tag(&tenant.language)),
        clinic: tenant.name.clone(),
        zone: tenant.zone,
        recipient: None,
        appointment: None,
        message: None,
        patient: None,
        call: None,
    }
}

/// Takes out what the channel may not carry.
fn restricted(mut notice: Notice, fields: &[Field]) -> Notice {
    let is_allowed = |field| fields.contains(&field);
    if let Some(it) = &mut notice.appointment {
        it.code = it.code.take().filter(|_| is_allowed(Field::Code));
        it.practitioner = it.practitioner.take().filter(|_| is_allowed(Field::Practitioner));
        it.service = it.service.take().filter(|_| is_allowed(Field::Service));
        it.location = it.location.take().filter(|_| is_allowed(Field::Location));
        it.name = it.name.take().filter(|_| is_allowed(Field::Name));
        it.phone = it.phone.take().filter(|_| is_allowed(Field::Phone));
    }
    if let Some(it) = &mut notice.message {
        it.text = it.text.take().filter(|_| is_allowed(Field::Message));
        it.name = it.name.take().filter(|_| is_allowed(Field::Name));
        it.phone = it.phone.take().filter(|_| is_allowed(Field::Phone));
    }
    if let Some(it) = &mut notice.patient {
        it.name = it.name.take().filter(|_| is_allowed(Field::Name));
        it.phone = it.phone.take().filter(|_| is_allowed(Field::Phone));
        it.email = it.email.take().filter(|_| is_allowed(Field::Email));
        it.date_of_birth = it.date_of_birth.take().filter(|_| is_allowed(Field::DateOfBirth));
    }
    if let Some(it) = &mut notice.call {
        it.phone = it.phone.take().filter(|_| is_allowed(Field::Phone));
    }
    notice
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSONAL: [&str; 13] =
        ["CODE", "PRACTITIONER", "SERVICE", "LOCATION", "NAME", "+1202", "TEXT", "CALLER", "+1303", "PATIENT", "+1404", "EMAIL", "1981"];

    fn everything() -> Notice {
        let id = "0194d5f0-0000-7000-8000-000000000001";
        let at = "2026-12-01T14:00:00Z";
        serde_json::from_value(serde_json::json!({
            "event": "appointment_booked", "language": "en", "clinic": "Lakeside", "zone": "UTC",
            "appointment": {"id": id, "revision": 0, "start": at, "duration_minutes": 30, "code": "CODE", "practitioner": "PRACTITIONER",
                "service": "SERVICE", "location": "LOCATION", "name": "NAME", "phone": "+1202"},
            "message": {"id": id, "taken_at": at, "is_urgent": true, "text": "TEXT", "name": "CALLER", "phone": "+1303"},
            "patient": {"id": id, "registered_at": at, "name": "PATIENT", "phone": "+1404", "email": "EMAIL", "date_of_birth": "1981"},
            "call": {"id": "call", "started_at": at, "ended_at": at, "outcome": "completed", "phone": "+1303"},
        }))
        .unwrap()
    }

    #[test]
    fn without_fields_nothing_is_carried_but_event_and_time() {
        let text = serde_json::to_string(&restricted(everything(), &[])).unwrap();
        let carried: Vec<&str> = PERSONAL.into_iter().filter(|word| text.contains(word)).collect();
        assert_eq!(carried, Vec::<&str>::new());
    }

    #[test]
    fn each_field_lets_its_own_through() {
        for (field, expected) in [
            (Field::Code, &["CODE"][..]),
            (Field::Practitioner, &["PRACTITIONER"]),
            (Field::Service, &["SERVICE"]),
            (Field::Location, &["LOCATION"]),
            (Field::Name, &["NAME", "CALLER", "PATIENT"]),
            (Field::Phone, &["+1202", "+1303", "+1404"]),
            (Field::Email, &["EMAIL"]),
            (Field::DateOfBirth, &["1981"]),
            (Field::Message, &["TEXT"]),
        ] {
            let text = serde_json::to_string(&restricted(everything(), &[field])).unwrap();
            let carried: Vec<&str> = PERSONAL.into_iter().filter(|word| text.contains(word)).collect();
            assert_eq!(carried, expected, "{field:?}");
        }
    }

    #[test]
    fn those_who_write_to_patients_know_where_and_nobody_else_does() {
        let reached = Reached { phone: Some("+1202".to_owned().into()), email: Some("EMAIL".to_owned().into()) };
        let known: Vec<_> = ChannelKind::ALL.into_iter().filter_map(|kind| Some((kind, reached.by(kind)?.into_inner()))).collect();
        assert_eq!(known, [(ChannelKind::Sms, "+1202".to_owned()), (ChannelKind::PatientEmail, "EMAIL".to_owned())]);
    }
}
