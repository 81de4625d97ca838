//! Depth call: a scenario as a telephone call over the wire. LiveKit server and bridge run once; each call has a worker, simulated
//! services and a database of its own.

mod plan;
mod seen;
mod stack;
mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use frontdesk_simulators::caller::{Caller, CallerEvent, CallerOptions, Habits, ObserverOptions, RoomObserver, RoomSight};
use frontdesk_simulators::providers::{ProviderSimulators, SimulatorOptions};
use frontdesk_simulators::voice::Voice;
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::EvalError;
use super::caller::FINISHED;
use super::clinic::{self, Clinic, Clinics};
use super::scenario::{Scenario, Step};
use super::stage::aftermath;
use super::trace::Trace;
use plan::Steps;
use seen::Seen;
use stack::{LANES_MAX, Lane, Stack};

/// Bound of a call.
const CALL_MAX: Duration = Duration::from_secs(900);
/// Events that may wait.
const EVENTS_MAX: usize = 256;
/// How long the room of a call is looked for.
const SEARCH_MAX: Duration = Duration::from_secs(30);

/// Numbers calls, so that each comes from a number of its own.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// Where calls are played.
pub(super) struct Wire {
    tenants: PathBuf,
    program: Option<PathBuf>,
    /// What runs; started by the first call. A failure is not tried again.
    stack: Mutex<Option<Result<Arc<Stack>, EvalError>>>,
    /// Lanes that are free: a call takes one.
    lanes: std::sync::Mutex<Vec<usize>>,
    permits: Semaphore,
    caller: Caller,
}

impl Wire {
    /// With the clinics of a folder, and two calls at once.
    pub(super) fn new(tenants: &Path) -> Self {
        Self {
            tenants: tenants.to_owned(),
            program: None,
            stack: Mutex::default(),
            lanes: std::sync::Mutex::new((0..LANES_MAX).collect()),
            permits: Semaphore::new(2),
            caller: Caller::new(Voice::caller()),
        }
    }

    pub(super) fn set_calls_at_once(&mut self, calls: usize) {
        self.permits = Semaphore::new(calls.clamp(1, LANES_MAX));
    }

    pub(super) fn set_program(&mut self, program: PathBuf) {
        self.program = Some(program);
    }

    /// Ends what was started.
    pub(super) async fn stop(&self) {
        if let Some(Ok(stack)) = self.stack.lock().await.take()
            && let Some(stack) = Arc::into_inner(stack)
        {
            stack.stop().await;
        }
    }

    async fn stack(&self) -> Result<Arc<Stack>, EvalError> {
        let mut stack = self.stack.lock().await;
        if let Some(stack) = &*stack {
            return stack.clone();
        }
        let started = Stack::start(&self.tenants, self.program.clone()).await.map(Arc::new);
        *stack = Some(started.clone());
        started
    }

    /// Plays a scenario, once there is room for it.
    pub(super) async fn play(&self, clinics: &Clinics, scenario: &Scenario) -> Result<Trace, EvalError> {
        let _permit = self.permits.acquire().await.map_err(|error| EvalError::Machine(error.to_string()))?;
        let stack = self.stack().await?;
        let taken = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let lane = taken.ok_or_else(|| EvalError::Machine("more calls than lanes".into()))?;
        let played = self.in_lane(&stack, lane, clinics, scenario).await;
        self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(lane);
        played
    }

    async fn in_lane(&self, stack: &Stack, lane: usize, clinics: &Clinics, scenario: &Scenario) -> Result<Trace, EvalError> {
        let clinic = clinics.of(scenario).await?;
        let played = self.with_clinic(stack, lane, &clinic, scenario).await;
        clinic.close().await;
        played
    }

