//! The recording of a rehearsed call: sealed as at a worker, and opened again to see what is heard in it.

use std::path::Path;
use std::sync::Arc;

use frontdesk_agent::RecordingOptions;
use frontdesk_clinic::recordings;
use tokio::runtime::Handle;

use super::EvalError;
use super::bridge::OutsideVault;
use super::clinic::Clinic;
use super::trace::Recorded;
use crate::recordings::Recordings;

/// What the audit log is told.
const PURPOSE: &str = "judging a rehearsed call";

/// How the call is recorded below a folder, if its clinic says how callers consent.
pub(super) async fn begin(clinic: &Clinic, call_id: &str, folder: &Path, real: &Handle) -> Option<RecordingOptions> {
    let options = Recordings::Sealed(folder.to_owned()).of_call(&clinic.store, &clinic.tenant, call_id, false).await?;
    Some(RecordingOptions { vault: Arc::new(OutsideVault { inner: options.vault, real: real.clone() }), consent: options.consent })
}

/// What was kept of it.
pub(super) async fn kept(clinic: &Clinic, call_id: &str, folder: &Path) -> Result<Option<Recorded>, EvalError> {
    let failed = |error: &dyn std::fmt::Display| EvalError::Machine(format!("the recording: {error}"));
    let purpose = PURPOSE.parse().map_err(|error| failed(&error))?;
    let found = recordings::open(&clinic.store, folder, call_id, &purpose).await.map_err(|error| failed(&error))?;
    let mut kept: Option<Recorded> = None;
    for mut part in found.into_iter().flat_map(|found| found.parts) {
        let kept = kept.get_or_insert(Recorded { heard_from_ms: [None; 2] });
        let mut frames = 0_u64;
        while let Some(pcm) = part.audio.next_segment().map_err(|error| failed(&error))? {
            for frame in pcm.chunks_exact(4) {
                let at_ms = part.begins_ms + frames * 1000 / u64::from(part.rate_hz.max(1));
                for (side, sample) in frame.chunks_exact(2).enumerate() {
                    // What was not recorded is silence without any noise.
                    if sample != [0, 0] {
                        kept.heard_from_ms[side].get_or_insert(at_ms);
                    }
                }
                frames += 1;
            }
        }
    }
    Ok(kept)
}
