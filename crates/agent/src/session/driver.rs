//! The loop that drives a conversation: one event at a time becomes inputs, and the commands that follow are carried out at once.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_conversation::{
    CallSummary, CallTime, Command, CommitOutcome, ConfirmationId, Conversation, EndReason, Input, ReplyId, SaidLine, ToolCallId,
};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::options::{Fallback, SessionLimits};
use super::speakers::Speakers;
use super::watchdog::{Heart, beat_interval};
use crate::background::Thinking;
use crate::hearing::clock::SampleClock;
use crate::hearing::pieces::Pieces;
use crate::hearing::questions::TurnQuestions;
use crate::hearing::{Heard, HearingOrder};
use crate::helpers::Tasks;
use crate::incidents::Incidents;
use crate::line::{LineOrder, LineReport};
use crate::model::{Model, ModelReport};
use crate::numbers::LatencyTargets;
use crate::observe::{ToolPhase, Watch};
use crate::playout::{Playout, PlayoutEvent};
use crate::recording::CallerTap;
use crate::speech::{SpeechOrder, SpeechReport};
use crate::storage::Storage;
use crate::store::CallStore;
use crate::tools::{ToolReport, Tools};
use crate::vad::{VoiceActivity, VoiceEvent};

/// A conversation whose deadline does not move is asked no more often than this.
const TICK_MIN: Duration = Duration::from_millis(1);

/// Without audio from the transport for this long, silence is heard, so that detector and recogniser see speech end.
const DRY_AFTER: Duration = Duration::from_millis(200);

/// Commands that one input may cause; beyond that the conversation is taken for broken.
const COMMANDS_MAX: usize = 10_000;

/// What a driver is given.
pub(super) struct Parts {
    pub(super) limits: SessionLimits,
    pub(super) targets: LatencyTargets,
    pub(super) playout: Playout,
    pub(super) hearing: mpsc::Sender<HearingOrder>,
    pub(super) speech: mpsc::Sender<SpeechOrder>,
    /// Dropped to hang up.
    pub(super) line: Option<mpsc::Sender<LineOrder>>,
    /// Told what the agent does, for the sound beneath its speech.
    pub(super) thinking: Thinking,
    pub(super) model: Model,
    pub(super) tools: Tools,
    /// Who has the call.
    pub(super) speakers: Speakers,
    /// Cancelled when the call is over, for tools that wait for the caller.
    pub(super) over: CancellationToken,
    pub(super) storage: Storage,
    /// Where the call is kept, if it is.
    pub(super) store: Option<Arc<dyn CallStore>>,
    pub(super) watch: Watch,
    pub(super) incidents: Incidents,
    pub(super) vad: Box<dyn VoiceActivity>,
    pub(super) turn: TurnQuestions,
    pub(super) caller_tap: Option<CallerTap>,
    pub(super) tasks: Tasks,
    /// Played when the synthesiser or the conversation is gone.
    pub(super) fallback: Option<Fallback>,
    /// Rate of all audio that is sent.
    pub(super) rate: SampleRate,
    /// Ends the helper tasks.
    pub(super) helpers: CancellationToken,
    /// Shows that this task goes on.
    pub(super) heart: Heart,
    /// Fires when the call is to end soon, and politely.
    pub(super) hurry: CancellationToken,
    /// Fires when another worker has the call.
    pub(super) lost: CancellationToken,
}

/// Where reports of helper tasks come in.
pub(super) struct Reports {
    pub(super) line: mpsc::Receiver<LineReport>,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) spoken: mpsc::Receiver<SpeechReport>,
    pub(super) model: mpsc::Receiver<ModelReport>,
    pub(super) tools: mpsc::Receiver<ToolReport>,
}

/// A tool that runs.
pub(super) struct RunningTool {
    pub(super) name: String,
    pub(super) phase: ToolPhase,
    pub(super) since: Instant,
}