    async fn with_clinic(&self, stack: &Stack, lane: usize, clinic: &Clinic, scenario: &Scenario) -> Result<Trace, EvalError> {
        for (number, taken) in scenario.taken.iter().enumerate().filter(|(_, taken)| taken.once_said.is_none()) {
            let booked = clinic::take((clinic.store.clone(), Arc::clone(&clinic.tenant)), taken.clone(), number);
            booked.await.map_err(EvalError::Scenario)?;
        }
        let options = SimulatorOptions { utterances: scenario.utterances().collect(), ..SimulatorOptions::default() };
        let simulators = ProviderSimulators::start(options).await.map_err(|error| EvalError::Machine(error.to_string()))?;
        let mut lane = stack.open(lane, scenario, clinic, &simulators).await?;
        let called = self.call(stack, &lane, clinic, scenario, &simulators).await;
        lane.close().await;
        simulators.stop().await;
        match called {
            Ok(trace) => aftermath(clinic, trace).await,
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        stack: &Stack,
        lane: &Lane,
        clinic: &Clinic,
        scenario: &Scenario,
        simulators: &ProviderSimulators,
    ) -> Result<Trace, EvalError> {
        let failed = |error: &dyn std::fmt::Display| EvalError::Machine(error.to_string());
        self.caller.rehearse(&scenario.utterances().collect::<Vec<_>>()).await.map_err(|error| failed(&error))?;
        let from = format!("+1555031{:04}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let seen = Seen::new();
        seen.lock().code.clone_from(&clinic.code);
        seen.lock().left = plan::first(&scenario.caller);
        let mut options = CallerOptions::new(stack.sip(), from.clone(), lane.number(), Steps::new(&scenario.caller, seen.clone()));
        options.hiss = scenario.noise;
        options.transfers = vec![scenario.transfer.sip_status()];
        // The steps say when he acts, and how long he waits.
        let habits =
            Habits { patience: FINISHED, overdue_after: CALL_MAX, silence_max: CALL_MAX, duration_max: CALL_MAX, ..Habits::default() };
        options.habits = habits;
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let watching = watch(Watched { seen: &seen, scenario, clinic, simulators }, stack.observer(from), events);
        let calling = async {
            let outcome = tokio::time::timeout(CALL_MAX, self.caller.call(options, told)).await;
            outcome.map_err(|_| failed(&"the call lasted longer than 15 minutes"))?.map_err(|error| failed(&error))
        };
        let (outcome, ()) = tokio::join!(calling, watching);
        let record = lane.record().await?;
        Ok(trace::of(scenario, &outcome?, &seen, record))
    }
}

/// Whose call is watched.
struct Watched<'a> {
    seen: &'a Seen,
    scenario: &'a Scenario,
    clinic: &'a Clinic,
    simulators: &'a ProviderSimulators,
}

/// Tells the caller what is to be seen and heard of his call, until it is over.
async fn watch(call: Watched<'_>, observer: ObserverOptions, mut events: mpsc::Receiver<CallerEvent>) {
    let looking = RoomObserver::watch(&observer);
    tokio::pin!(looking);
    let mut room: Option<(RoomObserver, mpsc::Receiver<RoomSight>)> = None;
    let mut is_looking = true;
    let mut rivals: Vec<_> = call.scenario.taken.iter().enumerate().filter(|(_, taken)| taken.once_said.is_some()).collect();
    loop {
        tokio::select! {
            found = &mut looking, if is_looking => {
                is_looking = false;
                match found {
                    Ok(found) => room = Some(found),
                    Err(error) => {
                        call.seen.lock().trouble.get_or_insert(format!("the room cannot be seen: {error}"));
                    }
                }
            }
            sight = next(&mut room), if room.is_some() => {
                let Some(sight) = sight else {
                    room = None;
                    continue;
                };
                let is_new_code = call.seen.lock().sight(sight);
                if is_new_code {
                    learn_code(&call).await;
                }
                let is_due = |text: &Option<String>| text.as_ref().is_some_and(|text| call.seen.lock().has_heard(text));
                if let Some(at) = rivals.iter().position(|(_, taken)| is_due(&taken.once_said)) {
                    let (number, taken) = rivals.remove(at);
                    let parts = (call.clinic.store.clone(), Arc::clone(&call.clinic.tenant));
                    if let Err(error) = clinic::take(parts, taken.clone(), number).await {
                        tracing::warn!(error, "nobody else could book");
                    }
                }
            }
            event = events.recv() => match event {
                Some(CallerEvent::Ended(_)) | None => return,
                Some(event) => call.seen.lock().event(&event),
            }
        }
    }
}

async fn next(room: &mut Option<(RoomObserver, mpsc::Receiver<RoomSight>)>) -> Option<RoomSight> {
    match room {
        Some((_, sights)) => sights.recv().await,
        None => std::future::pending().await,
    }
}

/// Teaches the recogniser what the caller will say of a code that he has just been told.
async fn learn_code(call: &Watched<'_>) {
    let code = call.seen.lock().code.clone().unwrap_or_default();
    let texts = call.scenario.caller.iter().filter_map(|step| step.say.as_ref()).filter(|text| text.contains("{code}"));
    let pieces = texts.flat_map(|text| Step::pieces(&text.replace("{code}", &code))).map(|(piece, _)| piece);
    let pieces: Vec<String> = pieces.filter(|piece| !piece.is_empty()).collect();
    if let Err(error) = call.simulators.learn(pieces).await {
        call.seen.lock().trouble.get_or_insert(format!("the caller cannot speak: {error}"));
    }
}
