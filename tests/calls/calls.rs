//! Calls, and how callers behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use frontdesk_simulators::caller::{
    Act, CallEnd, CallOutcome, CallerError, CallerEvent, CallerOptions, CallerPlan, Cue, Heard, ObserverOptions, Reactive, RoomObserver,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clinic;
use crate::desk::Desk;
use crate::people::{GOODBYE, Person, YES};

/// Longer than any single step of a call.
const STEP_MAX: Duration = Duration::from_secs(90);
/// Longer than any call.
const CALL_MAX: Duration = Duration::from_secs(240);
/// Events and words that may wait.
const QUEUE: usize = 256;
/// Later than every call's end.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Numbers calls, so that each comes from a number of its own.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A call under way.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The number that it comes from.
    pub(crate) from: String,
    task: JoinHandle<Result<CallOutcome, CallerError>>,
    events: mpsc::Receiver<CallerEvent>,
}

impl Placed {
    /// Waits for something to happen in the call.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&CallerEvent) -> bool) {
        let wait = async {
            while let Some(event) = self.events.recv().await {
                if fits(&event) {
                    return true;
                }
            }
            false
        };
        let happened = timeout(STEP_MAX, wait).await.unwrap_or_else(|_| panic!("{what}: nothing of the kind within {STEP_MAX:?}"));
        assert!(happened, "the call ended before this: {what}");
    }

    /// Waits until the agent has finished to speak.
    pub(crate) async fn until_agent_finished(&mut self) {
        self.until("the agent finishes", |event| *event == CallerEvent::AgentFinished).await;
    }

    /// Waits for the end.
    pub(crate) async fn outcome(self) -> CallOutcome {
        let outcome = timeout(CALL_MAX, self.task).await.expect("the call ends").expect("the caller does not panic");
        outcome.expect("the call is answered")
    }

    /// Waits for the end of a call that may be refused as well; then there is no outcome.
    pub(crate) async fn answered(self) -> Option<CallOutcome> {
        match timeout(CALL_MAX, self.task).await.expect("the call ends").expect("the caller does not panic") {
            Ok(outcome) => Some(outcome),
            Err(CallerError::Refused { .. }) => None,
            Err(error) => panic!("the call is answered or refused: {error:?}"),
        }
    }

    /// Waits until the call is refused; with which SIP status.
    pub(crate) async fn refused(self) -> u16 {
        let refused = timeout(CALL_MAX, self.task).await.expect("the call ends").expect("the caller does not panic");
        match refused {
            Err(CallerError::Refused { status, .. }) => status,
            other => panic!("the call is refused: {other:?}"),
        }
    }

    /// Waits for the end, which the agent brings.
    pub(crate) async fn hung_up_by_agent(self) -> CallOutcome {
        let outcome = self.outcome().await;
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}", outcome.turns);
        outcome
    }
}

impl Desk {
    /// Places a call by somebody who goes by the agent's words, as he would see them in the live transcript.
    pub(crate) fn place(&self, plan: impl CallerPlan + 'static) -> Placed {
        self.place_with(self.new_options(plan))
    }

