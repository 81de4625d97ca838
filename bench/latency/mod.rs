//! The time to the answer: frontdesk and livekit-agents behind the same bridge, on the same LiveKit server, with the same simulated
//! services, called by the same callers.

mod judge;
mod plot;
mod report;
mod rows;
mod script;
mod stages;

use std::path::PathBuf;
use std::time::Duration;

use frontdesk_agent::CallRecord;
use frontdesk_simulators::caller::{Caller, CallerOptions};
use frontdesk_simulators::llm::Answer;
use frontdesk_simulators::providers::{SimulatorMode, SimulatorOptions};
use frontdesk_simulators::voice::Voice;
use tokio::sync::mpsc;

use crate::common::calls::{Call, number_of, place};
use crate::common::machine::{Load, Watch};
use crate::common::peer::{Peer, READY};
use crate::common::services::{Plan, Services};
use crate::common::{Delays, Failure, clinics, folders, records};
use judge::{Figures, Kind, Place, Turn};
use rows::{ROWS, Row, Side};
use script::{ANSWER, Script, texts};

/// Calls of a round begin so long after one another, so that they do not speak in chorus.
const STAGGER: Duration = Duration::from_millis(2300);
/// Between two blocks: the peer replaces processes that were used up.
const SETTLE: Duration = Duration::from_secs(4);
/// What a call may last longer than its script.
const CALL_SLACK: Duration = Duration::from_secs(40);
/// Requests to the model that may wait to be counted: far more than a row makes.
const HISTORIES_MAX: usize = 8_192;

/// How to measure the time to the answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Calls at once.
    #[arg(long, default_value_t = 4)]
    callers: usize,
    /// Counted turns of a call; half of them have a pause. One more comes first, to get warm.
    #[arg(long, default_value_t = 8)]
    turns: usize,
    /// How often every row is played.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// From an utterance's last sound to the next one's first.
    #[arg(long, default_value_t = 5500)]
    answer_window_ms: u64,
    /// The rows to play, by id; all if none is named.
    #[arg(long = "row")]
    rows: Vec<String>,
    #[command(flatten)]
    delays: Delays,
    /// A block during which others used more cores than this is played once more.
    #[arg(long, default_value_t = 0.5)]
    foreign_cores_max: f64,
    /// The peer's Python.
    #[arg(long, default_value = "var/bench/peer/bin/python")]
    peer_python: PathBuf,
    /// For logs, call records and raw turns.
    #[arg(long, default_value = "var/bench/latency")]
    dir: PathBuf,
    /// Where the results go; the picture is put beside them.
    #[arg(long, default_value = "bench/RESULTS.md")]
    out: PathBuf,
}

impl Arguments {
    fn script(&self, caller: usize, round: usize) -> Script {
        Script::new(caller, round, self.turns, Duration::from_millis(self.answer_window_ms))
    }
}

/// One row in one round.
struct Block {
    row: Row,
    round: usize,
    turns: Vec<Turn>,
    /// Our own rows only.
    records: Vec<CallRecord>,
    load: Load,
    was_repeated: bool,
    /// Turns that were not made, because a call broke off or found no agent.
    lost_turns: usize,
}

/// Measures and writes the section of the results.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.callers * arguments.turns > script::UTTERANCES_MAX {
        return Err(Failure::new(format!(
            "--callers times --turns: at most {}, for no two callers may say the same",
            script::UTTERANCES_MAX
        )));
    }
    let (checkout, dir) = folders(&arguments.dir)?;
    clinics::write(&checkout, &dir, &ROWS.map(|row| row.clinic()))?;
    let is_wanted = |row: &Row| arguments.rows.is_empty() || arguments.rows.iter().any(|id| id == row.id);
    let rows: Vec<Row> = ROWS.iter().copied().filter(is_wanted).collect();
    let (caller_lines, histories) = mpsc::channel(HISTORIES_MAX);
    let simulators = SimulatorOptions {
        utterances: texts(),
        latency: arguments.delays.latency(),
        mode: SimulatorMode::Reciting(vec![Answer::say(ANSWER)]),
        caller_lines: Some(caller_lines),
        ..SimulatorOptions::default()
    };
    let has_worker = rows.iter().any(|row| row.side == Side::Ours);
    let mut services =
        Services::start(Plan { checkout: &checkout, dir: &dir, simulators, calls: arguments.callers, has_worker, has_bridge: true })
            .await?;
    let mut started = Ok(());
    for row in rows.iter().filter(|row| row.side == Side::Peer) {
        let python = checkout.join(&arguments.peer_python);
        let (id, agent_name, turns, calls) = (row.id, row.agent_name, row.turns, arguments.callers);
        let peer = Peer { checkout: &checkout, dir: &dir, python: &python, id, agent_name, turns, calls };
        started = started.and(services.add(peer.process(), READY).await);
    }
    let measured = match started {
        Ok(()) => measure(&arguments, &rows, &services, histories).await,
        Err(error) => Err(error),
    };
    services.stop().await;
    report::write(&arguments, &checkout, &dir, &measured?)
}

