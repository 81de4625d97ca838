//! Whether and where a call is recorded; and taking away what was erased.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::recording::PlainFolder;
use frontdesk_agent::{Consent, RecordingConsent, RecordingOptions, RecordingVault};
use frontdesk_clinic::recordings::{SealedRecordings, Swept, sweep, sweep_plain};
use frontdesk_clinic::{ClinicStore, Database, DbError, Tenant, TenantId};
use tokio_util::sync::CancellationToken;

use crate::config::Calls;

/// How often a worker takes away the recordings of erased calls.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Where calls are recorded.
#[derive(Debug, Clone)]
pub(crate) enum Recordings {
    /// Sealed, below a folder.
    Sealed(PathBuf),
    /// As plain WAV files; production refuses that.
    Plain(PathBuf),
}

impl Recordings {
    /// Where the configuration wants them; `None` if calls are not recorded. Sealed, wherever there is a folder for that.
    pub(crate) fn of(config: &Calls) -> Option<Self> {
        let folder = |dir: &Option<String>| dir.as_ref().map(PathBuf::from);
        let sealed = folder(&config.recordings_dir).map(Self::Sealed);
        sealed.or_else(|| folder(&config.dir).map(Self::Plain)).filter(|_| config.record_audio)
    }

    /// How a call is recorded, if its clinic has said how callers consent. A call that was taken over keeps what its caller has
    /// said; if that cannot be had, it is not recorded.
    pub(crate) async fn of_call(&self, store: &ClinicStore, tenant: &Tenant, call_id: &str, is_resumed: bool) -> Option<RecordingOptions> {
        let config = tenant.recording.as_ref()?;
        let consent = if is_resumed { store.recording_consent_of(call_id, config).await } else { Ok(config.consent_at_first()) };
        let consent = match consent {
            Ok(Consent::Refused) => return None,
            Ok(consent) => consent,
            Err(error) => {
                tracing::warn!(call = call_id, %error, "what the caller said to being recorded cannot be had: the call is not recorded");
                return None;
            }
        };
        let vault: Arc<dyn RecordingVault> = match self {
            Self::Sealed(folder) => Arc::new(SealedRecordings::new(store.clone(), folder)),
            Self::Plain(folder) => Arc::new(PlainFolder::new(folder)),
        };
        Some(RecordingOptions { vault, consent: RecordingConsent::new(consent) })
    }
}

/// Removes the files on this machine of a clinic's calls that were erased, sealed and plain.
pub(crate) async fn sweep_machine(config: &Calls, database: &Database, tenant: &TenantId) -> Result<Swept, DbError> {
    let mut swept = Swept::default();
    if let Some(folder) = &config.recordings_dir {
        swept += sweep(database, tenant, Path::new(folder)).await?;
    }
    if let Some(folder) = &config.dir {
        swept += sweep_plain(database, tenant, Path::new(folder)).await?;
    }
    Ok(swept)
}

/// The same for all clinics, now and every hour, until told to stop.
pub(crate) async fn run_sweeper(config: Calls, database: Database, stop: CancellationToken) {
    if config.recordings_dir.is_none() && config.dir.is_none() {
        return;
    }
    loop {
        match sweep_all(&config, &database).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "recordings of erased calls were removed"),
            Err(error) => tracing::warn!(%error, "recordings of erased calls were not removed; the next sweep does it"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

async fn sweep_all(config: &Calls, database: &Database) -> Result<u64, DbError> {
    let mut removed = 0;
    for tenant in database.tenants().await? {
        removed += sweep_machine(config, database, &tenant).await?.removed;
    }
    Ok(removed)
}
