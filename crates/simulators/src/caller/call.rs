//! A call from INVITE to BYE: the sockets around the caller.

use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_audio::pace::Ticker;
use frontdesk_telephony::rtp::PortError;
use frontdesk_telephony::sdp::{self, LocalMedia, RemoteMedia};
use frontdesk_telephony::sip::{Dialog, DialogEvent, EndReason, Endpoint, EndpointConfig, OutgoingEvent, OutgoingInvite};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ear::{Ear, EarEvent};
use super::leg::Leg;
use super::manners::Manners;
use super::mouth::{Mouth, Utterance};
use super::noise::Noise;
use super::options::{CallEnd, CallOutcome, CallerError, CallerEvent, CallerOptions, Recording, SpokenTurn, Stretch};
use super::plan::Act;
use super::stream::Stream;
use super::trunk::Trunk;
use crate::voice::{Speaker, Voice, VoiceError};

/// How long hanging up may take.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// Ticks sent at once after a stall, as a network does that held packets back; beyond it they are left out.
const CATCH_UP_MAX: u32 = 10;
/// Amplitude of a noise, full scale being 32,767.
const NOISE_AMPLITUDE: i16 = 2_500;
/// Stretches of the agent that are kept: an hour of talk.
const AGENT_SPOKE_MAX: usize = 4_096;

/// Places calls in one voice. Clones share what was rendered before.
#[derive(Debug, Clone)]
pub struct Caller {
    speaker: Arc<Speaker>,
}

impl Caller {
    /// A caller with this voice; the recogniser's simulator knows [`Voice::caller`].
    #[must_use]
    pub fn new(voice: Voice) -> Self {
        Self { speaker: Arc::new(Speaker::new(voice)) }
    }

    /// Renders what will be said, so that no pause of a call waits for the voice.
    ///
    /// # Errors
    /// [`CallerError::Voice`].
    pub async fn rehearse(&self, texts: &[String]) -> Result<(), CallerError> {
        for text in texts {
            self.speaker.render_async(text, SampleRate::HZ_8000).await?;
        }
        Ok(())
    }

    /// Places a call and carries it to its end. `events` is never waited for: what does not fit is not told.
    ///
    /// # Errors
    /// [`CallerError`] when it is not answered, or the caller finds no voice.
    pub async fn call(&self, options: CallerOptions, events: mpsc::Sender<CallerEvent>) -> Result<CallOutcome, CallerError> {
        let local = local_address(options.target)?;
        let mut config = EndpointConfig::new(SocketAddr::new(local, 0));
        config.takes_refer = !options.transfers.is_empty();
        let (endpoint, _incoming) = Endpoint::bind(config).await?;
        let outcome = self.call_through(&endpoint, local, options, &events).await;
        endpoint.shutdown(HANG_UP_TIMEOUT).await;
        outcome
    }

    async fn call_through(
        &self,
        endpoint: &Endpoint,
        local: IpAddr,
        options: CallerOptions,
        events: &mpsc::Sender<CallerEvent>,
    ) -> Result<CallOutcome, CallerError> {
        let socket = UdpSocket::bind((local, 0)).await.map_err(PortError::Bind)?;
        let address = socket.local_addr().map_err(PortError::Bind)?;
        let media = LocalMedia { codecs: vec![options.codec], ..LocalMedia::new(address) };
        let began = Instant::now();
        let (dialog, remote) = ring(endpoint, &media, &options, began, events).await?;
        let answered_after = began.elapsed();
        tell(events, CallerEvent::Answered { after: answered_after });
        // A peer that holds from the start is listened to all the same.
        let target = remote.address.unwrap_or(options.target);
        let line = Line { socket, target, dialog, agent_words: options.agent_words };
        let manners = Manners::new(options.plan, options.habits, line.agent_words.is_some());
        let live = Live {
            answered: Instant::now(),
            leg: Leg::new(&remote),
            ear: Ear::new(options.habits.patience),
            mouth: Mouth::default(),
            noise: Noise::default(),
            hiss: options.hiss,
            trunk: Trunk::new(options.transfers),
            manners,
            stream: Stream::new(options.habits.duration_max + HANG_UP_TIMEOUT),
            speaker: Arc::clone(&self.speaker),
            rendering: None,
            act: None,
            sent: Vec::new(),
            greeted_after: None,
            awaits_answer: false,
            turns: Vec::new(),
            agent_spoke: Vec::new(),
            events: events.clone(),
        };
        live.carry(line, answered_after).await
    }
}

/// The address of this machine from which the target is reached. Nothing is sent for it.
fn local_address(target: SocketAddr) -> Result<IpAddr, CallerError> {
    let unspecified: IpAddr = if target.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let find = || {
        let socket = StdUdpSocket::bind((unspecified, 0))?;
        socket.connect(target)?;
        Ok(socket.local_addr()?.ip())
    };
    find().map_err(|source| CallerError::Route { target, source })
}

