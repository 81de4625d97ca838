//! What a caller has said to being recorded: in the audit log, where a worker that takes the call over finds it as well.

use frontdesk_agent::Consent;

use crate::audit::{self, Actor};
use crate::config::RecordingConfig;
use crate::db::{DbError, bounded};
use crate::store::ClinicStore;

const GIVEN: &str = "recording.consented";
const REFUSED: &str = "recording.refused";

impl ClinicStore {
    /// Notes the caller's answer.
    pub async fn note_recording_consent(&self, call_id: &str, agrees: bool) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let action = if agrees { GIVEN } else { REFUSED };
            audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Caller, action, None).await?;
            self.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// How consent stands in a call that another worker had before: by what the caller has said there, else as in a call that begins.
    /// A refusal stays, whatever was said after it.
    pub async fn recording_consent_of(&self, call_id: &str, config: &RecordingConfig) -> Result<Consent, DbError> {
        let said = bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let said = sqlx::query_scalar!(
                "SELECT DISTINCT action FROM audit_events WHERE call_id = $1 AND action IN ('recording.consented', 'recording.refused')",
                call_id
            )
            .fetch_all(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(said)
        });
        let said = said.await?;
        if said.iter().any(|action| action == REFUSED) {
            return Ok(Consent::Refused);
        }
        Ok(if said.is_empty() { config.consent_at_first() } else { Consent::Given })
    }
}
