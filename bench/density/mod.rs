//! What a call costs: processor time and memory of a worker and all its processes, by the number of calls, beside the peer.

pub(crate) mod alone;
mod caller;
mod heard;
mod report;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_simulators::stack::{Process, ProcessOptions};
use tokio::time::Instant;

use crate::common::clinics::{self, Clinic, Turns};
use crate::common::machine::{Load, Watch};
use crate::common::peer::{Peer, READY};
use crate::common::pretend::{self, SENTENCES};
use crate::common::services::{Own, Plan, Services};
use crate::common::{Delays, Failure, folders};
use caller::{Dialled, Outcome, Script};
use usage::{TreeWatch, Usage};

/// Between two calls' beginnings: telephones do not ring in chorus, and processes take time to start.
const STAGGER: Duration = Duration::from_millis(400);
/// From the last call's beginning to the measurement: greeted, and silent again.
const GREETED_WITHIN: Duration = Duration::from_secs(8);
/// From a worker's registration until it idles: processes that wait are started meanwhile.
const SETTLE: Duration = Duration::from_secs(12);
/// How long an idle worker is watched.
const IDLE: Duration = Duration::from_secs(10);
/// How many of the sentences are said.
const SENTENCES_SAID: usize = 4;
/// How long the last calls may take to be under way, and to end.
const CALLS_WITHIN: Duration = Duration::from_secs(120);
/// How long a worker may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How to measure what a call costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Sentences of a call.
    #[arg(long, default_value_t = 6)]
    turns: usize,
    /// From a sentence's last sound to the next one's first.
    #[arg(long, default_value_t = 6000)]
    answer_window_ms: u64,
    /// The rows to play, by id (peer-vad, ours-vad, ours-model, alone-vad, each with a dash and the calls: ours-vad-10); all if none is
    /// named.
    #[arg(long = "row")]
    rows: Vec<String>,
    #[command(flatten)]
    delays: Delays,
    /// A row does not count if the machine was busier than this, in percent of all cores.
    #[arg(long, default_value_t = 75)]
    busy_percent_max: u32,
    /// The peer's Python.
    #[arg(long, default_value = "var/bench/peer/bin/python")]
    peer_python: PathBuf,
    /// For logs and call records.
    #[arg(long, default_value = "var/bench/density")]
    dir: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench/RESULTS.md")]
    out: PathBuf,
}

/// Who answers, and over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// livekit-agents, in rooms.
    Peer,
    /// Ours, in rooms.
    Ours,
    /// Ours, on lines within the process: no rooms, no codec, no media over sockets.
    Alone,
}

/// Who answers, and how many calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    side: Side,
    turns: Turns,
    calls: u16,
}

const fn row(side: Side, turns: Turns, calls: u16) -> Row {
    Row { side, turns, calls }
}

const ROWS: [Row; 13] = [
    row(Side::Peer, Turns::Vad, 4),
    row(Side::Peer, Turns::Vad, 6),
    row(Side::Ours, Turns::Vad, 4),
    row(Side::Ours, Turns::Vad, 6),
    row(Side::Ours, Turns::Model, 4),
    row(Side::Ours, Turns::Model, 6),
    row(Side::Ours, Turns::Vad, 10),
    row(Side::Ours, Turns::Vad, 20),
    row(Side::Ours, Turns::Vad, 30),
    row(Side::Alone, Turns::Vad, 10),
    row(Side::Alone, Turns::Vad, 20),
    row(Side::Alone, Turns::Vad, 40),
    row(Side::Alone, Turns::Vad, 80),
];
const CLINICS: [Clinic; 2] = [clinic("vad", Turns::Vad, "+15550204"), clinic("model", Turns::Model, "+15550203")];
/// The name under which the peer is dispatched.
const PEER_NAME: &str = "peer-density";

const fn clinic(id: &'static str, turns: Turns, number: &'static str) -> Clinic {
    Clinic { id, number, agent_name: "frontdesk", own: Some(turns) }
}

impl Row {
    fn id(self) -> String {
        let who = match (self.side, self.turns) {
            (Side::Peer, _) => "peer-vad",
            (Side::Ours, Turns::Vad) => "ours-vad",
            (Side::Ours, Turns::Model) => "ours-model",
            (Side::Alone, _) => "alone-vad",
        };
        format!("{who}-{}", self.calls)
    }