/// INVITE, and what it is answered.
async fn ring(
    endpoint: &Endpoint,
    media: &LocalMedia,
    options: &CallerOptions,
    began: Instant,
    events: &mpsc::Sender<CallerEvent>,
) -> Result<(Dialog, RemoteMedia), CallerError> {
    let invite = OutgoingInvite {
        target: options.target,
        transport: options.transport,
        to: format!("sip:{}@{}", options.to_number, options.target),
        from: format!("<sip:{}@{}>", options.from_number, media.address),
        headers: Vec::new(),
        session: sdp::offer(media),
        ring_max: options.habits.ring_max,
    };
    let mut outgoing = endpoint.invite(invite).await?;
    loop {
        match outgoing.next().await {
            OutgoingEvent::Progress { status: 180, .. } => tell(events, CallerEvent::Ringing { after: began.elapsed() }),
            OutgoingEvent::Progress { .. } => {}
            OutgoingEvent::Answered { dialog, session } => {
                let session = session.ok_or(sdp::AnswerError::Mismatch)?;
                return Ok((dialog, sdp::accept_answer(media, &session)?));
            }
            OutgoingEvent::Ended(EndReason::Rejected { status, reason }) => return Err(CallerError::Refused { status, reason }),
            OutgoingEvent::Ended(reason) => return Err(CallerError::Unanswered(reason)),
        }
    }
}

fn tell(events: &mpsc::Sender<CallerEvent>, event: CallerEvent) {
    // Whoever watches too slowly, or not any more, misses it.
    let _untold = events.try_send(event);
}

/// What connects the caller with the world.
struct Line {
    socket: UdpSocket,
    target: SocketAddr,
    dialog: Dialog,
    agent_words: Option<mpsc::Receiver<String>>,
}

type Rendering = JoinHandle<Result<Arc<Vec<i16>>, VoiceError>>;

/// A call that was answered.
struct Live {
    answered: Instant,
    leg: Leg,
    ear: Ear,
    mouth: Mouth,
    noise: Noise,
    /// Amplitude of the hiss behind his voice.
    hiss: i16,
    manners: Manners,
    stream: Stream,
    speaker: Arc<Speaker>,
    rendering: Option<Rendering>,
    /// What the mouth is about, and when it began.
    act: Option<(Act, Duration)>,
    sent: Vec<i16>,
    greeted_after: Option<Duration>,
    /// The agent has not answered the last turn yet.
    awaits_answer: bool,
    turns: Vec<SpokenTurn>,
    agent_spoke: Vec<Stretch>,
    trunk: Trunk,
    events: mpsc::Sender<CallerEvent>,
}

impl Live {
    async fn carry(mut self, line: Line, answered_after: Duration) -> Result<CallOutcome, CallerError> {
        let Line { socket, target, mut dialog, mut agent_words } = line;
        let mut ticker = Ticker::new();
        let mut buffer = [0; 2048];
        let remote_end = loop {
            tokio::select! {
                biased;
                missed = ticker.tick() => {
                    for _ in 0..=missed.min(CATCH_UP_MAX) {
                        let packet = self.send();
                        // A full socket buffer loses the packet, as the network may; a closed port is told by silence.
                        let _lost = socket.try_send_to(&packet, target);
                    }
                    if self.decide()? {
                        break None;
                    }
                }
                received = socket.recv_from(&mut buffer) => {
                    if let Ok((length, _)) = received {
                        self.receive(&buffer[..length]);
                    }
                }
                event = dialog.next_event() => {
                    // A re-INVITE is answered with the session in use when it is dropped.
                    match event {
                        DialogEvent::Ended(reason) => break Some(reason),
                        DialogEvent::Refer { target, id } => {
                            let transferred = self.trunk.transfer(&dialog, target, id).await;
                            tell(&self.events, transferred);
                        }
                        _ => {}
                    }
                }
                words = next_words(&mut agent_words) => self.manners.agent_said(&words),
                clip = rendered(&mut self.rendering) => self.speak(&clip?),
            }
        };
        let duration = self.answered.elapsed();
        let end = match remote_end {
            None => {
                // The call ends all the same if the peer does not answer the BYE in time.
                let _late = tokio::time::timeout(HANG_UP_TIMEOUT, dialog.hangup()).await;
                CallEnd::Caller
            }
            Some(EndReason::RemoteHangup) => CallEnd::Agent,
            Some(reason) => CallEnd::Lost(reason),
        };
        tell(&self.events, CallerEvent::Ended(end.clone()));
        let (agent, stream) = self.stream.finish();
        let recording = Recording { caller: self.sent, agent };
        let (greeted_after, turns, agent_spoke) = (self.greeted_after, self.turns, self.agent_spoke);
        let transfers = self.trunk.into_asked();
        Ok(CallOutcome { answered_after, greeted_after, duration, end, turns, agent_spoke, transfers, recording, stream })
    }

