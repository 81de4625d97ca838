//! Whole calls in virtual time, over fakes of every trait.

mod agents;
mod aside;
mod endings;
mod faults;
mod greeting;
mod language;
mod latency;
mod privacy;
mod recording;
mod resumed;
mod spans;
mod starts;
mod takeover;
mod talk;
mod tools;
mod transfer;
mod turn;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::{Frame, SampleRate};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Fallback, Session, SessionOptions};
use crate::record::CallRecord;
use crate::testing::{Caller, FakeTransport, Fakes};
use crate::tool::{Tool, ToolSet};

const GREETING: &str = "Hello, this is the clinic.";
const APOLOGY: &str = "We are sorry.";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call in progress.
struct Call {
    fakes: Fakes,
    caller: Caller,
    stop: CancellationToken,
    session: JoinHandle<CallRecord>,
    began: Instant,
}

/// The cached apology at 24 kHz.
fn apology() -> Vec<i16> {
    (0..8_000).map(|n| n % 100 + 1).collect()
}

/// Fails at the first sample that differs.
#[track_caller]
fn same(heard: &[i16], given: &[i16]) {
    let at = heard.iter().zip(given).position(|(a, b)| a != b);
    let around = at.map(|at| (&heard[at..heard.len().min(at + 5)], &given[at..given.len().min(at + 5)]));
    assert!(at.is_none() && heard.len() == given.len(), "{} heard, {} given, differ at {at:?}: {around:?}", heard.len(), given.len());
}

/// Settings with a greeting and an apology.
fn options() -> SessionOptions {
    let mut options = SessionOptions::new("call-1", "demo");
    options.conversation.greeting = GREETING.into();
    // Without a turn model, the shortest delay: what the services take is what is measured.
    (options.conversation.endpointing.min_delay, options.conversation.endpointing.vad_delay) = (ms(300), ms(300));
    options.fallback = Some(Fallback { audio: Frame::new(SampleRate::HZ_24000, apology()), text: APOLOGY.into() });
    options
}

/// Settings with these tools as well.
fn options_with(tools: Vec<Arc<dyn Tool>>) -> SessionOptions {
    SessionOptions { tools: ToolSet::new(tools), ..options() }
}

impl Call {
    fn start(fakes: Fakes, options: SessionOptions) -> Self {
        let (transport, caller) = FakeTransport::new();
        Self::over(transport, caller, fakes, options)
    }

    fn over(transport: FakeTransport, caller: Caller, fakes: Fakes, options: SessionOptions) -> Self {
        let stop = CancellationToken::new();
        let session = Session::new(options, fakes.providers(), Box::new(transport));
        let session = tokio::spawn(session.run(stop.clone()));
        Self { fakes, caller, stop, session, began: Instant::now() }
    }

    /// A call whose greeting was heard to its end.
    async fn greeted(fakes: Fakes, options: SessionOptions) -> Self {
        let call = Self::start(fakes, options);
        call.caller.hears().await;
        call.caller.hears_the_end().await;
        call
    }

    /// The caller says a phrase, waits for the agent's answer and hears it to its end.
    async fn turn(&self, phrase: i16) {
        self.caller.say(phrase, ms(1_200));
        sleep(ms(1_300)).await;
        self.caller.hears().await;
        self.caller.hears_the_end().await;
    }

    /// The record, once the session ended; nothing of it may be left behind.
    async fn ended(self, limit: Duration) -> CallRecord {
        let record = timeout(limit, self.session).await.expect("the session ends in time").expect("the session does not panic");
        tokio::task::yield_now().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks outlive the session");
        let records = self.fakes.store.records();
        assert!(records.len() <= 1, "one record a call");
        record
    }

    async fn hang_up(self) -> CallRecord {
        self.caller.hang_up();
        self.ended(Duration::from_secs(30)).await
    }
}

/// (speaker is the caller, text) of every line of a record.
fn lines(record: &CallRecord) -> Vec<(bool, &str)> {
    let line = |line: &'_ crate::record::RecordLine| line.speaker == frontdesk_conversation::Speaker::Caller;
    record.transcript.iter().map(|said| (line(said), said.text.as_str())).collect()
}
