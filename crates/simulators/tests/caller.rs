//! The simulated caller against a desk in this process: SIP and RTP over real sockets, espeak-ng on both ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::pace::Ticker;
use frontdesk_audio::{SampleRate, g711};
use frontdesk_simulators::caller::{
    Act, CallEnd, CallOutcome, Caller, CallerError, CallerEvent, CallerOptions, Cue, Line, Reactive, Scripted,
};
use frontdesk_simulators::voice::{Speaker, Voice};
use frontdesk_telephony::rtp::packet::{self, Header};
use frontdesk_telephony::sdp::{self, LocalMedia};
use frontdesk_telephony::sip::{Dialog, DialogEvent, Endpoint, EndpointConfig, IncomingCalls, Refusal, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Longer than anything that succeeds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Amplitude that no coded silence reaches.
const LOUD: u16 = 500;
/// How long the caller must be silent before the desk answers.
const DESK_PATIENCE: Duration = Duration::from_millis(400);

/// What the desk saw.
#[derive(Default)]
struct Seen {
    /// Between the caller's last sound and the desk's next first sound, as packets came and went here.
    gaps: Vec<Duration>,
    /// All audio that came, in the order of its packets.
    heard: Vec<i16>,
    /// All audio that was sent.
    sent: Vec<i16>,
    keys: String,
    /// The timestamp of the last key that was counted.
    key_at: Option<u32>,
    caller_hung_up: bool,
}

/// Answers one call with these clips: the first at once, each further one after the caller has spoken; then hangs up when
/// the caller has spoken once more.
async fn desk(mut calls: IncomingCalls, clips: Vec<Arc<Vec<i16>>>) -> Seen {
    let mut call = calls.next().await.expect("a call");
    call.ringing().await.expect("rings");
    let socket = UdpSocket::bind(LOCAL).await.expect("a socket");
    let media = LocalMedia::new(socket.local_addr().expect("an address"));
    let agreed = sdp::answer(call.invite().offer.as_ref().expect("an offer"), &media).expect("a common codec");
    let target = agreed.remote.address.expect("an address");
    let dialog = call.answer(agreed.session).await.expect("answered");
    Desk { socket, target, dialog, clips, seen: Seen::default(), header: first_header(), playing: Vec::new() }.serve().await
}

fn first_header() -> Header {
    Header { payload_type: 0, marker: false, seq: u16::MAX - 3, timestamp: u32::MAX - 999, ssrc: 9 }
}

struct Desk {
    socket: UdpSocket,
    target: SocketAddr,
    dialog: Dialog,
    clips: Vec<Arc<Vec<i16>>>,
    seen: Seen,
    header: Header,
    playing: Vec<i16>,
}

impl Desk {
    async fn serve(mut self) -> Seen {
        let (mut ticker, mut buffer) = (Ticker::new(), [0; 2048]);
        let mut last_sound: Option<Instant> = None;
        let mut next_clip = 0;
        loop {
            tokio::select! {
                _ = ticker.tick() => {
                    let is_turn = next_clip == 0 || last_sound.is_some_and(|last| last.elapsed() >= DESK_PATIENCE);
                    if is_turn && self.playing.is_empty() {
                        let Some(clip) = self.clips.get(next_clip) else {
                            self.dialog.hangup().await;
                            return self.seen;
                        };
                        self.playing = clip.to_vec();
                        next_clip += 1;
                    }
                    let began = self.send();
                    if let (Some(offset), Some(last)) = (began, last_sound) {
                        self.seen.gaps.push(Instant::now() + offset - last);
                        last_sound = None;
                    }
                }
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, _) = received.expect("a packet");
                    last_sound = self.receive(&buffer[..length]).or(last_sound);
                }
                event = self.dialog.next_event() => if let DialogEvent::Ended(_) = event {
                    self.seen.caller_hung_up = true;
                    return self.seen;
                }
            }
        }
    }

    /// Sends 20 ms; returns where in them the first sound stands.
    fn send(&mut self) -> Option<Duration> {
        let mut samples: Vec<i16> = self.playing.drain(..self.playing.len().min(160)).collect();
        samples.resize(160, 0);
        self.seen.sent.extend(&samples);
        let bytes = packet::write(&self.header, &g711::encode_ulaw(&samples));
        self.socket.try_send_to(&bytes, self.target).expect("sent");
        self.header.seq = self.header.seq.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        let first = samples.iter().position(|sample| sample.unsigned_abs() > LOUD)?;
        Some(SampleRate::HZ_8000.duration(first))
    }

    /// Takes a packet; returns when its last sound was.
    fn receive(&mut self, bytes: &[u8]) -> Option<Instant> {
        let (header, payload) = packet::parse(bytes).expect("RTP");
        if header.payload_type != 0 {
            // Three copies of the end, all with the timestamp of its begin, make one key (RFC 4733 §2.5.1.4).
            if payload[1] & 0x80 != 0 && self.seen.key_at.replace(header.timestamp) != Some(header.timestamp) {
                self.seen.keys.push(char::from(b'0' + payload[0]));
            }
            return None;
        }
        let samples = g711::decode_ulaw(payload);
        let last = samples.iter().rposition(|sample| sample.unsigned_abs() > LOUD);
        self.seen.heard.extend(samples);
        Some(Instant::now() + SampleRate::HZ_8000.duration(last?))
    }
}