    /// A call from a number of its own.
    pub(crate) fn new_options(&self, plan: impl CallerPlan + 'static) -> CallerOptions {
        // By its number a call's room is found, also among those of other tests.
        let from = format!("+1555020{:04}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.options(&from, plan)
    }

    /// A call from this number, which no other call has.
    pub(crate) fn options(&self, from: &str, plan: impl CallerPlan + 'static) -> CallerOptions {
        let mut options = CallerOptions::new(self.sip, from, clinic::NUMBER, plan);
        options.agent_words = Some(self.words(from.to_owned()));
        options
    }

    /// Places any call.
    pub(crate) fn place_with(&self, options: CallerOptions) -> Placed {
        let (told, events) = mpsc::channel(QUEUE);
        let (from, caller) = (options.from_number.clone(), self.shared.caller.clone());
        Placed { from, task: tokio::spawn(async move { caller.call(options, told).await }), events }
    }

    fn words(&self, caller_number: String) -> mpsc::Receiver<String> {
        let livekit = &self.shared.livekit;
        let options = ObserverOptions {
            url: livekit.url(),
            api_key: livekit.api_key().to_owned(),
            api_secret: livekit.api_secret().to_owned(),
            caller_number,
            search_max: Duration::from_secs(30),
        };
        let (words, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            // A call that ended before it was found needs no words.
            let Ok((_observer, sights)) = RoomObserver::watch(&options).await else { return };
            let (mut said, _sights) = RoomObserver::agent_words(sights);
            while let Some(text) = said.recv().await {
                if words.send(text).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

/// How a caller books: with this wish, and this choice if there is one.
pub(crate) fn booking(person: &Person, wish: &str, choice: &str) -> Reactive {
    let say = |text: &str| Act::Say(text.to_owned());
    Reactive::new()
        .rule(&["confirmation code is"], say(GOODBYE), 2)
        .rule(&["Shall I book that"], say(YES), 2)
        .rule(&["full name"], say(&person.introduction()), 2)
        .rule(&["area code"], say(&person.tells_number()), 2)
        .rule(&["rest of the number"], say(&person.tells_number()), 2)
        .rule(&["Which one would you like"], say(choice), 2)
        .rule(&["Would that suit you"], say(YES), 2)
        .rule(&["How can I help"], say(wish), 2)
        // The greeting may have been spoken before anybody could read it.
        .rule(&["still there"], say(wish), 2)
}

/// A caller who takes his leave as soon as he is greeted.
pub(crate) fn farewell() -> Reactive {
    let goodbye = || Act::Say(GOODBYE.to_owned());
    Reactive::new().rule(&["How can I help"], goodbye(), 2).rule(&["still there"], goodbye(), 2)
}

/// Hangs up at a moment that the test chooses; until then, what the inner plan says.
pub(crate) struct UntilTold<P> {
    pub(crate) inner: P,
    pub(crate) hang_up: Arc<AtomicBool>,
}

impl<P: CallerPlan> CallerPlan for UntilTold<P> {
    fn cue(&self) -> Cue {
        if self.hang_up.load(Ordering::Relaxed) { Cue::After(Duration::ZERO) } else { self.inner.cue() }
    }

    fn act(&mut self, heard: Heard<'_>) -> Act {
        if self.hang_up.load(Ordering::Relaxed) { Act::HangUp } else { self.inner.act(heard) }
    }
}

/// Callers who say one sentence at the same moment: whoever comes to it first waits for the others.
pub(crate) struct Together<P> {
    pub(crate) inner: P,
    /// The sentence.
    pub(crate) sentence: String,
    /// How many have come to it, of how many.
    pub(crate) arrived: Arc<AtomicU32>,
    pub(crate) awaited: u32,
    held: Option<Act>,
}

impl<P> Together<P> {
    pub(crate) fn new(inner: P, sentence: String, arrived: Arc<AtomicU32>, awaited: u32) -> Self {
        Self { inner, sentence, arrived, awaited, held: None }
    }

    fn all_are_there(&self) -> bool {
        self.arrived.load(Ordering::Relaxed) >= self.awaited
    }
}

impl<P: CallerPlan> CallerPlan for Together<P> {
    fn cue(&self) -> Cue {
        match &self.held {
            None => self.inner.cue(),
            Some(_) if self.all_are_there() => Cue::After(Duration::ZERO),
            Some(_) => Cue::After(NEVER),
        }
    }

    fn act(&mut self, heard: Heard<'_>) -> Act {
        if self.held.is_some() {
            return if self.all_are_there() { self.held.take().unwrap_or(Act::Listen) } else { Act::Listen };
        }
        let act = self.inner.act(heard);
        if act == Act::Say(self.sentence.clone()) && !self.all_are_there() {
            self.arrived.fetch_add(1, Ordering::Relaxed);
            self.held = Some(act);
            return Act::Listen;
        }
        act
    }
}
