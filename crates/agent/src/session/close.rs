//! The end of a call: hang up, wait for what must not be cut off, end the helper tasks, keep the record.

use std::path::Path;

use frontdesk_conversation::{CallSummary, CallTime, CommitOutcome, ConfirmationId, EndReason, ToolStatus};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::driver::Driver;
use super::start::{Start, completed};
use crate::observe::SessionEvent;
use crate::record::{CallRecord, assemble};
use crate::recording::safe_name;
use crate::storage;
use crate::store::StoreError;

impl Driver {
    /// Ends everything that belongs to the call and gives its summary.
    pub(super) async fn close(mut self) -> CallSummary {
        if let Some(at) = self.hang_up_at.filter(|_| !self.caller_gone) {
            sleep_until(at).await;
        }
        self.parts.line = None;
        self.parts.over.cancel();
        self.parts.model.cancel_all();
        self.wait_for_effects().await;
        let reason = self.end_by.map_or(EndReason::Failed, |(_, reason)| reason);
        self.abandon(reason);
        let mut summary = self.summary.take().map_or_else(|| blank_summary(reason, self.now()), |summary| *summary);
        for (confirmation, outcome) in std::mem::take(&mut self.late) {
            enter_late_result(&mut summary, &confirmation, &outcome, self.now());
        }
        summary.transcript.extend(self.apology.take());
        if self.parts.playout.underruns() > 0 {
            self.parts.incidents.note("text-to-speech: slower than speech");
        }
        let Self { parts, reports, .. } = self;
        parts.helpers.cancel();
        // Senders and receivers go, so that tasks which wait for them end.
        drop((reports, parts.caller_tap, parts.storage, parts.speech, parts.hearing, parts.tools, parts.model, parts.line));
        let ended = parts.tasks.finish(parts.limits.tasks).await;
        for (count, what) in [(ended.panicked, "panicked"), (ended.stuck, "did not end by itself")] {
            if count > 0 {
                tracing::error!(count, what, "helper tasks failed");
                parts.incidents.note(format!("session: a helper task {what}"));
            }
        }
        summary
    }

    /// Waits for commits and records that run; their results enter the record.
    async fn wait_for_effects(&mut self) {
        let limit = Instant::now() + self.parts.limits.effects;
        while self.parts.tools.has_effects() {
            let report = tokio::select! {
                Some(report) = self.reports.tools.recv() => report,
                () = self.parts.tools.effects_ended() => break,
                () = sleep_until(limit) => {
                    tracing::error!("a tool with an effect still runs; its result is not in the record");
                    self.parts.incidents.note("tools: a commit did not end in time");
                    break;
                }
            };
            self.on_tool(report);
        }
        while let Ok(report) = self.reports.tools.try_recv() {
            self.on_tool(report);
        }
    }
}

/// Completes the trace of a commit whose result came after the summary was made.
fn enter_late_result(summary: &mut CallSummary, confirmation: &ConfirmationId, outcome: &CommitOutcome, now: CallTime) {
    let Some(trace) = summary.tools.iter_mut().find(|trace| trace.confirmation.as_ref() == Some(confirmation)) else { return };
    (trace.status, trace.output) = match outcome {
        CommitOutcome::Done(result) => (ToolStatus::Done, result.clone()),
        CommitOutcome::Refused(error) => (ToolStatus::Failed, json!({ "error": error })),
        CommitOutcome::Unknown => (ToolStatus::Unknown, Value::Null),
    };
    trace.end = now;
}

/// The summary of a call in which nothing was said.
pub(crate) const fn blank_summary(end: EndReason, ended_at: CallTime) -> CallSummary {
    CallSummary {
        end,
        ended_at,
        transcript: Vec::new(),
        tools: Vec::new(),
        turns: Vec::new(),
        hand_offs: Vec::new(),
        interruptions: 0,
        misunderstood: 0,
        offers: 0,
        transfers: Vec::new(),
        language: None,
    }
}

impl Start {
    /// Makes the record and keeps it; what fails on the way is in the record that is returned.
    pub(super) async fn finish(mut self, summary: CallSummary, recording: Option<String>) -> CallRecord {
        // A session that was never answered has helper tasks as well.
        self.helpers.cancel();
        let tasks = std::mem::take(&mut self.tasks);
        tasks.finish(self.options.limits.tasks).await;
        let (end, at) = (summary.end, summary.ended_at);
        if self.is_left_to_another().await {
            tracing::info!("the call goes on at another worker; nothing more is stored");
            let summary = CallSummary { end: EndReason::TakenOver, ..summary };
            self.watch.tell(at, SessionEvent::Ended(EndReason::TakenOver));
            return assemble(summary, &self.options, self.started_at, self.incidents.list(), None);
        }
        // Taken out of a call that nobody else can have: it was ended from outside.
        let end = if end == EndReason::TakenOver { EndReason::Stopped } else { end };
        let summary = CallSummary { end, ..summary };
        let record = assemble(summary, &self.options, self.started_at, self.incidents.list(), recording);
        let mut record = completed(record, &self.meter, &self.options);
        if let Some(store) = &self.providers.store
            && let Err(error) = storage::finish(store.as_ref(), &record).await
        {
            storage::note(&self.incidents, "finish", &error);
            if matches!(error, StoreError::LeaseLost) {
                record.outcome = EndReason::TakenOver;
                self.watch.tell(at, SessionEvent::Ended(EndReason::TakenOver));
                return record;
            }
        }
        record.incidents = self.incidents.list();
        if let Some(folder) = &self.options.record_dir {
            let path = folder.join(format!("{}.json", safe_name(&self.options.call_id)));
            if let Err(error) = write(&path, &record).await {
                tracing::error!(%error, "the record could not be written");
                self.incidents.note("record: could not be written");
                record.incidents = self.incidents.list();
            }
        }
        tracing::info!(outcome = ?end, duration_ms = record.duration_ms, incidents = record.incidents.len(), "the call ended");
        self.watch.tell(at, SessionEvent::Ended(end));
        record
    }
}

impl Start {
    /// Whether the call is another worker's. One that we were taken out of is let go of; if there is nobody who could take it (no
    /// store, or a call without a lease), it has ended.
    async fn is_left_to_another(&self) -> bool {
        if !self.options.lost.is_cancelled() {
            return false;
        }
        let Some(store) = &self.providers.store else { return false };
        match storage::give_up(store.as_ref(), &self.options.call_id).await {
            Ok(ours) => ours,
            Err(StoreError::LeaseLost) => true,
            Err(error) => {
                storage::note(&self.incidents, "give_up", &error);
                true
            }
        }
    }
}

/// Writes beside the place and renames, so that a reader never finds half a record.
async fn write(path: &Path, record: &CallRecord) -> std::io::Result<()> {
    let json = serde_json::to_vec_pretty(record)?;
    let path = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let draft = path.with_extension("json.part");
        std::fs::write(&draft, json)?;
        std::fs::rename(draft, path)
    });
    let limit = std::time::Duration::from_secs(5);
    match timeout(limit, writing).await {
        Ok(written) => written.map_err(std::io::Error::other)?,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}
