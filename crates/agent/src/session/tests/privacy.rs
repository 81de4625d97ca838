//! Nothing that was said, and no number, reaches a log.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;
use crate::testing::{FakeLlm, FakeStt, FakeTool};

/// Writes down every field of every event and span, at every level.
#[derive(Clone, Default)]
struct Scribe {
    log: Arc<Mutex<String>>,
}

impl Visit for Scribe {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut log = self.log.lock().expect("no test panics while it writes");
        let _ = writeln!(log, "{}={value:?}", field.name());
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn logs_name_the_call_and_hold_no_personal_data() {
    let scribe = Scribe::default();
    // While there is only one dispatcher, a log site that another test's thread reaches first is judged by that thread's, which
    // is none, and stays silent for ever: so there are two.
    let _second = tracing::Dispatch::new(scribe.clone());
    let guard = tracing::subscriber::set_default(scribe.clone());
    let llm = FakeLlm::default().calling("look", json!({ "name": "canary Lovelace" })).saying("The canary sings.");
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "my name is canary Lovelace"), llm, ..Fakes::default() };
    fakes.store.set_away(true);
    let look = Arc::new(FakeTool::new("look", frontdesk_conversation::Effect::Read));
    let call = Call::greeted(fakes, options_with(vec![look])).await;
    call.fakes.stt.break_after(100_000);
    call.turn(1).await;
    let record = call.hang_up().await;
    drop(guard);
    assert_eq!(lines(&record).len(), 3);
    let log = scribe.log.lock().expect("no test panicked").clone();
    for expected in ["call=call-1", "tenant=demo", "tool=look", "answered", "turn completed", "the call ended"] {
        assert!(log.contains(expected), "{expected} is missing in {log}");
    }
    for canary in ["canary", "Lovelace", "5550100", GREETING] {
        assert!(!log.contains(canary), "{canary} in {log}");
    }
}