    const fn title(self) -> &'static str {
        match (self.side, self.turns) {
            (Side::Peer, _) => "livekit-agents, VAD only",
            (Side::Ours, Turns::Vad) => "frontdesk, VAD only",
            (Side::Ours, Turns::Model) => "frontdesk, turn model",
            (Side::Alone, _) => "frontdesk, VAD only, without LiveKit",
        }
    }

    const fn clinic(self) -> Clinic {
        match self.turns {
            Turns::Vad => CLINICS[0],
            Turns::Model => CLINICS[1],
        }
    }

    fn dialled(self) -> Dialled {
        let agent_name = if self.side == Side::Peer { PEER_NAME } else { self.clinic().agent_name };
        Dialled { agent_name: agent_name.to_owned(), clinic: self.clinic().id.to_owned() }
    }
}

/// What a row came to.
struct Measured {
    row: Row,
    idle: Usage,
    busy: Usage,
    load: Load,
    outcomes: Vec<Outcome>,
}

impl Measured {
    /// Cores that a call takes, those of an idle worker taken off.
    fn cores_per_call(&self) -> f64 {
        (self.busy.cores - self.idle.cores).max(0.0) / f64::from(self.row.calls)
    }

    /// All answers in milliseconds, in order of size.
    fn answers(&self) -> Vec<u64> {
        let mut answers: Vec<u64> = self.outcomes.iter().flat_map(|outcome| outcome.answers.iter().copied()).collect();
        answers.sort_unstable();
        answers
    }

    /// How long callers waited for their greetings in milliseconds, in order of size.
    fn greeted(&self) -> Vec<u64> {
        let mut greeted: Vec<u64> = self.outcomes.iter().map(|outcome| outcome.greeted_ms).collect();
        greeted.sort_unstable();
        greeted
    }

    fn unanswered(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.unanswered).sum()
    }

    /// The share of packets that came more than 10 ms late.
    fn late(&self) -> f64 {
        let (packets, late) = self.outcomes.iter().fold((0, 0), |(packets, late), it| (packets + it.packets, late + it.late));
        late as f64 / f64::from(u32::try_from(packets).unwrap_or(u32::MAX)).max(1.0)
    }

    fn is_valid(&self, busy_percent_max: u32) -> bool {
        self.load.busy_share() * 100.0 <= f64::from(busy_percent_max)
    }
}

/// Measures and writes the section of the results.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (checkout, dir) = folders(&arguments.dir)?;
    clinics::write(&checkout, &dir, &CLINICS)?;
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| arguments.rows.is_empty() || arguments.rows.contains(&row.id())).collect();
    let most = rows.iter().map(|row| row.calls).max().ok_or_else(|| Failure::new("--row: no such row"))?;
    let simulators = pretend::simulators(&arguments.delays);
    let plan = Plan { checkout: &checkout, dir: &dir, simulators, calls: most.into(), has_worker: false, has_bridge: false };
    let script = Arc::new(Script::new(&SENTENCES[..SENTENCES_SAID], arguments.turns, Duration::from_millis(arguments.answer_window_ms))?);
    let services = Services::start(plan).await?;
    let (mut measured, mut failed) = (Vec::new(), None);
    for row in rows {
        match play(arguments, &checkout, &dir, row, &services, &script).await {
            Ok(row) => measured.push(row),
            Err(error) => {
                failed = Some((row, error));
                break;
            }
        }
    }
    services.stop().await;
    // What was measured took minutes: it is written even if a later row failed.
    if !measured.is_empty() {
        report::write(arguments, &checkout, &measured, failed.as_ref().map(|(row, _)| *row))?;
    }
    failed.map_or(Ok(()), |(row, error)| Err(Failure::new(format!("{}: {error:?}", row.id()))))
}

/// A fresh worker, idle, then with all calls of the row.
async fn play(
    arguments: &Arguments,
    checkout: &Path,
    dir: &Path,
    row: Row,
    services: &Services,
    script: &Arc<Script>,
) -> Result<Measured, Failure> {
    println!("{}: a fresh worker", row.id());
    let mut worker = start(arguments, checkout, dir, row, services).await?;
    let measured = match row.side {
        Side::Alone => calls_alone(row, script, &mut worker, &outcomes_of(dir, row)).await,
        Side::Peer | Side::Ours => calls(row, services, script, &worker).await,
    };
    worker.stop(STOP_WITHIN).await.map_err(Failure::new)?;
    let measured = measured?;
    println!("  {}", report::line(&measured));
    Ok(measured)
}

