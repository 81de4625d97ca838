//! What a caller is told, what he tells, and what came of his call.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_audio::wav::{StereoWriter, WavError};
use frontdesk_telephony::rtp::PortError;
use frontdesk_telephony::sdp::{AnswerError, Codec};
use frontdesk_telephony::sip::{BindError, EndReason, InviteError, Transport};
use tokio::sync::mpsc;

use super::plan::{Act, CallerPlan};
use super::stream::StreamReport;
use crate::voice::VoiceError;

/// How a caller behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Silence after which the agent is taken to have finished.
    pub patience: Duration,
    /// How long the agent's words are waited for after that, if somebody tells them.
    pub text_grace: Duration,
    /// Silence of everybody after which the plan is asked what to do about it, again and again.
    pub overdue_after: Duration,
    /// Silence of everybody after which the caller hangs up.
    pub silence_max: Duration,
    /// How long he lets it ring.
    pub ring_max: Duration,
    /// How long the call may last, from the answer.
    pub duration_max: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(800),
            text_grace: Duration::from_secs(1),
            overdue_after: Duration::from_secs(8),
            silence_max: Duration::from_secs(30),
            ring_max: Duration::from_secs(60),
            duration_max: Duration::from_secs(300),
        }
    }
}

/// A call to be placed. `Debug` shows no numbers.
pub struct CallerOptions {
    /// The bridge's SIP address.
    pub target: SocketAddr,
    /// How signalling travels.
    pub transport: Transport,
    /// The caller's number, `+15557654321`.
    pub from_number: String,
    /// The number that is dialled, `+15550100`.
    pub to_number: String,
    /// The only codec offered, besides telephone-event.
    pub codec: Codec,
    /// What the caller says and does.
    pub plan: Box<dyn CallerPlan>,
    /// The agent's words, from whoever can read them ([`super::RoomObserver`]).
    pub agent_words: Option<mpsc::Receiver<String>>,
    /// How he behaves.
    pub habits: Habits,
    /// Amplitude of a hiss behind his voice, full scale being 32,767.
    pub hiss: i16,
    /// What becomes of the transfers that are asked for (REFER), in order: the SIP status that the new call ends with. Asked
    /// once more, the last counts again; with none, REFER is refused with 405, as by a trunk that transfers nothing.
    pub transfers: Vec<u16>,
}

impl CallerOptions {
    /// A call over UDP with PCMU, by a caller who only listens.
    pub fn new(target: SocketAddr, from_number: impl Into<String>, to_number: impl Into<String>, plan: impl CallerPlan + 'static) -> Self {
        Self {
            target,
            transport: Transport::Udp,
            from_number: from_number.into(),
            to_number: to_number.into(),
            codec: Codec::Pcmu,
            plan: Box::new(plan),
            agent_words: None,
            habits: Habits::default(),
            hiss: 0,
            transfers: Vec::new(),
        }
    }
}

impl fmt::Debug for CallerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerOptions").field("target", &self.target).field("habits", &self.habits).finish_non_exhaustive()
    }
}

/// Something that happens in a call, told as it happens. `Debug` shows the texts: they are the simulation's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerEvent {
    /// It rings (180).
    Ringing {
        /// Since the INVITE.
        after: Duration,
    },
    /// It was answered (200).
    Answered {
        /// Since the INVITE.
        after: Duration,
    },
    /// The agent was heard after silence.
    AgentBegan {
        /// Since the caller's last sound, if this is the agent's answer to it.
        gap: Option<Duration>,
    },
    /// The agent has been silent for as long as the caller's patience lasts.
    AgentFinished,
    /// The caller begins to say this.
    Speaking {
        /// The text.
        text: String,
    },
    /// The caller has said this, or made a noise.
    Spoke {
        /// The text; empty for a noise.
        text: String,
    },
    /// The caller has pressed these keys.
    Pressed {
        /// The keys.
        keys: String,
    },
    /// The call was to be transferred to this URI, and has been as [`CallerOptions::transfers`] says.
    Transferred {
        /// The `Refer-To`.
        target: String,
        /// The SIP status.
        status: u16,
    },
    /// The call is over.
    Ended(CallEnd),
}

