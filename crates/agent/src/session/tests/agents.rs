//! Hand-off between agents, and tasks that ask the caller.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use frontdesk_conversation::{Effect, Message, ToolError, ToolStatus};
use serde_json::{Value, json};

use super::*;
use crate::agent::Agent;
use crate::llm::ModelRequest;
use crate::tasks::{CollectPhone, Confirm, TaskError};
use crate::testing::{FakeLlm, FakeStt};
use crate::tool::ToolContext;

const MAIN: &str = "You are the desk.";

fn stt() -> FakeStt {
    let stt = FakeStt::default().knowing(1, "please register me").knowing(2, "it is 555 0143");
    stt.knowing(3, "two oh two five five five zero one four three").knowing(4, "that is right thank you")
}

/// The number, and whether it may be used.
type Answered = Result<(String, bool), TaskError>;

/// Asks for a number, and whether it may be used.
#[derive(Clone, Default)]
struct Register {
    tries: u32,
    got: Arc<Mutex<Vec<Answered>>>,
}

impl Register {
    fn got(&self) -> Vec<Answered> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask(&self, context: &ToolContext) -> Answered {
        let number = CollectPhone::new("1").tries(self.tries).run(context).await?;
        let yes = Confirm::new("May we send you a text?").run(context).await?;
        Ok((number.as_e164().to_owned(), yes))
    }
}

#[async_trait]
impl Tool for Register {
    fn name(&self) -> &'static str {
        "register"
    }

    fn description(&self) -> String {
        "Registers the caller.".into()
    }

    fn parameters(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    async fn run(&self, context: &ToolContext, _arguments: Value) -> Result<Value, ToolError> {
        let got = self.ask(context).await;
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(got.clone());
        Ok(json!({ "registered": got?.1 }))
    }
}

fn instructions(request: &ModelRequest) -> &str {
    match request.messages.first() {
        Some(Message::System { text }) => text,
        _ => "",
    }
}

fn last_output(request: &ModelRequest) -> String {
    match request.messages.last() {
        Some(Message::Tool { content, .. }) => content.clone(),
        _ => String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_asks_again_reads_back_and_gives_a_typed_value_to_the_tool_that_waits() {
    let llm = FakeLlm::default()
        .calling("register", json!({}))
        .saying("What is your number?")
        .calling("give_phone_number", json!({ "number": "555 0143" }))
        .saying("With the area code, please.")
        .calling("give_phone_number", json!({ "number": "two oh two five five five zero one four three" }))
        .calling("confirm", json!({ "confirmation_id": "c1" }))
        .saying("May we send you a text?")
        .calling("give_answer", json!({ "yes": true }))
        .saying("You are registered.");
    let register = Register { tries: 4, ..Register::default() };
    let desk = Agent::new("desk").instructions(MAIN).greeting(GREETING).tool(register.clone());
    let call = Call::greeted(Fakes { stt: stt(), llm, ..Fakes::default() }, SessionOptions::for_agents("call-1", "demo", vec![desk])).await;
    for phrase in [1, 2, 3, 4, 4] {
        call.turn(phrase).await;
    }
    assert_eq!(register.got(), [Ok(("+12025550143".into(), true))]);
    assert!(call.fakes.tts.spoken().concat().contains("two zero two, five five five, zero one four three. Is that right?"));
    let requests = call.fakes.llm.requests();
    let told: Vec<&str> = requests.iter().map(instructions).collect();
    let asks_number = |text: &str| text.contains("telephone number");
    assert!(told[0] == MAIN && told[1..6].iter().all(|text| asks_number(text)), "{told:#?}");
    assert!(told[6].contains("May we send you a text?") && told[7].contains("May we send you a text?"));
    assert_eq!(told[8], MAIN);
    assert!(last_output(&requests[3]).contains("10 digits with the area code; these are 7"), "{}", last_output(&requests[3]));
    assert!(last_output(&requests[8]).contains("\"registered\":true"), "{}", last_output(&requests[8]));
    let record = call.hang_up().await;
    let agents: Vec<&str> = record.hand_offs.iter().map(|hand_off| hand_off.agent.as_str()).collect();
    assert_eq!(agents, ["collect_phone", "desk", "confirm_question", "desk"]);
    assert!(record.tools.iter().all(|tool| tool.name == "give_phone_number" || tool.status == ToolStatus::Done), "{:#?}", record.tools);
}

#[tokio::test(start_paused = true)]
async fn a_task_gives_up_after_its_tries_and_the_agent_goes_on() {
    let llm = FakeLlm::default()
        .calling("register", json!({}))
        .saying("What is your number?")
        .calling("give_phone_number", json!({ "number": "555 0143" }))
        .saying("I could not get your number.");
    let register = Register { tries: 1, ..Register::default() };
    let desk = Agent::new("desk").instructions(MAIN).greeting(GREETING).tool(register.clone());
    let call = Call::greeted(Fakes { stt: stt(), llm, ..Fakes::default() }, SessionOptions::for_agents("call-1", "demo", vec![desk])).await;
    call.turn(1).await;
    call.turn(2).await;
    assert_eq!(register.got(), [Err(TaskError::GaveUp { tries: 1 })]);
    let requests = call.fakes.llm.requests();
    assert_eq!(instructions(&requests[3]), MAIN);
    assert!(last_output(&requests[3]).contains("gave_up"));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_ends_the_task() {
    let llm = FakeLlm::default().calling("register", json!({})).saying("What is your number?");
    let register = Register { tries: 4, ..Register::default() };
    let desk = Agent::new("desk").instructions(MAIN).greeting(GREETING).tool(register.clone());
    let call = Call::greeted(Fakes { stt: stt(), llm, ..Fakes::default() }, SessionOptions::for_agents("call-1", "demo", vec![desk])).await;
    call.turn(1).await;
    call.hang_up().await;
    assert_eq!(register.got(), [Err(TaskError::CallEnded)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_hands_the_call_to_another_with_its_own_tools_and_voice() {
    let llm = FakeLlm::default().calling("hand_off", json!({ "agent": "billing" })).saying("Hello, billing here.").saying("Bye.");
    let desk = Agent::new("desk").instructions(MAIN).greeting(GREETING).hands_off_to("billing", "it is about a bill");
    let billing = Agent::new("billing").instructions("You are billing.").voice("deep").hands_off_to("desk", "it is not about a bill");
    let options = SessionOptions::for_agents("call-1", "demo", vec![desk, billing]);
    let call = Call::greeted(Fakes { stt: stt(), llm, ..Fakes::default() }, options).await;
    call.turn(1).await;
    call.turn(4).await;
    let requests = call.fakes.llm.requests();
    assert_eq!(requests.iter().map(instructions).collect::<Vec<_>>(), [MAIN, "You are billing.", "You are billing."]);
    assert_eq!(requests[0].tools[0].parameters["properties"]["agent"]["enum"], json!(["billing"]));
    assert_eq!(requests[1].tools[0].parameters["properties"]["agent"]["enum"], json!(["desk"]));
    assert_eq!(call.fakes.tts.connections().0, 2, "another voice, another connection");
    same(&call.caller.voice(), &call.fakes.tts.given());
    let record = call.hang_up().await;
    assert_eq!(record.hand_offs.iter().map(|hand_off| hand_off.agent.as_str()).collect::<Vec<_>>(), ["billing"]);
    assert!(lines(&record).contains(&(false, "Hello, billing here.")));
}
