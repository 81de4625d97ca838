//! What callers leave: messages for the clinic, and what they wanted.

use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::PatientId;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;
use crate::subjects::Subject;

/// Key of the message about a caller who could not be served; a tool call's id never looks like it.
const UNSERVED_KEY: &str = "call.failed";

/// A message; sealed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerMessage {
    /// What shall be told.
    pub text: Pii<String>,
    /// For whom, if for somebody in particular.
    pub recipient: Option<String>,
    /// Who left it.
    pub caller_name: Option<Pii<String>>,
    /// Where to call back.
    pub phone: Option<PhoneNumber>,
}

/// What a caller wants; the closed list of the call record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is one word of the list; variant docs would break up the enum in the JSON Schema")]
pub enum Intent {
    Book,
    Move,
    Cancel,
    Question,
    Insurance,
    Message,
    Emergency,
    Other,
}

impl Intent {
    /// The word in the list.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Move => "move",
            Self::Cancel => "cancel",
            Self::Question => "question",
            Self::Insurance => "insurance",
            Self::Message => "message",
            Self::Emergency => "emergency",
            Self::Other => "other",
        }
    }
}

/// Whom a message is about, and so with whose key it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The caller: what the call left.
    Call,
    /// A patient who had nothing to do with the call.
    Patient(PatientId),
}

impl ClinicStore {
    /// Keeps a message. A repetition under the same `record_key` (the tool call's id) changes nothing.
    pub async fn take_message(&self, call_id: &str, record_key: &str, message: &CallerMessage, is_urgent: bool) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, now) = self.begin().await?;
            self.insert_message(&mut transaction, (call_id, record_key, now), (Actor::Agent, About::Call), message, is_urgent).await?;
            self.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Leaves a message about a caller who could not be served, as part of a transaction; once a call.
    pub(crate) async fn note_unserved(
        &self,
        transaction: &mut PgConnection,
        (call_id, now): (&str, DateTime<Utc>),
        phone: Option<PhoneNumber>,
    ) -> Result<(), DbError> {
        let known = if phone.is_some() { "Please call back." } else { "The number is not known." };
        let text = format!("This caller could not be served, because the telephone agent could not go on. {known}");
        let message = CallerMessage { text: text.into(), recipient: None, caller_name: None, phone };
        self.insert_message(transaction, (call_id, UNSERVED_KEY, now), (Actor::System, About::Call), &message, true).await
    }

    /// Seals and inserts a message, unless there is one under the same key.
    pub(crate) async fn insert_message(
        &self,
        transaction: &mut PgConnection,
        (call_id, record_key, now): (&str, &str, DateTime<Utc>),
        (actor, about): (Actor, About),
        message: &CallerMessage,
        is_urgent: bool,
    ) -> Result<(), DbError> {
        let (subject, patient) = match about {
            About::Call => (Subject::Call(call_id), None),
            About::Patient(patient) => (Subject::Patient(patient), Some(patient.0)),
        };
        let body = self.seal_for(&mut *transaction, subject, ("messages", "body_sealed"), message).await?;
        let id = Uuid::now_v7();
        let inserted = sqlx::query!(
            "INSERT INTO messages (tenant_id, call_id, record_key, message_id, body_sealed, is_urgent, about_patient)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, call_id, record_key) DO NOTHING",
            self.tenant.as_str(),
            call_id,
            record_key,
            id,
            body.as_bytes(),
            is_urgent,
            patient
        )
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() > 0 {
            let subject = id.to_string();
            audit::append(&mut *transaction, &self.tenant, Some(call_id), actor, "message.taken", Some(&subject)).await?;
            self.tell_of_message(transaction, (call_id, about), (id, now), message, is_urgent).await?;
        }
        Ok(())
    }

    /// The messages of a call, oldest first, but for those that were erased.
    pub async fn messages_of_call(&self, call_id: &str) -> Result<Vec<CallerMessage>, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let bodies = sqlx::query_scalar!(
                "SELECT body_sealed FROM messages WHERE call_id = $1 AND octet_length(body_sealed) > 0 ORDER BY message_id",
                call_id
            )
            .fetch_all(&mut *transaction)
            .await?;
            audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Operator, "message.read", None).await?;
            let keys = self.keys_of(&mut transaction, &bodies).await?;
            transaction.commit().await?;
            bodies.into_iter().map(|body| self.open_with(&keys, ("messages", "body_sealed"), body)).collect()
        })
        .await
    }

    /// Notes what the caller wants. A repetition under the same `record_key` changes nothing.
    pub async fn note_intent(&self, call_id: &str, record_key: &str, intent: Intent) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            sqlx::query!(
                "INSERT INTO intents (tenant_id, call_id, record_key, intent) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant_id, call_id, record_key) DO NOTHING",
                self.tenant.as_str(),
                call_id,
                record_key,
                intent.as_str()
            )
            .execute(&mut *transaction)
            .await?;
            self.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}
