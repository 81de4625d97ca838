//! Joining the waiting list, in two phases like booking.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Joined, tidy};
use crate::audit::{self, Actor};
use crate::booking::{CommitError, Effect, Identity, Refusal, Settled, holds};
use crate::db::{DbError, bounded, violated};
use crate::ids::{CommitKey, DepartmentId, PractitionerId, ServiceCode};
use crate::local_time;
use crate::phone::PhoneNumber;
use crate::schedule::when::{Phrase, WhenError, Wish};
use crate::schedule::{Asked, NotBookable, Span};
use crate::store::{ClinicStore, load_schedule};

/// The name under which an entry is committed.
pub const JOIN_TOOL: &str = "join_waiting_list";

/// What the caller wants.
#[derive(Debug, Clone)]
pub struct WaitingWish {
    /// For whom.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
    /// With whom; anybody if not given.
    pub practitioner: Option<PractitionerId>,
    /// For what.
    pub service: Option<ServiceCode>,
    /// In which department; any if not given.
    pub department: Option<DepartmentId>,
    /// How long it shall last.
    pub duration_minutes: u32,
    /// When, in the caller's words.
    pub when: Phrase,
}

/// An entry as it will be committed. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// For whom.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
    /// With whom; anybody if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub practitioner: Option<PractitionerId>,
    /// For what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceCode>,
    /// In which department; any if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<DepartmentId>,
    /// How long it shall last.
    pub duration_minutes: u32,
    /// Days and times of day, in the clinic's zone.
    pub wish: Wish,
    /// The beginning of the first day, or now.
    pub from: DateTime<Utc>,
    /// The end of the last.
    pub until: DateTime<Utc>,
}

/// An entry that awaits the caller's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedWaiting {
    /// What will be entered; commit exactly this.
    pub waiting: Waiting,
    /// With whom, or in which department, as it is spoken.
    pub whom: Option<String>,
}

/// Why an entry was not prepared. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitingError {
    /// What the caller said names no time that can be waited for.
    #[error(transparent)]
    When(#[from] WhenError),
    /// Nobody offers that, or not then.
    #[error("{0}")]
    NotOffered(NotBookable),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl ClinicStore {
    /// Places the caller's words on the calendar. Nothing is kept yet.
    pub async fn prepare_waiting(&self, wish: &WaitingWish) -> Result<PreparedWaiting, WaitingError> {
        let (schedule, now) = bounded(async {
            let (mut transaction, now) = self.begin().await?;
            let schedule = load_schedule(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, DbError>((schedule, now))
        })
        .await?;
        let when = wish.when.on(local_time::local(now, schedule.zone), schedule.horizon)?;
        let window = when.window(schedule.zone);
        let window = Span { start: window.start.max(now), end: window.end };
        // Whether anybody works then at all, were everything free.
        let asked = Asked {
            practitioner: wish.practitioner.as_ref(),
            service: wish.service.as_ref(),
            location: None,
            department: wish.department.as_ref(),
        };
        let could_be = schedule.free_slots(window, wish.duration_minutes, asked, now, &crate::schedule::Busy::new());
        if !could_be.iter().any(|slot| when.admits(local_time::local(slot.start, schedule.zone))) {
            return Err(WaitingError::NotOffered(NotBookable::OutsideHours));
        }
        let named = |id: &PractitionerId| schedule.practitioners.iter().find(|one| one.id == *id).map(|one| one.name.clone());
        let waiting = Waiting {
            patient_name: wish.patient_name.clone(),
            phone: wish.phone.clone(),
            practitioner: wish.practitioner.clone(),
            service: wish.service.clone(),
            department: wish.department.clone(),
            duration_minutes: wish.duration_minutes,
            wish: when,
            from: window.start,
            until: window.end,
        };
        Ok(PreparedWaiting { whom: wish.practitioner.as_ref().and_then(named), waiting })
    }

    /// Enters exactly what was prepared, at most once under `key`.
    pub async fn commit_waiting(&self, key: &CommitKey, waiting: &Waiting) -> Result<Settled<Joined>, CommitError> {
        self.settle(key, &Join(waiting)).await
    }
}

struct Join<'a>(&'a Waiting);

#[async_trait]
impl Effect for Join<'_> {
    type Output = Joined;
    type Arguments = Waiting;

    fn tool(&self) -> &'static str {
        JOIN_TOOL
    }

    fn arguments(&self) -> &Waiting {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Joined>, DbError> {
        tidy(connection, store, Some(&key.call_id), now).await?;
        let waiting = self.0;
        let identity = Identity::of(store, &waiting.patient_name, &waiting.phone);
        holds::lock_patient(connection, identity.lock_key()).await?;
        let patient = identity.find_or_add(connection, store, &key.call_id, &waiting.patient_name, &waiting.phone).await?;
        let entry = Uuid::now_v7();
        let wish = serde_json::to_value(waiting.wish).map_err(|error| DbError::unreadable("wish", &error))?;
        let inserted = sqlx::query!(
            "INSERT INTO waiting_list (tenant_id, entry_id, patient_id, practitioner_id, service_code, duration_minutes, wish, during, call_id,
                                       department_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            store.tenant.as_str(),
            entry,
            patient.0,
            waiting.practitioner.as_ref().map(PractitionerId::as_str),
            waiting.service.as_ref().map(ServiceCode::as_str),
            i32::try_from(waiting.duration_minutes).unwrap_or(i32::MAX),
            wish,
            holds::range(Span { start: waiting.from, end: waiting.until }),
            key.call_id,
            waiting.department.as_ref().map(DepartmentId::as_str)
        )
        .execute(&mut *connection)
        .await;
        if let Err(error) = inserted {
            return match violated(&error).as_deref() {
                Some("waiting_list_once") => Ok(Settled::Refused(Refusal::AlreadyWaiting)),
                Some(
                    "waiting_list_tenant_id_practitioner_id_fkey"
                    | "waiting_list_tenant_id_service_code_fkey"
                    | "waiting_list_tenant_id_department_id_fkey",
                ) => Ok(Settled::Refused(Refusal::NotOffered)),
                _ => Err(error.into()),
            };
        }
        let subject = entry.to_string();
        audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, "waiting.joined", Some(&subject)).await?;
        Ok(Settled::Done(Joined { entry }))
    }
}
