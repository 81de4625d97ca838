//! The agent's transport in the room of a real job.

mod support;

use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::transport::{AgentState, Speaker, TranscriptLine, TransferOutcome, WhenPersonSpeaks};
use frontdesk_agent::{Transport, TransportError, TransportEvent};
use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{LiveKit, NewRoom, ParticipantToken};
use frontdesk_livekit::pulse;
use frontdesk_livekit::room::{DisconnectReason, EndReason, OutgoingData, ParticipantKind, Room, RoomEvent, RpcRequest};
use frontdesk_livekit::transfer::{BRIDGE_ATTRIBUTE, Reply, Request, TRANSFER_TOPIC};
use frontdesk_livekit::transport::{LiveKitTransport, STATE_METHOD, TransportOptions};
use frontdesk_livekit::worker::JobContext;
use support::proxy::Proxy;
use support::server::Server;
use support::{Events, expiring, join, join_sip, tone, within};
use tokio_util::sync::CancellationToken;

const NUMBER: &str = "+15550100";

/// A job as the server would assign it.
fn job(api: &LiveKit, room: &str) -> JobContext {
    let mut token = ParticipantToken::new(room, "agent-AJ_1");
    token.kind = ParticipantKind::Agent;
    JobContext {
        job_id: "AJ_1".into(),
        kind: Default::default(),
        dispatch_id: "AD_1".into(),
        room: room.into(),
        room_sid: "RM_1".into(),
        url: api.url().to_string(),
        token: api.participant_token(&token).expect("a token"),
        metadata: String::new(),
        attributes: Default::default(),
        participant: None,
        participant_identity: token.identity,
        stop: CancellationToken::new(),
        hurry: CancellationToken::new(),
        assigned_at: std::time::Instant::now(),
    }
}

struct Call {
    server: Server,
    api: Arc<LiveKit>,
    caller: Room,
    caller_events: Events,
    agent: LiveKitTransport,
}

async fn call(room: &str) -> Call {
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    let attributes = [
        ("sip.phoneNumber", NUMBER),
        ("sip.trunkPhoneNumber", "+15550199"),
        ("sip.callID", "SCL_1"),
        ("sip.callStatus", "active"),
        (BRIDGE_ATTRIBUTE, "transfer"),
    ];
    let (caller, caller_events) = join_sip(&server.url(), room, &format!("sip_{NUMBER}"), &attributes).await;
    let agent = LiveKitTransport::join(&job(&api, room), api.clone(), TransportOptions::default()).await.expect("joins");
    Call { server, api, caller, caller_events, agent }
}