async fn clips(texts: &[&str]) -> Vec<Arc<Vec<i16>>> {
    let speaker = Arc::new(Speaker::new(Voice::agent()));
    let mut clips = Vec::new();
    for text in texts {
        clips.push(speaker.render_async(text, SampleRate::HZ_8000).await.expect("espeak-ng is installed"));
    }
    clips
}

/// A call with a desk that says these texts.
async fn call(texts: &[&str], configure: impl FnOnce(&mut CallerOptions)) -> (CallOutcome, Seen, Vec<CallerEvent>) {
    let clips = clips(texts).await;
    let (endpoint, calls) = Endpoint::bind(EndpointConfig::new(LOCAL)).await.expect("an endpoint");
    let desk = tokio::spawn(desk(calls, clips));
    let mut options = CallerOptions::new(endpoint.local_addr(), "+15550001111", "+15550100", Scripted::silent());
    configure(&mut options);
    let (events, mut receiver) = mpsc::channel(256);
    let outcome = tokio::time::timeout(PATIENCE, Caller::new(Voice::caller()).call(options, events)).await;
    let outcome = outcome.expect("the call ends").expect("the call is answered");
    let seen = tokio::time::timeout(PATIENCE, desk).await.expect("the desk ends").expect("without a panic");
    let mut told = Vec::new();
    while let Some(event) = receiver.recv().await {
        told.push(event);
    }
    (outcome, seen, told)
}

/// The part of a recording in which there is sound.
fn sounding(samples: &[i16]) -> &[i16] {
    let first = samples.iter().position(|sample| sample.unsigned_abs() > LOUD).unwrap_or(0);
    let last = samples.iter().rposition(|sample| sample.unsigned_abs() > LOUD).unwrap_or(0);
    &samples[first..=last]
}

