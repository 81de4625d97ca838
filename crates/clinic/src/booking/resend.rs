//! Having a confirmation sent again, to whoever knows two things that only its patient knows, and to no other number or address than his.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use frontdesk_notify::{ChannelKind, Event};
use sqlx::PgConnection;

use super::identify::{self, SecondFactor};
use super::{PrepareError, Refusal, code};
use crate::audit::{self, Actor};
use crate::config::Tenant;
use crate::db::{DbError, bounded};
use crate::ids::AppointmentId;
use crate::outbox::NoticeStatus;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;

/// Messages of one kind about one appointment within a day, the first one included.
const A_DAY_MAX: i64 = 4;

/// How a confirmation is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendBy {
    /// A text message to the number given at booking.
    Text,
    /// An e-mail to the address that the patient left at registration.
    Email,
}

impl ResendBy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Text, Self::Email];

    /// Whether the clinic sends confirmations so.
    #[must_use]
    pub fn is_sent_by(self, tenant: &Tenant) -> bool {
        tenant.notifications.of(Event::AppointmentBooked).any(|(kind, _)| kind == self.channel())
    }

    const fn channel(self) -> ChannelKind {
        match self {
            Self::Text => ChannelKind::Sms,
            Self::Email => ChannelKind::PatientEmail,
        }
    }
}

/// A confirmation that will be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resent {
    /// When the appointment begins.
    pub start: DateTime<Utc>,
    /// In which that is spoken.
    pub zone: Tz,
    /// What became of the last one that was sent, if there was one.
    pub earlier: Option<NoticeStatus>,
}

impl ClinicStore {
    /// Writes another message with the confirmation, once number and second factor match: of the appointment that a code names,
    /// of the next one otherwise. A repetition under the same `record_key` (the tool call's id) writes nothing more.
    pub async fn resend_confirmation(
        &self,
        call_id: &str,
        record_key: &str,
        phone: &PhoneNumber,
        second: &SecondFactor,
        by: ResendBy,
    ) -> Result<Resent, PrepareError> {
        Ok(bounded(self.try_resend((call_id, record_key), phone, second, by)).await??)
    }

    async fn try_resend(
        &self,
        (call_id, record_key): (&str, &str),
        phone: &PhoneNumber,
        second: &SecondFactor,
        by: ResendBy,
    ) -> Result<Result<Resent, Refusal>, DbError> {
        let channel = by.channel();
        let Some(tenant) = self.notices.as_ref().filter(|tenant| by.is_sent_by(tenant)) else {
            return Ok(Err(Refusal::NoMessages));
        };
        let (mut transaction, now) = self.begin().await?;
        if identify::has_guessed_too_often(&mut transaction, call_id).await? {
            return Ok(Err(Refusal::TooManyAttempts));
        }
        let appointment = match self.meant(&mut transaction, phone, second, now).await? {
            Ok(appointment) => appointment,
            Err(refusal @ (Refusal::NotFound | Refusal::UnknownPatient)) => {
                identify::note_failure(&mut transaction, self, call_id).await?;
                transaction.commit().await?;
                return Ok(Err(refusal));
            }
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Two who ask at once are counted one after the other.
        sqlx::query!("SELECT revision FROM appointments WHERE appointment_id = $1 FOR NO KEY UPDATE", appointment.0)
            .fetch_one(&mut *transaction)
            .await?;
        let mut told = self.appointment_told(&mut transaction, tenant, Event::AppointmentBooked, appointment).await?;
        told.version = format!("{}:{call_id}:{record_key}", told.version);
        let subject = appointment.to_string();
        let before = sqlx::query!(
            r#"SELECT status, created_at > now() - interval '1 day' AS "is_recent!", dedupe_key = $2 AS "is_this!"
               FROM outbox WHERE subject = $1 AND channel = $3 ORDER BY position DESC LIMIT 100"#,
            subject,
            told.key(channel),
            channel.as_str()
        )
        .fetch_all(&mut *transaction)
        .await?;
        let is_repetition = before.iter().any(|row| row.is_this);
        let recent = i64::try_from(before.iter().filter(|row| row.is_recent).count()).unwrap_or(i64::MAX);
        if !is_repetition && recent >= A_DAY_MAX {
            return Ok(Err(Refusal::SentTooOften));
        }
        let earlier = before.iter().find(|row| !row.is_this).map(|row| NoticeStatus::read(&row.status)).transpose()?;
        if self.tell(&mut transaction, call_id, &told, |kind| kind == channel).await?.is_empty() {
            return Ok(Err(Refusal::NoAddress));
        }
        if !is_repetition {
            audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Agent, "confirmation.resent", Some(&subject)).await?;
        }
        transaction.commit().await?;
        let start = told.notice.appointment.as_ref().map_or(now, |appointment| appointment.start);
        Ok(Ok(Resent { start, zone: told.notice.zone, earlier }))
    }

    /// Which appointment is meant.
    async fn meant(
        &self,
        connection: &mut PgConnection,
        phone: &PhoneNumber,
        second: &SecondFactor,
        now: DateTime<Utc>,
    ) -> Result<Result<AppointmentId, Refusal>, DbError> {
        if let SecondFactor::Code(text) = second {
            let Some(own) = identify::find_own(connection, self, &code::normalise(text), phone).await? else {
                return Ok(Err(Refusal::NotFound));
            };
            return Ok(own.refusal(now).map_or(Ok(own.id), Err));
        }
        let Some(patient) = identify::find_patient(connection, self, phone, second).await? else {
            return Ok(Err(Refusal::UnknownPatient));
        };
        let next = sqlx::query_scalar!(
            "SELECT appointment_id FROM appointments WHERE patient_id = $1 AND status = 'booked' AND lower(during) > $2
             ORDER BY lower(during) LIMIT 1",
            patient.0,
            now
        )
        .fetch_optional(connection)
        .await?;
        Ok(next.map(AppointmentId).ok_or(Refusal::NothingToCome))
    }
}
