//! A worker without LiveKit: calls of a clinic on lines within the process, so that what is measured is the agent's own part.
//!
//! It is a process of its own, which [`super::run`] starts and watches. It says when it idles and when all calls are under way, and
//! writes what its callers measured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use frontdesk::config::{self, Sources};
use frontdesk::eval::{CALLER_RATE, CallerEnd, line};
use frontdesk::reception::{Desk, Reception};
use frontdesk_clinic::Tenant;
use frontdesk_livekit::Credentials;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::caller::{Outcome, SOUND, millis};
use super::{GREETED_WITHIN, IDLE, SETTLE};
use crate::common::Failure;
use crate::common::pretend::SENTENCES;

/// Said when the worker idles.
pub(super) const READY: &str = "density: the worker idles";
/// Said when all callers are about to speak.
pub(super) const TALKING: &str = "density: all calls are under way";
/// Nothing is there that listens: no room is ever joined.
const NO_LIVEKIT: &str = "ws://127.0.0.1:9";
/// Between two calls' beginnings. No processes have to start; and whoever calls first is not to wait so long for the last that the agent
/// takes him for gone.
const STAGGER: Duration = Duration::from_millis(80);
/// How often a caller who waits for the greeting looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an agent may take to be heard at all.
const AGENT_WITHIN: Duration = Duration::from_secs(40);

/// What to play.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The clinic that is called.
    #[arg(long)]
    pub(super) clinic: String,
    /// Calls at once.
    #[arg(long)]
    pub(super) calls: u16,
    /// Sentences of a call.
    #[arg(long)]
    pub(super) turns: usize,
    /// From a sentence's last sound to the next one's first.
    #[arg(long)]
    pub(super) answer_window_ms: u64,
    /// Where what was measured goes, as JSON.
    #[arg(long)]
    pub(super) out: PathBuf,
}

/// What callers say, as samples that end with their last sound.
struct Script {
    sentences: Vec<Vec<i16>>,
    turns: usize,
    window: Duration,
}

impl Script {
    fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let sentences = super::caller::rendered(&SENTENCES[..super::SENTENCES_SAID], CALLER_RATE)?.into_iter().map(|mut samples| {
            let last = samples.iter().rposition(|sample| sample.unsigned_abs() >= SOUND).unwrap_or_default();
            samples.truncate(last + 1);
            samples
        });
        Ok(Self { sentences: sentences.collect(), turns: arguments.turns, window: Duration::from_millis(arguments.answer_window_ms) })
    }
}

/// Idles, plays the calls, writes what was measured.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = config::load(&Sources::of_process(None, Vec::new())).map_err(Failure::new)?;
    let keys = Arc::new(frontdesk::keys::load(&config.security).await.map_err(Failure::new)?);
    let reception = Arc::new(Reception::open(&config, keys, "bench").map_err(Failure::new)?);
    reception.check_database().await.map_err(Failure::new)?;
    let desk = Arc::new(reception.desk(NO_LIVEKIT, Credentials::new("none", "none"), None).map_err(Failure::new)?);
    let tenant = reception.clinics().tenants.get(&arguments.clinic).cloned();
    let tenant = tenant.ok_or_else(|| Failure::new(format!("{}: no such clinic", arguments.clinic)))?;
    let script = Arc::new(Script::new(arguments)?);
    let leased = CancellationToken::new();
    let leasing = tokio::spawn({
        let (desk, leased) = (Arc::clone(&desk), leased.clone());
        async move { desk.run_leases(leased).await }
    });
    println!("{READY}");
    sleep(SETTLE + IDLE).await;
    let outcomes = calls(arguments, &desk, &tenant, &script).await;
    leased.cancel();
    leasing.await.map_err(Failure::new)?;
    reception.close().await;
    let text = serde_json::to_string(&outcomes?).map_err(Failure::new)?;
    std::fs::write(&arguments.out, text).map_err(|error| Failure::new(format!("{}: {error}", arguments.out.display())))
}

async fn calls(arguments: &Arguments, desk: &Arc<Desk>, tenant: &Arc<Tenant>, script: &Arc<Script>) -> Result<Vec<Outcome>, Failure> {
    let start = Instant::now() + STAGGER * u32::from(arguments.calls) + GREETED_WITHIN;
    let mut running = Vec::new();
    for number in 0..usize::from(arguments.calls) {
        let (transport, end) = line(&format!("density-{number}-{}", std::process::id()));
        let (desk, tenant, script) = (Arc::clone(desk), Arc::clone(tenant), Arc::clone(script));
        running.push(tokio::spawn(async move {
            let call = desk.take(&tenant, Box::new(transport), CancellationToken::new());
            let (record, said) = tokio::join!(call, talk(&end, &script, number, start));
            record.map_or_else(|| Err(Failure::new(format!("call {number} was not taken"))), |_| said)
        }));
        sleep(STAGGER).await;
    }
    sleep_until(start).await;
    println!("{TALKING}");
    let mut outcomes = Vec::new();
    for call in running {
        outcomes.push(call.await.map_err(Failure::new)??);
    }
    Ok(outcomes)
}

/// Is greeted, waits for `start`, says its sentences, hangs up.
async fn talk(end: &CallerEnd, script: &Script, number: usize, start: Instant) -> Result<Outcome, Failure> {
    let joined = Instant::now();
    let mut outcome = Outcome::default();
    let greeted = tokio::time::timeout(AGENT_WITHIN, async {
        loop {
            match end.heard() {
                (_, Some(first)) => return first,
                _ => sleep(LOOK_EVERY).await,
            }
        }
    });
    let greeted = greeted.await.map_err(|_| Failure::new(format!("caller {number} heard no agent")));
    if let Ok(first) = &greeted {
        outcome.greeted_ms = millis(*first, joined);
        sleep_until(start).await;
        let _greeting = end.take_pace();
        for turn in 0..script.turns {
            let sentence = &script.sentences[(number + turn) % script.sentences.len()];
            end.say(sentence);
            sleep(CALLER_RATE.duration(sentence.len()) + script.window).await;
            match end.heard() {
                (Some(last), Some(first)) if first > last => outcome.answers.push(millis(first, last)),
                _ => outcome.unanswered += 1,
            }
        }
        let pace = end.take_pace();
        (outcome.packets, outcome.late) = (pace.frames, pace.late);
    }
    if !end.hang_up() {
        return Err(Failure::new(format!("the agent had left caller {number} before he hung up")));
    }
    greeted.map(|_| outcome)
}