#[tokio::test]
async fn a_conversation_is_polite_and_its_gaps_are_true() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let texts = ["Good day. How can I help you?", "At what time?", "Thank you. Goodbye."];
        let (outcome, seen, told) = call(&texts, |options| {
            options.transport = transport;
            options.plan = Box::new(Scripted::saying(["I want an appointment.", "At nine, please.", "Goodbye."]));
        })
        .await;
        assert_eq!(outcome.end, CallEnd::Agent);
        assert_eq!(outcome.turns.len(), 3);
        let gaps: Vec<Duration> = outcome.gaps().collect();
        assert_eq!((gaps.len(), seen.gaps.len()), (2, 2), "{:?}", outcome.turns);
        assert!(gaps.iter().all(|gap| *gap >= DESK_PATIENCE), "{gaps:?}");
        // A machine under load delays packets, so that only the least of the differences tells of the measuring.
        let errors = || gaps.iter().zip(&seen.gaps).map(|(measured, true_gap)| measured.abs_diff(*true_gap));
        assert!(errors().min() < Some(Duration::from_millis(30)), "{gaps:?} {:?}", seen.gaps);
        assert!(errors().max() < Some(Duration::from_millis(300)), "{gaps:?} {:?}", seen.gaps);
        assert!(outcome.median_gap().is_some_and(|median| gaps.contains(&median)));
        assert!(outcome.greeted_after.is_some_and(|after| after < Duration::from_secs(2)));
        for turn in outcome.turns.windows(2) {
            let answered = turn[0].last_sound + turn[0].gap.expect("answered");
            assert!(turn[1].began > answered + Duration::from_millis(800), "he waited until the agent had finished: {turn:?}");
        }
        let decoded = |samples: &[i16]| g711::decode_ulaw(&g711::encode_ulaw(samples));
        // What was sent while the farewell was on its way, nobody listened to.
        let said = decoded(&outcome.recording.caller);
        assert!(said.starts_with(&seen.heard), "what he recorded of himself is what came out");
        assert!(said.len() < seen.heard.len() + 8000, "{} {}", said.len(), seen.heard.len());
        assert!(sounding(&outcome.recording.agent) == sounding(&decoded(&seen.sent)), "and of the agent what was sent");
        let report = outcome.stream;
        assert_eq!((report.lost, report.repeated, report.reordered, report.leaps, report.foreign), (0, 0, 0, 0, 0), "{report:?}");
        let spoken: Vec<&str> = told
            .iter()
            .filter_map(|event| match event {
                CallerEvent::Spoke { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(spoken, ["I want an appointment.", "At nine, please.", "Goodbye."]);
        assert!(matches!(told[..2], [CallerEvent::Ringing { .. }, CallerEvent::Answered { .. }]), "{told:?}");
        assert_eq!(told.last(), Some(&CallerEvent::Ended(CallEnd::Agent)));
    }
}

#[tokio::test]
async fn a_rude_caller_barges_in_presses_keys_and_hangs_up() {
    let long = "Our office is open from Monday to Friday, from nine in the morning to five in the afternoon, but not on holidays.";
    let barge_in = Duration::from_millis(900);
    let (outcome, seen, _) = call(&[long, "Please enter your number.", "Thank you very much indeed, one moment please."], |options| {
        let press = frontdesk_simulators::caller::Line { cue: Cue::AgentFinished, act: Act::Press("42".into()) };
        let pause = Duration::from_millis(250);
        options.plan = Box::new(Scripted::new([Line::barge_in(barge_in, "Stop, please."), press, Line::hang_up_after(pause)]));
    })
    .await;
    assert_eq!(outcome.end, CallEnd::Caller);
    assert!(seen.caller_hung_up);
    assert_eq!(seen.keys, "42");
    let greeted = outcome.greeted_after.expect("a greeting");
    let first = &outcome.turns[0];
    let after = first.began - greeted;
    assert!(after >= barge_in && after < barge_in + Duration::from_millis(500), "{after:?}");
    assert!(first.is_overlapped && first.gap.is_none(), "{first:?}");
    let since = outcome.duration - outcome.turns[1].last_sound;
    assert!(since >= Duration::from_millis(250) && since < Duration::from_millis(600), "{since:?}");
}

#[tokio::test]
async fn rules_answer_the_words_that_are_told() {
    let (words, agent_words) = mpsc::channel(8);
    for text in ["Good day.", "That time is taken. Ten o'clock is free."] {
        words.try_send(text.to_owned()).expect("room");
    }
    let (outcome, _, _) = call(&["Good day. That time is taken. Ten o'clock is free."], |options| {
        options.plan = Box::new(Reactive::new().when(&["eleven"], "Then eleven.").when(&["ten o'clock"], "Then ten, please."));
        options.agent_words = Some(agent_words);
    })
    .await;
    assert_eq!(outcome.turns.len(), 1);
    assert_eq!(outcome.turns[0].act, Act::Say("Then ten, please.".into()));
}

#[tokio::test]
async fn refusals_are_told_with_their_status() {
    let (endpoint, mut calls) = Endpoint::bind(EndpointConfig::new(LOCAL)).await.expect("an endpoint");
    let refusing = tokio::spawn(async move { calls.next().await.expect("a call").reject(Refusal::new(404)).await });
    let options = CallerOptions::new(endpoint.local_addr(), "+15550001111", "+15550199", Scripted::silent());
    assert!(!format!("{options:?}").contains("5550"));
    let (events, _told) = mpsc::channel(8);
    let refused = Caller::new(Voice::caller()).call(options, events).await;
    assert!(matches!(refused, Err(CallerError::Refused { status: 404, .. })), "{refused:?}");
    refusing.await.expect("no panic").expect("refused");
}

#[tokio::test]
async fn a_recording_is_written_as_stereo() {
    let (outcome, _, _) = call(&["Good day.", "Goodbye."], |options| options.plan = Box::new(Scripted::saying(["Hello.", "Bye."]))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.wav");
    outcome.recording.write(&path).expect("written");
    let mixed = frontdesk_audio::wav::read_mono(&path).expect("readable");
    assert_eq!(mixed.samples.len(), outcome.recording.caller.len().max(outcome.recording.agent.len()));
}