async fn event(agent: &mut LiveKitTransport) -> TransportEvent {
    loop {
        match within("an event", agent.next_event()).await {
            TransportEvent::Audio(_) => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_from_answer_to_hang_up() {
    let mut call = call("call_abc").await;
    let info = call.agent.info().clone();
    assert_eq!((info.call_id.as_str(), info.dialled_number.as_deref()), ("call_abc", Some("+15550199")));
    assert_eq!(info.caller_number.map(|number| number.into_inner()).as_deref(), Some(NUMBER));

    // The caller speaks, and is heard at 16 kHz.
    let out = call.caller.publish_audio(SampleRate::HZ_8000).await.unwrap();
    let _tone = tone::play(out, 500.0);
    let mut heard = Vec::new();
    while heard.len() < 16_000 {
        if let TransportEvent::Audio(frame) = within("audio", call.agent.next_event()).await {
            assert_eq!(frame.rate, SampleRate::HZ_16000);
            heard.extend(frame.samples);
        }
    }
    let pitch = tone::pitch(&heard[8000..], SampleRate::HZ_16000);
    assert!((pitch - 500.0).abs() < 10.0, "{pitch} Hz");

    // The agent answers, and is heard.
    let mut sink = within("answering", call.agent.answer(SampleRate::HZ_24000)).await.unwrap();
    let speech = tokio::spawn(async move {
        let mut ticker = tone::ticker();
        loop {
            ticker.tick().await;
            // 20 ms hold ten whole periods of 500 Hz.
            sink.write(&tone::sine(500.0, SampleRate::HZ_24000));
        }
    });
    let mut audio = call.caller_events.audio().await;
    let said = tone::record(&mut audio, Duration::from_millis(600)).await;
    let pitch = tone::pitch(&said[4800..], audio.rate());
    assert!((pitch - 500.0).abs() < 15.0, "{pitch} Hz");

    call.caller.send_dtmf('7').await.unwrap();
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Dtmf('7')));
    call.caller.send_text("lk.chat", &Default::default(), "hello").await.unwrap();
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Text(text) if text.expose() == "hello"));

    call.agent.set_state(AgentState::Speaking).await;
    let state = |event| match event {
        RoomEvent::ParticipantUpdated(p) => p.attribute("lk.agent.state").map(str::to_owned),
        _ => None,
    };
    assert_eq!(call.caller_events.find("the state", state).await, "speaking");
    for (speaker, identity) in [(Speaker::Caller, format!("sip_{NUMBER}")), (Speaker::Agent, "agent-AJ_1".to_owned())] {
        let line = TranscriptLine { speaker, segment: "s1".into(), text: "Good morning.".into(), is_final: true, turn: None };
        call.agent.publish_transcript(&line).await;
        let text = call.caller_events.find("a transcript", |e| if let RoomEvent::Text(text) = e { Some(text) } else { None }).await;
        assert_eq!((text.text.as_str(), text.sender, text.topic.as_str()), ("Good morning.", identity, "lk.transcription"));
        assert_eq!((text.attributes["lk.segment_id"].as_str(), text.attributes["lk.transcription_final"].as_str()), ("s1", "true"));
        assert!(text.attributes["lk.transcribed_track_id"].starts_with("TR_"));
    }

    call.agent.hang_up().await;
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    assert_eq!(call.caller_events.find("the end", ended).await, EndReason::Server(DisconnectReason::RoomDeleted));
    call.agent.hang_up().await;
    assert!(matches!(call.agent.next_event().await, TransportEvent::Disconnected));
    assert!(call.api.list_rooms(&["call_abc"]).await.unwrap().is_empty());
    speech.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_asks_our_bridge_by_name_and_audio_goes_on() {
    let mut call = call("transfer").await;
    let failed = TransferOutcome::Failed { sip_code: None };
    assert_eq!(call.agent.transfer("nobody").await, failed, "a name without a number");
    // What is sent before is lost to the other side.
    within("data", call.caller.data_connected()).await.unwrap();
    within("data", call.agent.room().data_connected()).await.unwrap();
    call.agent.set_transfer_numbers([("front office".to_owned(), "+15550188".to_owned())].into());
    for (status, outcome) in [(Some(486), TransferOutcome::Busy), (Some(200), TransferOutcome::Accepted), (None, failed)] {
        let transfer = call.agent.transfer("front office");
        let bridge = async {
            let request = call.caller_events.find("the request", |event| match event {
                RoomEvent::Data(data) if data.topic == TRANSFER_TOPIC => Request::parse(&data.payload),
                _ => None,
            });
            let request = request.await;
            assert_eq!(request.uri(), "tel:+15550188");
            let payload = Reply { id: request.id, status }.to_bytes();
            let reply = OutgoingData { payload, topic: TRANSFER_TOPIC.into(), reliable: true, destinations: vec!["agent-AJ_1".into()] };
            call.caller.send_data(reply).await.unwrap();
        };
        tokio::pin!(transfer);
        let answered = async {
            bridge.await;
            std::future::pending::<()>().await;
        };
        tokio::pin!(answered);
        let told = within("the outcome", async {
            loop {
                tokio::select! {
                    outcome = &mut transfer => return outcome,
                    () = &mut answered => {}
                    _ = call.agent.next_event() => {}
                }
            }
        });
        assert_eq!(told.await, outcome);
    }
    call.agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_another_bridge_is_transferred_by_the_api_or_not_at_all() {
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    let (_caller, _events) = join_sip(&server.url(), "foreign", "sip_x", &[("sip.callStatus", "active")]).await;
    let mut agent = LiveKitTransport::join(&job(&api, "foreign"), api.clone(), TransportOptions::default()).await.expect("joins");
    agent.set_transfer_numbers([("front office".to_owned(), "+15550188".to_owned())].into());
    // This server has no SIP service.
    assert_eq!(within("the refusal", agent.transfer("front office")).await, TransferOutcome::Failed { sip_code: None });
    agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_is_told_once() {
    let mut call = call(&format!("call_{NUMBER}_abc")).await;
    assert_eq!(call.agent.info().call_id, "SCL_1", "no number in the call's id");
    call.caller.set_attributes([("sip.callStatus".to_string(), "hangup".to_string())].into()).await.unwrap();
    assert!(matches!(event(&mut call.agent).await, TransportEvent::CallerLeft));
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Disconnected));
    call.agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_the_caller_has_hung_up_may_be_told_in_the_room_by_himself_alone() {
    let mut call = call("told").await;
    let agent = vec![call.agent.room().local_participant().identity];
    let (stranger, _events) = join(&call.server.url(), "told", "stranger").await;
    within("media", stranger.media_connected()).await.expect("connected");
    pulse::hang_up(&stranger, agent.clone()).await;
    let heard = tokio::time::timeout(Duration::from_secs(1), async { while call.agent.next_event().await.end().is_none() {} }).await;
    assert!(heard.is_err(), "a stranger's word ends no call");
    pulse::hang_up(&call.caller, agent).await;
    assert!(matches!(event(&mut call.agent).await, TransportEvent::CallerLeft));
    call.agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_vanishes_and_a_room_that_ends() {
    let mut first = call("vanish").await;
    first.caller.leave(DisconnectReason::ClientInitiated).await;
    assert!(matches!(event(&mut first.agent).await, TransportEvent::CallerLeft));
    let mut second = call("ended").await;
    second.api.delete_room("ended").await.unwrap();
    assert!(matches!(event(&mut second.agent).await, TransportEvent::RoomClosed));
    second.agent.hang_up().await;
    assert!(second.agent.answer(SampleRate::HZ_24000).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_is_removed_and_an_agent_that_is() {
    let mut call = call("removed").await;
    let caller = call.caller.local_participant().identity;
    // An agent that is removed leaves the room to whoever comes next: its caller is still there.
    call.api.remove_participant("removed", "agent-AJ_1").await.expect("removed");
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Removed));
    call.agent.hang_up().await;
    let mut next = LiveKitTransport::join(&job(&call.api, "removed"), call.api.clone(), TransportOptions::default()).await.expect("joins");
    // One that is replaced under its own identity does as well.
    let mut last = LiveKitTransport::join(&job(&call.api, "removed"), call.api.clone(), TransportOptions::default()).await.expect("joins");
    assert!(matches!(event(&mut next).await, TransportEvent::Replaced));
    next.hang_up().await;
    drop(next);
    let present = call.api.list_participants("removed").await.expect("the room is there");
    assert!(present.iter().any(|participant| participant.identity == caller), "the caller is still there");
    // LiveKit's own way to hang up.
    call.api.remove_participant("removed", &caller).await.expect("removed");
    assert!(matches!(event(&mut last).await, TransportEvent::CallerRemoved));
    last.hang_up().await;
    assert!(call.api.list_rooms(&["removed"]).await.expect("a list").is_empty(), "nobody is left to talk to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_cut_off_ends_no_call_that_another_has_by_now() {
    let server = Server::start().await;
    let (api, proxy) = (Arc::new(support::api(&server.url())), Proxy::start(server.port()).await);
    let far = Arc::new(support::api(&proxy.url()));
    let (caller, mut caller_events) = join_sip(&server.url(), "cut", "sip_1", &[(BRIDGE_ATTRIBUTE, "transfer")]).await;
    let cut_off = async || {
        let options = TransportOptions { resume_window: Duration::from_millis(500), ..TransportOptions::default() };
        let mut agent = LiveKitTransport::join(&job(&far, "cut"), far.clone(), options).await.expect("joins");
        within("media", agent.room().media_connected()).await.expect("connects");
        proxy.cut(true);
        assert!(matches!(event(&mut agent).await, TransportEvent::Disconnected));
        agent
    };

    // It was removed and replaced, and does not know.
    let mut lost = cut_off().await;
    api.remove_participant("cut", "agent-AJ_1").await.expect("removed");
    let mut second = job(&api, "cut");
    let mut token = ParticipantToken::new("cut", "agent-AJ_2");
    token.kind = ParticipantKind::Agent;
    (second.token, second.participant_identity) = (api.participant_token(&token).expect("a token"), token.identity);
    let mut next = LiveKitTransport::join(&second, api.clone(), TransportOptions::default()).await.expect("joins");
    proxy.mend();
    lost.hang_up().await;
    drop(lost);
    let mut present: Vec<String> = api.list_participants("cut").await.expect("a room").into_iter().map(|other| other.identity).collect();
    present.sort();
    assert_eq!(present, ["agent-AJ_2", "sip_1"], "the room and the new agent are still there");
    next.leave().await;

    // Nobody came in its place: its caller is not left in silence.
    let mut lost = cut_off().await;
    proxy.mend();
    lost.hang_up().await;
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    assert_eq!(caller_events.find("the end", ended).await, EndReason::Server(DisconnectReason::RoomDeleted));
    drop(caller);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_stopped_because_its_agent_was_removed_leaves_the_call() {
    let server = Server::start().await;
    let (api, proxy) = (Arc::new(support::api(&server.url())), Proxy::start(server.port()).await);
    let (_caller, _events) = join_sip(&server.url(), "stopped", "sip_1", &[(BRIDGE_ATTRIBUTE, "transfer")]).await;
    // Its signalling goes another way than the word that its job is to stop.
    let far = job(&support::api(&proxy.url()), "stopped");
    let mut agent = LiveKitTransport::join(&far, api.clone(), TransportOptions::default()).await.expect("joins");
    within("media", agent.room().media_connected()).await.expect("connects");
    proxy.cut(true);
    api.remove_participant("stopped", "agent-AJ_1").await.expect("removed");
    far.stop.cancel();
    assert!(matches!(event(&mut agent).await, TransportEvent::Removed));
    assert!(!agent.stop().is_cancelled(), "the call goes on");
    agent.hang_up().await;
    drop(agent);
    assert_eq!(api.list_participants("stopped").await.expect("the room is there").len(), 1);

    // One that is told to stop for another reason does.
    let withdrawn = job(&api, "stopped");
    let agent = LiveKitTransport::join(&withdrawn, api.clone(), TransportOptions::default()).await.expect("joins");
    withdrawn.stop.cancel();
    within("the stop", agent.stop().cancelled()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_transport_leaves_no_caller_in_silence() {
    let Call { server: _server, caller: _caller, mut caller_events, agent, .. } = call("dropped").await;
    drop(agent);
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    assert_eq!(caller_events.find("the end", ended).await, EndReason::Server(DisconnectReason::RoomDeleted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_to_talk_to() {
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    api.create_room(&NewRoom { name: "empty".into(), ..NewRoom::default() }).await.unwrap();
    let options = TransportOptions { caller_timeout: Duration::from_millis(200), ..TransportOptions::default() };
    let error = within("giving up", LiveKitTransport::join(&job(&api, "empty"), api.clone(), options.clone())).await.unwrap_err();
    assert!(matches!(error, TransportError::NoCaller { waited_ms: 200 }), "{error}");
    assert!(api.list_rooms(&["empty"]).await.unwrap().is_empty(), "the empty room is deleted");
    let late = job(&api, "late");
    let late = JobContext { token: expiring(&late.token, Duration::ZERO), ..late };
    let error = LiveKitTransport::join(&late, api.clone(), options.clone()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Join(why) if why.contains("refused the access token")), "{error}");
    let stopped = job(&api, "stopped");
    stopped.stop.cancel();
    let error = LiveKitTransport::join(&stopped, api, options).await.unwrap_err();
    assert!(matches!(error, TransportError::Ended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_answers_calls_of_its_methods() {
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    let (caller, _events) = join(&server.url(), "methods", "person").await;
    let mut options = TransportOptions::default();
    options.methods.add("menu", async |request: RpcRequest| Ok(format!("soup for {}", request.caller)));
    let mut agent = LiveKitTransport::join(&job(&api, "methods"), api.clone(), options).await.expect("joins");
    within("data", caller.data_connected()).await.unwrap();
    within("data", agent.room().data_connected()).await.unwrap();
    support::eventually("the agent is known", async || !caller.participants().is_empty()).await;
    agent.set_state(AgentState::Thinking).await;
    let wait = Duration::from_secs(15);
    let asking = async {
        let mut answers = Vec::new();
        for method in [STATE_METHOD, "menu", "nothing"] {
            answers.push(caller.perform_rpc("agent-AJ_1", method, "", wait).await.map_err(|error| error.code));
        }
        answers
    };
    let serving = async {
        loop {
            agent.next_event().await;
        }
    };
    let answers = tokio::select! {
        answers = within("the answers", asking) => answers,
        () = serving => unreachable!("it serves for ever"),
    };
    let [state, menu, nothing] = answers.as_slice() else { panic!("three answers: {answers:?}") };
    let state: serde_json::Value = serde_json::from_str(state.as_deref().expect("a state")).expect("JSON");
    assert_eq!(state, serde_json::json!({ "state": "thinking", "call_id": "methods" }));
    assert_eq!((menu, nothing), (&Ok("soup for person".to_owned()), &Err(1400)));
    agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_speaks_takes_the_call_over_and_one_who_listens_does_not() {
    let mut call = call("colleague").await;
    let (_listener, _events) = join(&call.api.url().to_string(), "colleague", "listener").await;
    let (colleague, mut colleague_events) = join(&call.api.url().to_string(), "colleague", "colleague").await;
    within("data", call.caller.data_connected()).await.unwrap();
    within("data", call.agent.room().data_connected()).await.unwrap();
    call.caller.send_dtmf('1').await.unwrap();
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Dtmf('1')), "who is only there changes nothing");
    let _voice = tone::play(colleague.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
    let taken = event(&mut call.agent).await;
    assert!(matches!(taken, TransportEvent::TakenByPerson), "{taken:?}");
    assert_eq!(taken.end().map(|reason| reason.as_str()), Some("transferred"));
    call.agent.hang_up().await;
    let left = |event| match event {
        RoomEvent::ParticipantLeft { participant, .. } => (participant.identity == "agent-AJ_1").then_some(()),
        _ => None,
    };
    colleague_events.find("the agent's leave", left).await;
    let present = call.api.list_participants("colleague").await.expect("the room is there");
    let mut present: Vec<&str> = present.iter().map(|participant| participant.identity.as_str()).collect();
    present.sort_unstable();
    assert_eq!(present, ["colleague", "listener", &format!("sip_{NUMBER}")], "caller and colleague go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_told_to_stands_aside_while_a_person_speaks() {
    let mut call = call("aside").await;
    call.agent.when_person_speaks(WhenPersonSpeaks::StandAside);
    let (_listener, _events) = join(&call.api.url().to_string(), "aside", "listener").await;
    let (person, _person_events) = join(&call.api.url().to_string(), "aside", "person").await;
    let _voice = tone::play(person.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
    assert!(matches!(event(&mut call.agent).await, TransportEvent::PersonCame));
    // The caller is heard as before.
    within("data", call.caller.data_connected()).await.unwrap();
    within("data", call.agent.room().data_connected()).await.unwrap();
    call.caller.send_dtmf('1').await.unwrap();
    assert!(matches!(event(&mut call.agent).await, TransportEvent::Dtmf('1')));
    person.leave(DisconnectReason::ClientInitiated).await;
    assert!(matches!(event(&mut call.agent).await, TransportEvent::PersonLeft), "whoever only listens does not count");

    // One who is there already when the agent comes, and stays when it goes.
    call.agent.leave().await;
    let (third, mut third_events) = join(&call.api.url().to_string(), "aside", "third").await;
    let _third_voice = tone::play(third.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
    let options = TransportOptions { when_person_speaks: WhenPersonSpeaks::StandAside, ..TransportOptions::default() };
    let mut next = LiveKitTransport::join(&job(&call.api, "aside"), call.api.clone(), options).await.expect("joins");
    assert!(matches!(event(&mut next).await, TransportEvent::PersonCame));
    next.hang_up().await;
    let left =
        |event| matches!(event, RoomEvent::ParticipantLeft { participant, .. } if participant.identity == "agent-AJ_1").then_some(());
    third_events.find("the agent's leave", left).await;
    let present = call.api.list_participants("aside").await.expect("the room is there");
    assert_eq!(present.len(), 3, "caller, person and listener go on: {present:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_room_without_a_telephone_everybody_may_speak() {
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    let (caller, _events) = join(&server.url(), "meeting", "first").await;
    let mut agent = LiveKitTransport::join(&job(&api, "meeting"), api.clone(), TransportOptions::default()).await.expect("joins");
    let (second, mut second_events) = join(&server.url(), "meeting", "second").await;
    let _voice = tone::play(second.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
    second_events.subscribed().await;
    within("data", caller.data_connected()).await.unwrap();
    within("data", agent.room().data_connected()).await.unwrap();
    caller.send_dtmf('2').await.unwrap();
    assert!(matches!(event(&mut agent).await, TransportEvent::Dtmf('2')), "the agent goes on");
    agent.hang_up().await;
}