    /// The packet of the next 20 ms.
    fn send(&mut self) -> Vec<u8> {
        let now = self.answered.elapsed();
        let mut tick = self.mouth.tick();
        if let (Utterance::Audio(samples), true) = (&mut tick.content, self.hiss > 0) {
            self.noise.add(samples.as_mut_slice(), self.hiss);
        }
        match &tick.content {
            Utterance::Audio(samples) => self.sent.extend_from_slice(samples.as_slice()),
            Utterance::Key { .. } => self.sent.extend([0; frontdesk_telephony::rtp::FRAME_SAMPLES]),
        }
        if let Some(end) = tick.ended {
            self.act_ended(now + end);
        }
        self.leg.packet(&tick.content)
    }

    fn act_ended(&mut self, last_sound: Duration) {
        self.manners.act_ended(last_sound);
        let Some((act, began)) = self.act.take() else {
            return;
        };
        match &act {
            Act::Say(text) => tell(&self.events, CallerEvent::Spoke { text: text.clone() }),
            Act::Press(keys) => tell(&self.events, CallerEvent::Pressed { keys: keys.clone() }),
            Act::Noise(_) => tell(&self.events, CallerEvent::Spoke { text: String::new() }),
            Act::Listen | Act::HangUp => {}
        }
        let is_overlapped = self.ear.is_sounding(last_sound);
        self.awaits_answer = !is_overlapped;
        self.turns.push(SpokenTurn { act, began, last_sound, gap: None, is_overlapped });
    }

    fn receive(&mut self, bytes: &[u8]) {
        let now = self.answered.elapsed();
        let Some(read) = self.leg.read(bytes) else {
            self.stream.foreign();
            return;
        };
        if let Some((header, samples)) = read {
            self.stream.take(now, &header, &samples);
            if let Some(EarEvent::Began { at }) = self.ear.hear(now, &samples) {
                self.agent_began(at);
            }
            if let (Some(stretch), Some(last_sound)) = (self.agent_spoke.last_mut(), self.ear.last_sound()) {
                stretch.last_sound = stretch.last_sound.max(last_sound);
            }
        }
    }

    fn agent_began(&mut self, at: Duration) {
        self.manners.agent_began(at);
        self.greeted_after.get_or_insert(at);
        if self.agent_spoke.len() < AGENT_SPOKE_MAX {
            self.agent_spoke.push(Stretch { began: at, last_sound: at });
        }
        let mut gap = None;
        if self.awaits_answer && self.act.is_none() {
            self.awaits_answer = false;
            if let Some(turn) = self.turns.last_mut() {
                gap = at.checked_sub(turn.last_sound);
                turn.gap = gap;
            }
        }
        tell(&self.events, CallerEvent::AgentBegan { gap });
    }

    /// Does what is due. Whether the caller hangs up.
    fn decide(&mut self) -> Result<bool, CallerError> {
        let now = self.answered.elapsed();
        if let Some(EarEvent::Finished { last_sound }) = self.ear.tick(now) {
            self.manners.agent_finished(now, last_sound);
            tell(&self.events, CallerEvent::AgentFinished);
        }
        match self.manners.next(now) {
            None | Some(Act::Listen) => {}
            Some(Act::HangUp) => return Ok(true),
            Some(Act::Press(keys)) => {
                if self.mouth.press(&keys) {
                    self.act = Some((Act::Press(keys), now));
                } else {
                    self.manners.act_ended(now);
                }
            }
            Some(Act::Noise(length)) => {
                let mut clip = vec![0; SampleRate::HZ_8000.samples_in(length)];
                self.noise.add(&mut clip, NOISE_AMPLITUDE);
                if self.mouth.say(&clip) {
                    self.act = Some((Act::Noise(length), now));
                } else {
                    self.manners.act_ended(now);
                }
            }
            Some(Act::Say(text)) => {
                let speaker = Arc::clone(&self.speaker);
                let to_render = text.clone();
                self.rendering = Some(tokio::spawn(async move { speaker.render_async(&to_render, SampleRate::HZ_8000).await }));
                self.act = Some((Act::Say(text), now));
            }
        }
        Ok(false)
    }

    /// The text's sound is there.
    fn speak(&mut self, clip: &[i16]) {
        let now = self.answered.elapsed();
        if !self.mouth.say(clip) {
            self.act_ended(now);
            return;
        }
        if let Some((Act::Say(text), began)) = &mut self.act {
            *began = now;
            tell(&self.events, CallerEvent::Speaking { text: text.clone() });
        }
    }
}

/// The agent's next words; never, once nobody tells them any more. Cancel-safe.
async fn next_words(agent_words: &mut Option<mpsc::Receiver<String>>) -> String {
    if let Some(words) = agent_words {
        if let Some(words) = words.recv().await {
            return words;
        }
        *agent_words = None;
    }
    std::future::pending().await
}

/// The clip that is being rendered; never, if there is none. Cancel-safe.
async fn rendered(rendering: &mut Option<Rendering>) -> Result<Arc<Vec<i16>>, VoiceError> {
    let Some(task) = rendering else {
        return std::future::pending().await;
    };
    let clip = task.await;
    *rendering = None;
    clip.unwrap_or_else(|error| Err(VoiceError::Failed(error.to_string())))
}
