//! Whatever a tool does, exactly one report comes of it.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::testing::FakeTool;

fn call(name: &str) -> ToolCall {
    ToolCall { id: ToolCallId(format!("call-{name}")), name: name.into(), arguments: json!({ "a": 1 }) }
}

fn bench(tools: Vec<FakeTool>) -> (Tools, Tasks, mpsc::Receiver<ToolReport>) {
    let (report, reports) = mpsc::channel(64);
    let context = ToolContext {
        call_id: "call-1".into(),
        tenant_id: "demo".into(),
        tool_call_id: String::new(),
        language: "en".into(),
        caller_number: None,
        call: CallControl::default(),
    };
    let set = ToolSet::new(tools.into_iter().map(|tool| Arc::new(tool) as Arc<dyn Tool>).collect());
    (Tools::new(set, context, report), Tasks::default(), reports)
}

async fn code(reports: &mut mpsc::Receiver<ToolReport>) -> String {
    match reports.recv().await.expect("a report") {
        ToolReport::Finished(_, Err(error)) | ToolReport::Prepared(_, Err(error)) => error.code,
        other => panic!("{other:?} is no error"),
    }
}

#[tokio::test(start_paused = true)]
async fn panics_time_outs_and_unknown_names_are_errors() {
    let tools =
        vec![FakeTool::new("breaks", Effect::Read).panicking(), FakeTool::new("hangs", Effect::Record).taking(Duration::from_secs(60))];
    let (mut tools, mut tasks, mut reports) = bench(tools);
    tools.run(&mut tasks, call("breaks"), CallSoFar::new(&[]));
    assert_eq!(code(&mut reports).await, "internal");
    tools.run(&mut tasks, call("hangs"), CallSoFar::new(&[]));
    assert_eq!(code(&mut reports).await, "timeout");
    tools.run(&mut tasks, call("unheard_of"), CallSoFar::new(&[]));
    assert_eq!(code(&mut reports).await, "unknown_tool");
    tools.prepare(&mut tasks, call("unheard_of"), CallSoFar::new(&[]));
    assert_eq!(code(&mut reports).await, "unknown_tool");
    assert!(!tools.has_effects());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_panics_is_unknown_and_one_that_is_slow_is_waited_for() {
    let breaks = FakeTool::new("breaks", Effect::Commit).panicking();
    let slow = FakeTool::new("slow", Effect::Commit).taking(Duration::from_secs(30));
    let (mut tools, _tasks, mut reports) = bench(vec![breaks, slow.clone()]);
    tools.commit(ConfirmationId("c1".into()), call("breaks"));
    assert!(matches!(reports.recv().await, Some(ToolReport::Committed(_, CommitOutcome::Unknown))));
    tools.commit(ConfirmationId("c2".into()), call("slow"));
    assert!(tools.has_effects());
    tools.effects_ended().await;
    assert!(matches!(reports.recv().await, Some(ToolReport::Committed(id, CommitOutcome::Done(_))) if id.0 == "c2"));
    assert_eq!(slow.calls(), ["commit c2", "committed c2"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_can_be_cut_off_and_a_record_cannot() {
    let read = FakeTool::new("read", Effect::Read).taking(Duration::from_secs(1));
    let record = FakeTool::new("record", Effect::Record).taking(Duration::from_secs(1));
    let (mut tools, mut tasks, mut reports) = bench(vec![read.clone(), record.clone()]);
    for name in ["read", "record"] {
        tools.run(&mut tasks, call(name), CallSoFar::new(&[]));
    }
    sleep(Duration::from_millis(10)).await;
    for name in ["read", "record"] {
        tools.cancel(&call(name).id);
    }
    drop(tasks);
    assert!(matches!(reports.recv().await, Some(ToolReport::Finished(id, Ok(_))) if id.0 == "call-record"));
    assert_eq!(read.calls(), ["run call-read"]);
    assert_eq!(record.calls(), ["run call-record", "ran call-record"]);
}

#[tokio::test(start_paused = true)]
async fn tools_at_the_same_time_are_bounded() {
    let (mut tools, mut tasks, mut reports) = bench(vec![FakeTool::new("read", Effect::Read).taking(Duration::from_secs(1))]);
    for n in 0..RUNNING_MAX + 1 {
        tools.run(&mut tasks, ToolCall { id: ToolCallId(n.to_string()), ..call("read") }, CallSoFar::new(&[]));
    }
    assert_eq!(code(&mut reports).await, "busy");
    for _ in 0..RUNNING_MAX {
        assert!(matches!(reports.recv().await, Some(ToolReport::Finished(_, Ok(_)))));
    }
    tools.run(&mut tasks, call("read"), CallSoFar::new(&[]));
    assert!(matches!(reports.recv().await, Some(ToolReport::Finished(_, Ok(_)))), "there is room again");
}
