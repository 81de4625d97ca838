//! The spans of a call: a turn holds what was asked and done for it, and carries its figures.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use frontdesk_conversation::Effect;
use serde_json::json;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::*;
use crate::numbers::Stage;
use crate::testing::{FakeLlm, FakeStt, FakeTool};

/// Notes each span below its parents, and the fields that turns were given later.
#[derive(Clone, Default)]
struct Tree {
    paths: Arc<Mutex<Vec<String>>>,
    figures: Arc<Mutex<Vec<&'static str>>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tree {
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let names: Vec<_> = context.span_scope(id).expect("a span that begins").from_root().map(|span| span.name()).collect();
        self.paths.lock().expect("no test panics while it writes").push(names.join("/"));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if context.span(id).is_some_and(|span| span.name() == "turn") {
            values.record(&mut self.clone());
        }
    }
}

impl Visit for Tree {
    fn record_debug(&mut self, field: &Field, _value: &dyn Debug) {
        self.figures.lock().expect("no test panics while it writes").push(field.name());
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_a_span_with_its_requests_tools_and_figures() {
    let tree = Tree::default();
    let subscriber = || tracing_subscriber::registry().with(tree.clone());
    // While there is only one dispatcher, a span's site that another test's thread reaches first is judged by that thread's, which
    // is none, and stays silent for ever: so there are two.
    let _second = tracing::Dispatch::new(subscriber());
    let guard = tracing::subscriber::set_default(subscriber());
    let stt = FakeStt::default().knowing(1, "what is free on Monday").knowing(2, "thank you very much");
    let llm = FakeLlm::default().calling("look", json!({})).saying("Nine o'clock is free.").saying("You are welcome.");
    let look = Arc::new(FakeTool::new("look", Effect::Read));
    let call = Call::greeted(Fakes { stt, llm, ..Fakes::default() }, options_with(vec![look])).await;
    call.turn(1).await;
    call.turn(2).await;
    let record = call.hang_up().await;
    drop(guard);
    let paths = tree.paths.lock().expect("no test panicked").clone();
    let count = |path: &str| paths.iter().filter(|known| *known == path).count();
    assert_eq!((count("call"), count("call/turn"), record.turns.len()), (1, 2, 2), "{paths:?}");
    assert_eq!((count("call/turn/chat"), count("call/turn/execute_tool")), (3, 1), "{paths:?}");
    let figures = tree.figures.lock().expect("no test panicked").clone();
    for name in Stage::ALL.map(Stage::metric).into_iter().chain(["turn"]) {
        assert_eq!(figures.iter().filter(|known| **known == name).count(), 2, "{name} of two turns in {figures:?}");
    }
}
