//! Two participants in a room of a real LiveKit server.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::room::{
    DisconnectReason, EndReason, OutgoingData, ParticipantKind, PublishError, RPC_PAYLOAD_BYTES_MAX, RoomEvent, RpcError,
};
use support::server::Server;
use support::{Events, eventually, join, join_sip, tone, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_arrives_continuous_and_in_pitch_both_ways() {
    let server = Server::start().await;
    let (alice, mut alice_events) = join(&server.url(), "tone", "alice").await;
    let (bob, mut bob_events) = join(&server.url(), "tone", "bob").await;
    let alice_out = within("publishing", alice.publish_audio(SampleRate::HZ_24000)).await.unwrap();
    let bob_out = within("publishing", bob.publish_audio(SampleRate::HZ_8000)).await.unwrap();
    assert!(matches!(alice.publish_audio(SampleRate::HZ_24000).await, Err(PublishError::AlreadyPublished)));
    let (_a, _b) = (tone::play(alice_out, 440.0), tone::play(bob_out, 600.0));
    let listen = async |events: &mut Events, from: &str, hz: f64| {
        let mut audio = events.audio().await;
        assert_eq!(audio.participant_identity(), from);
        assert!(audio.track_sid().starts_with("TR_"), "{}", audio.track_sid());
        let _warm_up = tone::record(&mut audio, Duration::from_millis(300)).await;
        let heard = tone::record(&mut audio, Duration::from_secs(2)).await;
        let pitch = tone::pitch(&heard, audio.rate());
        assert!((pitch - hz).abs() < 5.0, "{from}: {pitch} Hz instead of {hz}");
        assert_eq!(tone::silent_pieces(&heard, audio.rate()), 0, "{from}: gaps");
        assert_eq!((audio.lost_packets(), audio.dropped_frames()), (0, 0));
    };
    tokio::join!(listen(&mut alice_events, "bob", 600.0), listen(&mut bob_events, "alice", 440.0));
    alice_events.subscribed().await;
    bob_events.subscribed().await;
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_texts_digits_and_attributes() {
    let server = Server::start().await;
    let attributes = [("sip.phoneNumber", "+15550100"), ("sip.callStatus", "active")];
    let (caller, mut caller_events) = join_sip(&server.url(), "data", "sip_+15550100", &attributes).await;
    let (agent, mut agent_events) = join(&server.url(), "data", "agent").await;
    let known = agent.participants();
    assert_eq!((known.len(), known[0].kind), (1, ParticipantKind::Sip));
    assert_eq!(known[0].attribute("sip.phoneNumber"), Some("+15550100"));

    caller.data_connected().await.unwrap();
    agent.data_connected().await.unwrap();
    for reliable in [true, false] {
        let data = OutgoingData { payload: b"hello".to_vec().into(), topic: "t".into(), reliable, destinations: vec![] };
        caller.send_data(data).await.unwrap();
        let data = agent_events.find("data", |e| if let RoomEvent::Data(data) = e { Some(data) } else { None }).await;
        assert_eq!((&data.payload[..], data.topic.as_str(), data.reliable), (&b"hello"[..], "t", reliable));
        assert_eq!(data.sender, "sip_+15550100");
    }
    let text = "Good morning, ".repeat(3000);
    let stream_attributes = BTreeMap::from([("lk.transcription_final".to_string(), "true".to_string())]);
    agent.send_text("lk.transcription", &stream_attributes, &text).await.unwrap();
    let got = caller_events.find("a text", |e| if let RoomEvent::Text(text) = e { Some(text) } else { None }).await;
    assert_eq!((got.text, got.topic.as_str(), got.sender.as_str()), (text, "lk.transcription", "agent"));
    assert_eq!(got.attributes, stream_attributes);

    for digit in ['5', '#', 'd'] {
        caller.send_dtmf(digit).await.unwrap();
        let got = agent_events.find("a digit", |e| if let RoomEvent::Dtmf(dtmf) = e { Some(dtmf.digit) } else { None }).await;
        assert_eq!(got, digit.to_ascii_uppercase());
    }
    assert!(caller.send_dtmf('x').await.is_err());
    assert!(agent.send_data(OutgoingData { payload: vec![0; 20_000].into(), ..OutgoingData::default() }).await.is_err());

    let state = BTreeMap::from([("lk.agent.state".to_string(), "listening".to_string())]);
    agent.set_attributes(state).await.unwrap();
    // Whoever neither publishes nor has attributes is not shown to others, so the first state may come with the agent.
    let seen = |event| match event {
        RoomEvent::ParticipantUpdated(p) | RoomEvent::ParticipantJoined(p) => p.attribute("lk.agent.state").map(str::to_owned),
        _ => None,
    };
    assert_eq!(caller_events.find("the agent's state", seen).await, "listening");
    agent.set_attributes(BTreeMap::from([("lk.agent.state".into(), "thinking".into())])).await.unwrap();
    assert_eq!(caller_events.find("the agent's state", seen).await, "thinking");
    assert_eq!(agent.local_participant().attribute("lk.agent.state"), Some("thinking"));
    caller.leave(DisconnectReason::ClientInitiated).await;
    let (who, reason) = agent_events
        .find("the caller to leave", |event| match event {
            RoomEvent::ParticipantLeft { participant, reason } => Some((participant, reason)),
            _ => None,
        })
        .await;
    assert_eq!((who.identity.as_str(), reason), ("sip_+15550100", DisconnectReason::ClientInitiated));
    assert_eq!(who.attribute("sip.phoneNumber"), Some("+15550100"));
    agent.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_speaker_is_heard_after_the_first_has_left() {
    let server = Server::start().await;
    let (listener, mut events) = join(&server.url(), "relay", "listener").await;
    for (speaker, hz) in [("first", 500.0), ("second", 700.0), ("third", 900.0)] {
        let (room, _events) = join(&server.url(), "relay", speaker).await;
        let playing = tone::play(room.publish_audio(SampleRate::HZ_16000).await.unwrap(), hz);
        let mut audio = events.audio().await;
        assert_eq!(audio.participant_identity(), speaker);
        let _warm_up = tone::record(&mut audio, Duration::from_millis(300)).await;
        let heard = tone::record(&mut audio, Duration::from_millis(500)).await;
        let pitch = tone::pitch(&heard, audio.rate());
        assert!((pitch - hz).abs() < 10.0, "{speaker}: {pitch} Hz instead of {hz}");
        drop(playing);
        room.leave(DisconnectReason::ClientInitiated).await;
        within("the track to end", async { while audio.recv().await.is_some() {} }).await;
    }
    listener.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_filled_with_silence_in_real_time() {
    let server = Server::start().await;
    let mut options = support::options(&server.url(), "pause", "listener");
    options.fill_silence_after = Some(Duration::from_millis(80));
    let (_listener, mut events) = support::connect(options).await;
    let (speaker, _events) = join(&server.url(), "pause", "speaker").await;
    let mut out = speaker.publish_audio(SampleRate::HZ_16000).await.unwrap();
    let mut audio = events.audio().await;
    let mut ticker = tone::ticker();
    for pause_ms in [0, 1000] {
        let began = tokio::time::Instant::now();
        let silence = tone::record(&mut audio, Duration::from_millis(pause_ms)).await;
        assert!(tone::silent_pieces(&silence, audio.rate()) * 10 >= pause_ms as usize * 9 / 10);
        assert!(began.elapsed() >= Duration::from_millis(pause_ms / 2), "silence came faster than time passes");
        for _ in 0..25 {
            ticker.tick().await;
            out.write(&tone::sine(500.0, SampleRate::HZ_16000)).unwrap();
        }
        let heard = tone::record(&mut audio, Duration::from_millis(480)).await;
        assert!(tone::silent_pieces(&heard, audio.rate()) < 40, "the speech after the pause is heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_ends_it() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (_alice, mut alice_events) = join(&server.url(), "over", "alice").await;
    let (bob, mut bob_events) = join(&server.url(), "over", "bob").await;
    let names: Vec<String> = api.list_participants("over").await.unwrap().into_iter().map(|p| p.identity).collect();
    assert_eq!(names.len(), 2);
    let (_another, mut another_events) = join(&server.url(), "over", "alice").await;
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    let reason = alice_events.find("the other alice", ended).await;
    assert_eq!(reason, EndReason::Server(DisconnectReason::DuplicateIdentity));
    api.remove_participant("over", "alice").await.unwrap();
    let reason = another_events.find("the removal", ended).await;
    assert_eq!(reason, EndReason::Server(DisconnectReason::ParticipantRemoved));
    api.delete_room("over").await.unwrap();
    assert_eq!(bob_events.find("the end", ended).await, EndReason::Server(DisconnectReason::RoomDeleted));
    assert!(bob_events.receiver.recv().await.is_none());
    assert!(bob.send_dtmf('1').await.is_err() && bob.publish_audio(SampleRate::HZ_16000).await.is_err());
    assert_eq!(bob.end_reason(), Some(EndReason::Server(DisconnectReason::RoomDeleted)));
    bob.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving_leaves_no_task() {
    let server = Server::start().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..20 {
        let name = format!("round-{round}");
        let (alice, mut alice_events) = join(&server.url(), &name, "alice").await;
        let (bob, _bob_events) = join(&server.url(), &name, "bob").await;
        let playing = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
        let mut audio = alice_events.audio().await;
        let _some = tone::record(&mut audio, Duration::from_millis(40)).await;
        drop(playing);
        match round % 3 {
            0 => {
                alice.leave(DisconnectReason::ClientInitiated).await;
                bob.leave(DisconnectReason::ClientInitiated).await;
            }
            1 => drop((alice, bob)),
            _ => support::api(&server.url()).delete_room(&name).await.unwrap(),
        }
    }
    eventually("all tasks to end", async || tasks() <= before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_are_called_and_answered() {
    let server = Server::start().await;
    let (alice, _alice_events) = join(&server.url(), "rpc", "alice").await;
    let (bob, mut bob_events) = join(&server.url(), "rpc", "bob").await;
    let code = |outcome: Result<String, RpcError>| outcome.expect_err("an error").code;
    let wait = Duration::from_secs(15);
    assert_eq!(code(alice.perform_rpc("nobody", "greet", "", wait).await), RpcError::RECIPIENT_NOT_FOUND);
    let large = "x".repeat(RPC_PAYLOAD_BYTES_MAX + 1);
    assert_eq!(code(alice.perform_rpc("bob", "greet", &large, wait).await), RpcError::REQUEST_PAYLOAD_TOO_LARGE);
    // What is sent before is lost to the other side.
    within("data", async { tokio::try_join!(alice.data_connected(), bob.data_connected()) }).await.unwrap();
    eventually("both are known", async || !alice.participants().is_empty()).await;
    let answering = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let request =
                bob_events.find("a call of a method", |event| if let RoomEvent::Rpc(request) = event { Some(request) } else { None });
            let request = request.await;
            let outcome = match request.method.as_str() {
                "greet" => Ok(format!("hello {} from {}", request.payload, request.caller)),
                "fail" => Err(RpcError { code: 42, message: "no".into(), data: "{}".into() }),
                _ => Err(RpcError::of(RpcError::UNSUPPORTED_METHOD)),
            };
            bob.answer_rpc(&request, outcome).await.unwrap();
            seen.push((request.method, request.response_timeout));
        }
        (bob, seen)
    });
    assert_eq!(alice.perform_rpc("bob", "greet", "Ann", wait).await, Ok("hello Ann from alice".to_owned()));
    let failed = alice.perform_rpc("bob", "fail", "", wait).await;
    assert_eq!(failed, Err(RpcError { code: 42, message: "no".into(), data: "{}".into() }));
    assert_eq!(code(alice.perform_rpc("bob", "other", "", wait).await), RpcError::UNSUPPORTED_METHOD);
    let (bob, seen) = answering.await.unwrap();
    assert_eq!(seen.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>(), ["greet", "fail", "other"]);
    assert!(seen.iter().all(|(_, timeout)| *timeout == wait));
    // Nobody answers any more: who is asked leaves.
    let asking = async { code(alice.perform_rpc("bob", "greet", "", Duration::from_secs(60)).await) };
    let (told, ()) = tokio::join!(asking, bob.leave(DisconnectReason::ClientInitiated));
    assert!([RpcError::RECIPIENT_DISCONNECTED, RpcError::RECIPIENT_NOT_FOUND].contains(&told), "{told}");
}
