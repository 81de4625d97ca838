//! `make bench-latency`: frontdesk and livekit-agents behind the same bridge, on the same LiveKit server, with the same simulated
//! services, called by the same callers. See `bench/README.md`.
#![forbid(unsafe_code)]

mod judge;
mod machine;
mod plot;
mod report;
mod rows;
mod script;
mod services;
mod stages;
mod tenants;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use frontdesk_agent::CallRecord;
use frontdesk_simulators::caller::{Caller, CallerOptions};
use frontdesk_simulators::providers::Latency;
use frontdesk_simulators::voice::Voice;
use tokio::sync::mpsc;

use judge::{Figures, Kind, Place, Turn};
use machine::{Load, Watch};
use rows::{ROWS, Row, Side};
use script::Script;
use services::{Plan, Services};

/// Calls of a round begin so long after one another, so that they do not speak in chorus.
const STAGGER: Duration = Duration::from_millis(2300);
/// Between two blocks: the peer replaces processes that were used up.
const SETTLE: Duration = Duration::from_secs(4);
/// What a call may last longer than its script.
const CALL_SLACK: Duration = Duration::from_secs(40);

/// Measures the time from a caller's last sound to the agent's first, for frontdesk and for livekit-agents.
#[derive(Debug, Parser)]
#[command(name = "bench-latency")]
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
    /// The rows to play, by id; all that this build can play if none is named.
    #[arg(long = "row")]
    rows: Vec<String>,
    /// From the end of a segment to its final words.
    #[arg(long, default_value_t = 150)]
    stt_final_ms: u64,
    /// From a request to the model's first token.
    #[arg(long, default_value_t = 200)]
    llm_first_token_ms: u64,
    /// From one word of its answer to the next.
    #[arg(long, default_value_t = 20)]
    llm_word_ms: u64,
    /// From a flush to the first byte of speech.
    #[arg(long, default_value_t = 150)]
    tts_first_byte_ms: u64,
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
    pub(crate) fn latency(&self) -> Latency {
        Latency {
            stt_final: Duration::from_millis(self.stt_final_ms),
            llm_first_token: Duration::from_millis(self.llm_first_token_ms),
            llm_word: Duration::from_millis(self.llm_word_ms),
            tts_first_byte: Duration::from_millis(self.tts_first_byte_ms),
        }
    }

    fn script(&self, caller: usize, round: usize) -> Script {
        Script::new(caller, round, self.turns, Duration::from_millis(self.answer_window_ms))
    }
}

/// Why the bench ends without results.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row in one round.
pub(crate) struct Block {
    pub(crate) row: Row,
    pub(crate) round: usize,
    pub(crate) turns: Vec<Turn>,
    /// Our own rows only.
    pub(crate) records: Vec<CallRecord>,
    pub(crate) load: Load,
    pub(crate) was_repeated: bool,
    /// Turns that were not made, because a call broke off or found no agent.
    pub(crate) lost_turns: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if arguments.callers * arguments.turns > script::UTTERANCES_MAX {
        return Err(Failure::new(format!(
            "--callers times --turns: at most {}, for no two callers may say the same",
            script::UTTERANCES_MAX
        )));
    }
    let checkout = std::env::current_dir().map_err(Failure::new)?;
    let dir = checkout.join(&arguments.dir);
    // What an earlier run left would be taken for this one's.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(Failure::new)?;
    }
    let (tenants_dir, rules_dir) = (dir.join("tenants"), dir.join("sip"));
    for folder in [&tenants_dir, &rules_dir] {
        std::fs::create_dir_all(folder).map_err(Failure::new)?;
    }
    let playable = tenants::write(&checkout, &tenants_dir)?;
    std::fs::write(rules_dir.join("bench.toml"), tenants::rules()).map_err(Failure::new)?;
    let is_wanted = |row: &Row| playable.contains(row) && (arguments.rows.is_empty() || arguments.rows.iter().any(|id| id == row.id));
    let rows: Vec<Row> = ROWS.iter().copied().filter(is_wanted).collect();
    let plan = Plan {
        checkout: &checkout,
        dir: &dir,
        peer_python: &checkout.join(&arguments.peer_python),
        rows: &rows,
        latency: arguments.latency(),
        calls: arguments.callers,
    };
    println!("starting LiveKit server, simulated services, bridge and workers");
    let mut services = Services::start(&plan).await?;
    let measured = measure(&arguments, &rows, &mut services).await;
    services.stop().await;
    let blocks = measured?;
    report::write(&arguments, &checkout, &dir, &blocks)
}

/// Plays every row in every round; every other round backwards, so that no row always comes first.
async fn measure(arguments: &Arguments, rows: &[Row], services: &mut Services) -> Result<Vec<Block>, Failure> {
    let caller = Caller::new(Voice::caller());
    caller.rehearse(&script::texts()).await.map_err(Failure::new)?;
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
            let mut block = play(arguments, &caller, row, round, services).await?;
            if block.load.foreign_cores > arguments.foreign_cores_max {
                println!("  others used {:.1} cores: once more", block.load.foreign_cores);
                let again = play(arguments, &caller, row, round, services).await?;
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
async fn play(arguments: &Arguments, caller: &Caller, row: Row, round: usize, services: &mut Services) -> Result<Block, Failure> {
    tokio::time::sleep(SETTLE).await;
    let before = stages::files(&services.calls_dir);
    while services.histories.try_recv().is_ok() {}
    let watch = Watch::start();
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, services.sip_port));
    let mut running = Vec::new();
    for number in 0..arguments.callers {
        let script = arguments.script(number, round);
        let options = CallerOptions::new(target, format!("+1555014{number:04}"), row.number, script.plan());
        let (caller, limit) = (caller.clone(), script.duration() + CALL_SLACK);
        running.push(tokio::spawn(async move {
            tokio::time::sleep(STAGGER * u32::try_from(number).unwrap_or_default()).await;
            // Nobody watches the events.
            let (events, _) = mpsc::channel(1);
            let outcome = tokio::time::timeout(limit, caller.call(options, events)).await;
            (script, outcome)
        }));
    }
    let mut outcomes = Vec::new();
    for (number, call) in running.into_iter().enumerate() {
        let (script, outcome) = call.await.map_err(Failure::new)?;
        let told = |cause: &dyn fmt::Display| Failure::new(format!("{}, caller {number}: {cause}", row.id));
        let outcome = outcome.map_err(|_| told(&"the call did not end"))?.map_err(|error| told(&error))?;
        outcomes.push((script, outcome));
    }
    let load = watch.load();
    let histories: Vec<Vec<String>> = std::iter::from_fn(|| services.histories.try_recv().ok()).collect();
    let mut turns = Vec::new();
    for (number, (script, outcome)) in outcomes.iter().enumerate() {
        let place = Place { row: row.id, round, caller: number };
        turns.extend(judge::turns(place, script, outcome, &histories));
        let recording = services.calls_dir.with_file_name(format!("{}-{round}-{number}.wav", row.id));
        outcome.recording.write(recording).map_err(Failure::new)?;
    }
    let records = match row.side {
        Side::Ours => stages::records(&services.calls_dir, &before, arguments.callers).await?,
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

/// A path as it is written in the results.
pub(crate) fn shown(path: &Path, checkout: &Path) -> String {
    path.strip_prefix(checkout).unwrap_or(path).display().to_string()
}