/// What the caller said, as each request to the model gives it.
type Histories = mpsc::Receiver<Vec<String>>;

/// Plays every row in every round; every other round backwards, so that no row always comes first.
async fn measure(arguments: &Arguments, rows: &[Row], services: &Services, mut histories: Histories) -> Result<Vec<Block>, Failure> {
    let caller = Caller::new(Voice::caller());
    caller.rehearse(&texts()).await.map_err(Failure::new)?;
    let lasts = (0..arguments.callers).map(|number| arguments.script(number, 0).duration()).max().unwrap_or_default();
    let blocks = rows.len() * arguments.rounds;
    println!("{blocks} blocks of {} calls, about {} s each", arguments.callers, (lasts + SETTLE).as_secs());
    let mut done = Vec::new();
    for round in 0..arguments.rounds {
        let mut order = rows.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        for row in order {
            let mut block = play(arguments, &caller, (row, round), services, &mut histories).await?;
            if block.load.foreign_cores > arguments.foreign_cores_max {
                println!("  others used {:.1} cores: once more", block.load.foreign_cores);
                let again = play(arguments, &caller, (row, round), services, &mut histories).await?;
                if again.load.foreign_cores < block.load.foreign_cores {
                    block = again;
                }
                block.was_repeated = true;
            }
            done.push(block);
        }
    }
    Ok(done)
}

/// One row, one round: all its calls.
async fn play(
    arguments: &Arguments,
    caller: &Caller,
    (row, round): (Row, usize),
    services: &Services,
    histories: &mut Histories,
) -> Result<Block, Failure> {
    tokio::time::sleep(SETTLE).await;
    let before = records::files(&services.calls_dir);
    while histories.try_recv().is_ok() {}
    let watch = Watch::start();
    let scripts: Vec<Script> = (0..arguments.callers).map(|number| arguments.script(number, round)).collect();
    let calls = (0..).zip(&scripts).map(|(number, script)| Call {
        options: CallerOptions::new(services.sip(), number_of(number), row.number, script.plan()),
        after: STAGGER * u32::try_from(number).unwrap_or_default(),
        longest: script.duration() + CALL_SLACK,
    });
    let outcomes = place(caller, row.id, calls.collect()).await?;
    let load = watch.load();
    let histories: Vec<Vec<String>> = std::iter::from_fn(|| histories.try_recv().ok()).collect();
    let mut turns = Vec::new();
    for (number, (script, outcome)) in scripts.iter().zip(&outcomes).enumerate() {
        let place = Place { row: row.id, round, caller: number };
        turns.extend(judge::turns(place, script, outcome, &histories));
        let recording = services.calls_dir.with_file_name(format!("{}-{round}-{number}.wav", row.id));
        outcome.recording.write(recording).map_err(Failure::new)?;
    }
    let records = match row.side {
        Side::Ours => records::records(&services.calls_dir, &before, arguments.callers).await?,
        Side::Peer => Vec::new(),
    };
    let lost_turns = (arguments.callers * arguments.turns).saturating_sub(turns.len());
    let figures = Figures::of(&turns, Kind::All);
    println!(
        "  {:<28} round {}: median {:>5} ms, p95 {:>5} ms, {} of {} cut off, {} unanswered, {lost_turns} lost; {:.1} cores busy, {:.1} of them others'",
        row.title,
        round + 1,
        figures.median_ms,
        figures.p95_ms,
        figures.cut_off,
        figures.turns,
        figures.unanswered,
        load.busy_cores,
        load.foreign_cores,
    );
    Ok(Block { row, round, turns, records, load, was_repeated: false, lost_turns })
}