/// One call in progress.
pub(super) struct Driver {
    pub(super) machine: Conversation,
    /// `CallTime::ZERO`.
    pub(super) epoch: Instant,
    pub(super) parts: Parts,
    pub(super) reports: Reports,
    pub(super) samples: SampleClock,
    /// Inputs that commands gave rise to.
    pub(super) inputs: VecDeque<Input>,
    pub(super) running: HashMap<ToolCallId, RunningTool>,
    /// The turn that is being answered: what is asked and done for it lies within.
    pub(super) turn_span: Option<Span>,
    pub(super) commits: HashMap<ConfirmationId, ToolCallId>,
    /// Results of commits that came when the summary was made already.
    pub(super) late: Vec<(ConfirmationId, CommitOutcome)>,
    pub(super) summary: Option<Box<CallSummary>>,
    pub(super) caller_gone: bool,
    /// The line's task reports nothing more.
    pub(super) line_closed: bool,
    /// The last utterance that was settled could not be spoken.
    pub(super) mute: bool,
    /// The line of the cached apology, once it was played.
    pub(super) apology: Option<SaidLine>,
    pub(super) last_audio: Instant,
    /// Audio that the recogniser has not been given.
    pub(super) unheard: Pieces,
    last_tick: Option<Instant>,
    /// How long it took until the call was answered, until the caller is greeted.
    pub(super) answered_after: Option<Duration>,
    /// Whether the conversation was told to end soon.
    hurried: bool,
    /// When to hang up, once the conversation said so.
    pub(super) hang_up_at: Option<Instant>,
    /// When the conversation must have ended, once it was told to, and why.
    pub(super) end_by: Option<(Instant, EndReason)>,
}

enum Event {
    Lost,
    Stop,
    Hurry,
    Timer,
    Line(Option<LineReport>),
    Voice(VoiceEvent),
    TurnAnswer(CallTime, Option<f32>),
    Playout(PlayoutEvent),
    Heard(Heard),
    Spoken(SpeechReport),
    Model(ModelReport),
    Tool(ToolReport),
    TaskEnded(bool),
}

impl Driver {
    /// `answered_after`: how long it took until a call that begins was answered.
    pub(super) fn new(machine: Conversation, epoch: Instant, answered_after: Option<Duration>, parts: Parts, reports: Reports) -> Self {
        Self {
            machine,
            epoch,
            parts,
            reports,
            samples: SampleClock::default(),
            inputs: VecDeque::new(),
            running: HashMap::new(),
            turn_span: None,
            commits: HashMap::new(),
            late: Vec::new(),
            summary: None,
            caller_gone: false,
            line_closed: false,
            mute: false,
            apology: None,
            // Of a call that was taken over, the epoch is long past.
            last_audio: Instant::now(),
            unheard: Pieces::default(),
            last_tick: None,
            answered_after,
            hurried: false,
            hang_up_at: None,
            end_by: None,
        }
    }

    /// Runs until the conversation gave its summary, or was given up; then ends everything that belongs to the call.
    pub(super) async fn run(mut self, held: Vec<Command>, stop: CancellationToken) -> CallSummary {
        let driven = AssertUnwindSafe(self.drive(held, stop)).catch_unwind().await;
        if driven.is_err() {
            tracing::error!("the conversation panicked; the call ends");
            self.parts.incidents.note("conversation: panicked");
            self.parts.playout.flush(ReplyId(u32::MAX));
            self.abandon(EndReason::Failed);
            self.hang_up_at = Some(self.apologise() + self.parts.limits.drain);
        }
        self.close().await
    }

    pub(super) fn now(&self) -> CallTime {
        CallTime::ZERO + self.epoch.elapsed()
    }

    async fn drive(&mut self, held: Vec<Command>, stop: CancellationToken) {
        for command in held {
            self.execute(command);
        }
        self.settle();
        let _beating = self.parts.heart.begin();
        while self.summary.is_none() {
            self.parts.heart.beat();
            let wake = self.wake_at();
            let (stopping, hurried) = (self.end_by.is_some(), self.hurried);
            let event = tokio::select! {
                biased;
                () = self.parts.lost.cancelled() => Event::Lost,
                () = stop.cancelled(), if !stopping => Event::Stop,
                () = self.parts.hurry.cancelled(), if !hurried => Event::Hurry,
                () = sleep_until(wake) => Event::Timer,
                event = self.reports.line.recv(), if !self.line_closed => Event::Line(event),
                event = self.parts.vad.next_event() => Event::Voice(event),
                (last_speech, probability) = self.parts.turn.next_answer() => Event::TurnAnswer(last_speech, probability),
                event = self.parts.playout.next_event() => Event::Playout(event),
                Some(report) = self.reports.tools.recv() => Event::Tool(report),
                Some(report) = self.reports.spoken.recv() => Event::Spoken(report),
                Some(report) = self.reports.heard.recv() => Event::Heard(report),
                Some(report) = self.reports.model.recv() => Event::Model(report),
                Some(ended) = self.parts.tasks.ended() => Event::TaskEnded(ended.is_err_and(|error| error.is_panic())),
            };
            if !self.take(event) {
                return;
            }
            self.settle();
        }
    }