async fn start(arguments: &Arguments, checkout: &Path, dir: &Path, row: Row, services: &Services) -> Result<Process, Failure> {
    let own = Own { checkout, dir, calls: row.calls };
    match row.side {
        Side::Ours => services.own_worker(&own).await,
        Side::Alone => {
            let program = std::env::current_exe().map_err(Failure::new)?;
            let options = ProcessOptions::new("alone", program, dir.join("log").join(format!("{}.log", row.id())))
                .argument("density-alone")
                .argument(format!("--clinic={}", row.clinic().id))
                .argument(format!("--calls={}", row.calls))
                .argument(format!("--turns={}", arguments.turns))
                .argument(format!("--answer-window-ms={}", arguments.answer_window_ms))
                .argument(format!("--out={}", outcomes_of(dir, row).display()));
            services.surrounded_worker(options, &own, alone::READY).await
        }
        Side::Peer => {
            let python = checkout.join(&arguments.peer_python);
            let (id, turns, calls) = (row.id(), row.turns, usize::from(row.calls));
            let peer = Peer { checkout, dir, python: &python, id: &id, agent_name: PEER_NAME, turns, calls };
            services.worker(peer.process(), READY).await
        }
    }
}

/// Where the worker of a row without LiveKit writes what its callers measured.
fn outcomes_of(dir: &Path, row: Row) -> PathBuf {
    dir.join(format!("{}.json", row.id()))
}

/// Watches a worker that has its callers within.
async fn calls_alone(row: Row, script: &Script, worker: &mut Process, outcomes: &Path) -> Result<Measured, Failure> {
    let root = worker.id().ok_or_else(|| Failure::new("the worker has ended"))?;
    tokio::time::sleep(SETTLE).await;
    let watch = TreeWatch::start(root);
    // It begins to place calls right after.
    tokio::time::sleep(IDLE.mul_f64(0.9)).await;
    let idle = watch.usage();
    worker.logged(alone::TALKING, CALLS_WITHIN).await.map_err(Failure::new)?;
    let (machine, tree) = (Watch::start(), TreeWatch::start(root));
    tokio::time::sleep(script.lasts().mul_f64(0.9)).await;
    let (busy, load) = (tree.usage(), machine.load());
    let status = worker.ended(CALLS_WITHIN).await.map_err(Failure::new)?;
    if !status.success() {
        return Err(Failure::new(worker.log_tail()));
    }
    let text = std::fs::read_to_string(outcomes).map_err(|error| Failure::new(format!("{}: {error}", outcomes.display())))?;
    let outcomes = serde_json::from_str(&text).map_err(Failure::new)?;
    Ok(Measured { row, idle, busy, load, outcomes })
}

async fn calls(row: Row, services: &Services, script: &Arc<Script>, worker: &Process) -> Result<Measured, Failure> {
    let root = worker.id().ok_or_else(|| Failure::new("the worker has ended"))?;
    tokio::time::sleep(SETTLE).await;
    let watch = TreeWatch::start(root);
    tokio::time::sleep(IDLE).await;
    let idle = watch.usage();
    let api = Arc::new(services.api()?);
    let start = Instant::now() + STAGGER * u32::from(row.calls) + GREETED_WITHIN;
    let mut running = Vec::new();
    for number in 0..usize::from(row.calls) {
        running.push(tokio::spawn(caller::call(api.clone(), script.clone(), row.dialled(), number, start)));
        tokio::time::sleep(STAGGER).await;
    }
    tokio::time::sleep_until(start).await;
    let (machine, tree) = (Watch::start(), TreeWatch::start(root));
    // Until shortly before the first may leave.
    tokio::time::sleep(script.lasts().mul_f64(0.9)).await;
    let (busy, load) = (tree.usage(), machine.load());
    let mut outcomes = Vec::new();
    for call in running {
        outcomes.push(call.await.map_err(Failure::new)??);
    }
    Ok(Measured { row, idle, busy, load, outcomes })
}