/// Who ended a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// The caller, as the plan says or because his patience ended.
    Caller,
    /// The other side sent BYE.
    Agent,
    /// Neither: the connection was lost.
    Lost(EndReason),
}

/// An act of the caller that could be heard. Times are counted from the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenTurn {
    /// What he did.
    pub act: Act,
    /// His first sound.
    pub began: Duration,
    /// His last sound.
    pub last_sound: Duration,
    /// From his last sound to the agent's first. `None` if nothing came before the caller's next act, or the agent was still
    /// speaking.
    pub gap: Option<Duration>,
    /// The agent spoke when the caller fell silent.
    pub is_overlapped: bool,
}

/// A stretch of the agent's sound; silence shorter than a quarter of a second does not end it. Times are counted from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first sound.
    pub began: Duration,
    /// Its last sound.
    pub last_sound: Duration,
}

/// Both directions of a call at 8 kHz; sample 0 is the moment of the answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// What the caller sent.
    pub caller: Vec<i16>,
    /// What came in, placed by the RTP timestamps; zero where no packet came.
    pub agent: Vec<i16>,
}

impl Recording {
    /// Writes it as WAV: the caller left, the agent right.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), WavError> {
        let length = self.caller.len().max(self.agent.len());
        let padded = |samples: &[i16]| samples.iter().copied().chain(std::iter::repeat(0)).take(length).collect::<Vec<i16>>();
        let mut writer = StereoWriter::create(path, SampleRate::HZ_8000)?;
        writer.write(&padded(&self.caller), &padded(&self.agent))?;
        writer.finalize()
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("caller", &self.caller.len()).field("agent", &self.agent.len()).finish()
    }
}

/// What came of a call that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// INVITE to 200.
    pub answered_after: Duration,
    /// From the 200 to the agent's first sound.
    pub greeted_after: Option<Duration>,
    /// From the 200 to the end.
    pub duration: Duration,
    /// Who ended it.
    pub end: CallEnd,
    /// What the caller did, in order.
    pub turns: Vec<SpokenTurn>,
    /// When the agent was heard, in order.
    pub agent_spoke: Vec<Stretch>,
    /// Where the call was to be transferred to, each `Refer-To` as it came, in order.
    pub transfers: Vec<String>,
    /// Both directions.
    pub recording: Recording,
    /// How the agent's stream came in.
    pub stream: StreamReport,
}

impl CallOutcome {
    /// The gaps of all turns that have one, in order.
    pub fn gaps(&self) -> impl Iterator<Item = Duration> + '_ {
        self.turns.iter().filter_map(|turn| turn.gap)
    }

    /// The median gap; the longer of the two in the middle.
    #[must_use]
    pub fn median_gap(&self) -> Option<Duration> {
        let mut gaps: Vec<Duration> = self.gaps().collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }
}

/// Why a call was not answered, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallerError {
    /// No address of this machine leads to the target.
    #[error("no way to {target}: {source}")]
    Route {
        /// The target.
        target: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// No SIP endpoint.
    #[error("no endpoint for the caller: {0}")]
    Bind(#[from] BindError),
    /// No socket for the voice.
    #[error("no socket for the caller's voice: {0}")]
    Media(#[from] PortError),
    /// The call could not be placed.
    #[error("the call could not be placed: {0}")]
    Invite(#[from] InviteError),
    /// It was refused.
    #[error("the call was refused: {status} {reason}")]
    Refused {
        /// The SIP status.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// It was not answered.
    #[error("the call was not answered: {0:?}")]
    Unanswered(EndReason),
    /// The answer holds no session, or another one than was offered.
    #[error("the answer cannot be used: {0}")]
    Session(#[from] AnswerError),
    /// The caller cannot speak.
    #[error("the caller cannot speak: {0}")]
    Voice(#[from] VoiceError),
}