    /// Turns an event into inputs; `false` when the conversation is given up.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Lost => {
                self.lose();
                return false;
            }
            Event::Stop => self.end(Input::Stop, EndReason::Stopped),
            Event::Hurry => {
                tracing::info!("the call is to end soon");
                self.hurried = true;
                self.inputs.push_back(Input::WindDown);
            }
            Event::Timer => return self.timer(),
            Event::Line(event) => self.on_line(event),
            Event::Voice(event) => self.on_voice(event),
            Event::TurnAnswer(last_speech, probability) => self.on_turn_answer(last_speech, probability),
            Event::Playout(event) => self.on_playout(event),
            Event::Heard(report) => self.on_heard(report),
            Event::Spoken(report) => self.on_spoken(report),
            Event::Model(report) => self.on_model(report),
            Event::Tool(report) => self.on_tool(report),
            Event::TaskEnded(panicked) => {
                if panicked {
                    tracing::error!("a helper task panicked");
                    self.parts.incidents.note("session: a helper task panicked");
                }
            }
        }
        true
    }

    /// Tells the conversation that the call ends; it must give its summary within the bound.
    pub(super) fn end(&mut self, input: Input, reason: EndReason) {
        let by = Instant::now() + self.parts.limits.end;
        self.end_by.get_or_insert((by, reason));
        self.inputs.push_back(input);
    }

    /// Hands all waiting inputs to the conversation and carries out its commands.
    fn settle(&mut self) {
        let mut commands = 0;
        loop {
            while let Some(command) = self.machine.poll() {
                self.execute(command);
                commands += 1;
                if commands == COMMANDS_MAX {
                    tracing::error!("the conversation gives commands without end");
                    self.parts.incidents.note("conversation: commands without end");
                    return;
                }
            }
            let Some(input) = self.inputs.pop_front() else { return };
            self.machine.handle(self.now(), input);
        }
    }

    /// Takes from a conversation that cannot go on what it knows of the call, unless it gave its summary already.
    pub(super) fn abandon(&mut self, reason: EndReason) {
        if self.summary.is_some() {
            return;
        }
        let now = self.now();
        // It may be the conversation itself that is broken: then there is no more to be had of it.
        let known = std::panic::catch_unwind(AssertUnwindSafe(|| self.machine.abandon(now, reason)));
        self.summary = known.ok().map(Box::new);
    }

    fn wake_at(&self) -> Instant {
        let tick = self.machine.deadline().map(|deadline| {
            let at = self.epoch + deadline.since(CallTime::ZERO);
            self.last_tick.map_or(at, |last| at.max(last + TICK_MIN))
        });
        let dry = (!self.caller_gone).then(|| self.last_audio + DRY_AFTER);
        let ends = self.end_by.map(|(by, _)| by);
        let wake = [tick, dry, ends, self.hang_up_at].into_iter().flatten().min();
        // However little happens, the watchdog must see that this task goes on.
        let beat = Instant::now() + beat_interval(&self.parts.limits);
        wake.map_or(beat, |wake| wake.min(beat))
    }

    fn timer(&mut self) -> bool {
        let now = Instant::now();
        if let Some((by, _)) = self.end_by
            && now >= by
        {
            tracing::error!("the conversation did not end in time");
            self.parts.incidents.note("conversation: did not end in time");
            return false;
        }
        if self.hang_up_at.is_some_and(|at| now >= at) {
            self.hang_up();
        }
        if !self.caller_gone && now >= self.last_audio + DRY_AFTER {
            self.hear_silence(now);
        }
        let due = self.machine.deadline().is_some_and(|deadline| self.epoch + deadline.since(CallTime::ZERO) <= now);
        if due {
            self.last_tick = Some(now);
            self.inputs.push_back(Input::Tick);
        }
        true
    }

    /// Another worker has the call: nothing more is said, and the caller stays in the room.
    fn lose(&mut self) {
        self.parts.playout.flush(ReplyId(u32::MAX));
        self.parts.playout.pause();
        self.parts.model.cancel_all();
        self.hang_up_at = None;
        // The line's task leaves instead of hanging up.
        self.parts.line = None;
        self.abandon(EndReason::TakenOver);
    }

    /// Hangs up by ending the line's task.
    pub(super) fn hang_up(&mut self) {
        self.hang_up_at = None;
        self.parts.line = None;
        let by = Instant::now() + self.parts.limits.end;
        self.end_by.get_or_insert((by, EndReason::Completed));
    }
}
