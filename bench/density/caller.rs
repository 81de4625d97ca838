//! Light callers: participants of LiveKit rooms that send speech encoded beforehand and decode nothing, so that the machine is left to
//! the agents.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontdesk_audio::opus::Encoder;
use frontdesk_audio::{FRAME_MS, SampleRate};
use frontdesk_livekit::api::{AgentDispatch, LiveKit, ParticipantToken, RoomSettings, random_id};
use frontdesk_livekit::room::{AudioPublisher, DisconnectReason, EncodedPacket, ParticipantKind, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::voice::{Speaker, Voice};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::heard::Heard;
use crate::common::Failure;

/// What callers say and hear is sampled so.
const RATE: SampleRate = SampleRate::HZ_24000;
/// A sample at least so loud is sound.
pub(super) const SOUND: u16 = 500;
/// Frames of silence that the encoder is given before what counts, to settle.
const SETTLE_FRAMES: usize = 25;
/// How long an agent may take to be heard at all.
const AGENT_WITHIN: Duration = Duration::from_secs(40);
/// Seconds after which the server deletes a room that nobody came to.
const EMPTY_TIMEOUT_S: u32 = 20;

/// A sentence as packets of 20 ms.
#[derive(Debug, Clone)]
struct Sentence {
    packets: Vec<Bytes>,
    /// Packets up to the last that holds sound.
    sounding: usize,
}

/// What all callers say.
#[derive(Debug)]
pub(super) struct Script {
    sentences: Vec<Sentence>,
    silence: Bytes,
    /// Silence after each sentence.
    window: Duration,
    /// Sentences of a call.
    turns: usize,
}

impl Script {
    /// Renders and encodes the sentences.
    pub(super) fn new(sentences: &[&str], turns: usize, window: Duration) -> Result<Self, Failure> {
        let mut encoder = Encoder::new(RATE).map_err(Failure::new)?;
        let frame = RATE.samples_in_ms(FRAME_MS);
        let mut silence = Bytes::new();
        let mut encoded = Vec::new();
        for samples in rendered(sentences, RATE)? {
            for _ in 0..SETTLE_FRAMES {
                silence = encoder.encode(&vec![0; frame]).map_err(Failure::new)?.into();
            }
            let last = samples.iter().rposition(|sample| sample.unsigned_abs() >= SOUND).unwrap_or_default();
            let packets = samples.chunks(frame).map(|chunk| {
                let mut whole = chunk.to_vec();
                whole.resize(frame, 0);
                encoder.encode(&whole).map(Bytes::from)
            });
            let packets = packets.collect::<Result<_, _>>().map_err(Failure::new)?;
            encoded.push(Sentence { packets, sounding: last / frame + 1 });
        }
        Ok(Self { sentences: encoded, silence, window, turns })
    }

    /// From the first word to the end of the last window, at most.
    pub(super) fn lasts(&self) -> Duration {
        let longest = self.sentences.iter().map(|sentence| sentence.packets.len()).max().unwrap_or_default();
        (frames(longest) + self.window) * u32::try_from(self.turns).unwrap_or(u32::MAX)
    }
}

/// Sentences as the callers say them.
pub(super) fn rendered(sentences: &[&str], rate: SampleRate) -> Result<Vec<Vec<i16>>, Failure> {
    let speaker = Speaker::new(Voice::caller());
    sentences.iter().map(|text| speaker.render(text, rate).map(|samples| samples.to_vec()).map_err(Failure::new)).collect()
}

/// So many frames of 20 ms.
fn frames(count: usize) -> Duration {
    Duration::from_millis(u64::from(FRAME_MS)) * u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whom a call is for.
#[derive(Debug, Clone)]
pub(super) struct Dialled {
    pub(super) agent_name: String,
    /// The tenant, if the agent is ours.
    pub(super) clinic: String,
}

/// What a caller measured.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// From the last sound sent to the agent's first packet of speech, in milliseconds.
    pub(super) answers: Vec<u64>,
    /// Turns without an answer, or into which the agent spoke.
    pub(super) unanswered: usize,
    /// The agent's packets, and those that came more than 10 ms later than the soonest; of calls without LiveKit, its frames.
    pub(super) packets: u64,
    pub(super) late: u64,
    /// From the first packet dispatched to the agent's first sound.
    pub(super) greeted_ms: u64,
}

/// One call: joins, is greeted, waits for `start`, says its sentences, leaves.
pub(super) async fn call(
    api: Arc<LiveKit>,
    script: Arc<Script>,
    dialled: Dialled,
    number: usize,
    start: Instant,
) -> Result<Outcome, Failure> {
    let name = random_id("density_");
    let mut token = ParticipantToken::new(&name, format!("caller-{number}"));
    token.kind = ParticipantKind::Sip;
    token.attributes = [
        ("sip.callID", format!("SCL_{number}")),
        ("sip.callStatus", "active".to_owned()),
        ("sip.phoneNumber", format!("+1555014{number:04}")),
        ("frontdesk.tenant", dialled.clinic),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    token.room_settings = Some(RoomSettings {
        empty_timeout_s: EMPTY_TIMEOUT_S,
        departure_timeout_s: EMPTY_TIMEOUT_S,
        max_participants: 0,
        agents: vec![AgentDispatch::new(dialled.agent_name, "")],
    });
    let mut options = RoomOptions::new(api.url().to_string(), api.participant_token(&token).map_err(Failure::new)?);
    options.encoded_audio = true;
    let joined = Instant::now();
    let (room, events) = Room::connect(options).await.map_err(Failure::new)?;
    let done = talk(&room, events, &script, number, joined, start).await;
    room.leave(DisconnectReason::ClientInitiated).await;
    // It may be gone already: the agent deletes it too.
    let _gone = api.delete_room(&name).await;
    done
}

async fn talk(
    room: &Room,
    mut events: mpsc::Receiver<RoomEvent>,
    script: &Script,
    number: usize,
    joined: Instant,
    start: Instant,
) -> Result<Outcome, Failure> {
    let mut publisher = room.publish_audio(RATE).await.map_err(Failure::new)?;
    let (packets, mut heard) = mpsc::channel::<EncodedPacket>(1024);
    let listening = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let RoomEvent::EncodedTrack(mut track) = event {
                let packets = packets.clone();
                tokio::spawn(async move {
                    while let Some(packet) = track.recv().await {
                        if packets.send(packet).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    let said = say(&mut publisher, &mut heard, script, number, joined, start).await;
    listening.abort();
    said
}

/// Keeps its time whatever the agent does: a packet every 20 ms.
async fn say(
    publisher: &mut AudioPublisher,
    heard: &mut mpsc::Receiver<EncodedPacket>,
    script: &Script,
    number: usize,
    joined: Instant,
    start: Instant,
) -> Result<Outcome, Failure> {
    let mut clock = interval(frames(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut ear = Heard::default();
    let greeted = timeout(AGENT_WITHIN, async {
        loop {
            clock.tick().await;
            send(publisher, &script.silence)?;
            ear.take_all(heard);
            if let Some(first) = ear.first_speech() {
                return Ok::<_, Failure>(first);
            }
        }
    });
    let greeted = greeted.await.map_err(|_| Failure::new(format!("caller {number} heard no agent")))??;
    let mut outcome = Outcome { greeted_ms: millis(greeted, joined), ..Outcome::default() };
    while Instant::now() < start {
        clock.tick().await;
        send(publisher, &script.silence)?;
        ear.take_all(heard);
    }
    ear.begin();
    for turn in 0..script.turns {
        let sentence = &script.sentences[(number + turn) % script.sentences.len()];
        let (mut ended, mut spoken_into) = (Instant::now(), false);
        for (at, packet) in sentence.packets.iter().enumerate() {
            clock.tick().await;
            send(publisher, packet)?;
            ear.take_all(heard);
            if at + 1 == sentence.sounding {
                ended = Instant::now();
                spoken_into = ear.is_speaking();
                ear.forget_speech();
            }
        }
        let until = ended + script.window;
        while Instant::now() < until {
            clock.tick().await;
            send(publisher, &script.silence)?;
            ear.take_all(heard);
        }
        match ear.first_speech().filter(|_| !spoken_into) {
            Some(first) => outcome.answers.push(millis(first, ended)),
            None => outcome.unanswered += 1,
        }
        ear.forget_speech();
    }
    (outcome.packets, outcome.late) = ear.lateness();
    Ok(outcome)
}

pub(super) fn millis(later: Instant, earlier: Instant) -> u64 {
    u64::try_from(later.saturating_duration_since(earlier).as_millis()).unwrap_or(u64::MAX)
}

/// A packet that does not fit is one that the network lost; a room that ended is a failure.
fn send(publisher: &mut AudioPublisher, packet: &Bytes) -> Result<(), Failure> {
    use frontdesk_livekit::room::WriteError;
    match publisher.write_encoded(packet.clone()) {
        Err(error @ WriteError::Closed(_)) => Err(Failure::new(error)),
        _ => Ok(()),
    }
}
