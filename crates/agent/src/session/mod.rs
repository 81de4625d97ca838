//! One call: a [`Session`] drives one conversation over one transport with one set of providers.
//!
//! The session's own task owns the conversation and never waits for anything but the next event; whatever can be slow (transport
//! signals, recogniser, synthesiser, model, tools, store, disk) is a helper task behind a bounded channel. All of them are awaited
//! before [`Session::run`] returns.

mod close;
mod driver;
mod events;
mod fallback;
mod options;
mod orders;
mod speakers;
mod start;
mod warm;
mod watchdog;

use std::panic::AssertUnwindSafe;

use frontdesk_conversation::EndReason;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use options::{Describe, Fallback, Providers, Resumed, SessionLimits, SessionOptions};
pub use watchdog::blocked_threads;

use crate::numbers;
use crate::record::CallRecord;
use crate::transport::{Transport, TransportError};
pub(crate) use close::blank_summary;
use start::Start;
use watchdog::Watchdog;

/// A call that has not begun.
pub struct Session {
    options: SessionOptions,
    providers: Providers,
    joining: BoxFuture<'static, Result<Box<dyn Transport>, TransportError>>,
}

impl Session {
    /// A session over a transport that has joined the call.
    #[must_use]
    pub fn new(options: SessionOptions, providers: Providers, transport: Box<dyn Transport>) -> Self {
        Self::joining(options, providers, async move { Ok(transport) })
    }

    /// A session whose transport joins while the providers warm up.
    #[must_use]
    pub fn joining(
        options: SessionOptions,
        providers: Providers,
        joining: impl Future<Output = Result<Box<dyn Transport>, TransportError>> + Send + 'static,
    ) -> Self {
        Self { options, providers, joining: Box::pin(joining) }
    }

    /// Runs the call to its end and gives its record; a failure of whatever kind is in the record, and nothing panics out.
    ///
    /// `stop` ends the call as soon as the conversation can, at most [`SessionLimits::end`] later. If the future is dropped
    /// instead, helper tasks are ended, commits that run go on, and there is no record.
    pub async fn run(self, stop: CancellationToken) -> CallRecord {
        let span = tracing::info_span!("call", call = %self.options.call_id, tenant = %self.options.tenant_id);
        let _counted = numbers::Active::begin();
        let start = Start::new(self.options, self.providers);
        let blank = start.blank_record();
        let mut watchdog = Watchdog::watch(start.heart(), start.keeper(), start.blank_record(), span.clone());
        let run = AssertUnwindSafe(start.run(self.joining, stop)).catch_unwind();
        let record = async {
            tokio::select! {
                biased;
                record = watchdog.bitten() => record,
                ended = run => ended.unwrap_or_else(|_| {
                    tracing::error!("the session panicked");
                    blank(EndReason::Failed, "session: panicked")
                }),
            }
        };
        let record = record.instrument(span).await;
        numbers::call(record.outcome);
        record
    }
}

#[cfg(test)]
mod tests;
