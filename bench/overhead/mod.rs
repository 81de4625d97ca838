//! Our own overhead: many calls at once on one worker, with services that only pretend, so that the machine is ours.

mod parts;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use frontdesk_clinic::TenantDirectory;
use frontdesk_simulators::caller::{Caller, CallerOptions, Line, Scripted};
use frontdesk_simulators::voice::Voice;

use crate::common::calls::{Call, number_of, place};
use crate::common::clinics::{self, Clinic, Turns};
use crate::common::machine::{Load, Watch};
use crate::common::pretend::{self, ANSWER, SENTENCES};
use crate::common::services::{Plan, Services};
use crate::common::{Delays, Failure, folders, records};
use parts::{Allowed, Own, own};

/// From the answer of the call to the caller's first word.
const FIRST_WORD_AFTER: Duration = Duration::from_millis(3500);
/// About as long as a sentence takes.
const SENTENCE: Duration = Duration::from_millis(2500);
/// What a call may last longer than its script.
const CALL_SLACK: Duration = Duration::from_secs(60);
/// Between two rows.
const SETTLE: Duration = Duration::from_secs(4);

/// How to measure our own overhead.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Calls at once, all on one worker.
    #[arg(long, default_value_t = 20)]
    calls: usize,
    /// Counted turns of a call. One more comes first, to get warm.
    #[arg(long, default_value_t = 12)]
    turns: usize,
    /// From a sentence's last sound to the next one's first.
    #[arg(long, default_value_t = 5000)]
    answer_window_ms: u64,
    /// The rows to play, by id (vad, model); all if none is named.
    #[arg(long = "row")]
    rows: Vec<String>,
    #[command(flatten)]
    delays: Delays,
    /// A row does not count if the machine was busier than this, in percent of all cores.
    #[arg(long, default_value_t = 75)]
    busy_percent_max: u32,
    /// For logs, call records and raw turns.
    #[arg(long, default_value = "var/bench/overhead")]
    dir: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench/RESULTS.md")]
    out: PathBuf,
}

/// A way of ending turns.
#[derive(Debug, Clone, Copy)]
struct Row {
    title: &'static str,
    clinic: Clinic,
}

const fn row(id: &'static str, title: &'static str, turns: Turns, number: &'static str) -> Row {
    Row { title, clinic: Clinic { id, number, agent_name: "frontdesk", own: Some(turns) } }
}

const ROWS: [Row; 2] = [row("vad", "VAD only", Turns::Vad, "+15550204"), row("model", "turn model", Turns::Model, "+15550203")];

/// What a row came to.
struct Measured {
    row: Row,
    /// Our own part of each turn, and the whole of it, in milliseconds.
    turns: Vec<(Own, u64)>,
    /// Turns that were not made or not answered.
    lost: usize,
    /// Turns that the turn model did not judge in time.
    unjudged: usize,
    /// Turns whose figures are too small: the worker took the caller's last sound for later than it was.
    misdated: usize,
    load: Load,
}

/// Measures and writes the section of the results.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (checkout, dir) = folders(&arguments.dir)?;
    clinics::write(&checkout, &dir, &ROWS.map(|row| row.clinic))?;
    let simulators = pretend::simulators(&arguments.delays);
    let tenants = TenantDirectory::load(&dir.join("tenants")).map_err(Failure::new)?;
    let services =
        Services::start(Plan { checkout: &checkout, dir: &dir, simulators, calls: arguments.calls, has_worker: true, has_bridge: true })
            .await?;
    let measured = measure(arguments, &services, &tenants).await;
    services.stop().await;
    report::write(arguments, &checkout, &dir, &measured?)
}

async fn measure(arguments: &Arguments, services: &Services, tenants: &TenantDirectory) -> Result<Vec<Measured>, Failure> {
    let caller = Caller::new(Voice::caller());
    caller.rehearse(&SENTENCES.map(str::to_owned)).await.map_err(Failure::new)?;
    let mut done = Vec::new();
    for row in ROWS.iter().filter(|row| arguments.rows.is_empty() || arguments.rows.iter().any(|id| id == row.clinic.id)) {
        tokio::time::sleep(SETTLE).await;
        done.push(play(arguments, &caller, *row, services, tenants).await?);
    }
    Ok(done)
}

/// All calls of a row.
async fn play(
    arguments: &Arguments,
    caller: &Caller,
    row: Row,
    services: &Services,
    tenants: &TenantDirectory,
) -> Result<Measured, Failure> {
    let window = Duration::from_millis(arguments.answer_window_ms);
    let (turns, calls) = (arguments.turns + 1, u32::try_from(arguments.calls).unwrap_or(u32::MAX).max(1));
    let lasts = FIRST_WORD_AFTER + (SENTENCE + window) * u32::try_from(turns).unwrap_or(u32::MAX);
    println!("{}: {calls} calls of about {} s", row.title, lasts.as_secs());
    let before = records::files(&services.calls_dir);
    let watch = Watch::start();
    let call = |number: usize| Call {
        options: CallerOptions::new(services.sip(), number_of(number), row.clinic.number, plan(number, turns, window)),
        // Spread over one turn, so that at any moment about as many speak.
        after: (SENTENCE + window) * u32::try_from(number).unwrap_or_default() / calls,
        longest: lasts + CALL_SLACK,
    };
    let outcomes = place(caller, row.clinic.id, (0..arguments.calls).map(call).collect()).await?;
    let load = watch.load();
    for (number, outcome) in outcomes.iter().enumerate() {
        let recording = services.calls_dir.with_file_name(format!("{}-{number}.wav", row.clinic.id));
        outcome.recording.write(recording).map_err(Failure::new)?;
    }
    let records = records::records(&services.calls_dir, &before, arguments.calls).await?;
    let tenant = tenants.get(row.clinic.id).ok_or_else(|| Failure::new(format!("no clinic {}", row.clinic.id)))?;
    let config = tenant.conversation_config(chrono::Utc::now(), Vec::new());
    let allowed = Allowed::new(&config, &arguments.delays, ANSWER.split_whitespace().count());
    let answered: Vec<_> = records.iter().flat_map(|record| record.turns.iter().skip(1)).collect();
    let turns: Vec<(Own, u64)> = answered.iter().filter_map(|turn| Some((own(turn, &allowed)?, turn.playback_started_ms?))).collect();
    let unjudged = answered.iter().filter(|turn| allowed.is_unjudged(turn)).count();
    let misdated = answered.iter().filter(|turn| allowed.is_misdated(turn)).count();
    let lost = (arguments.calls * arguments.turns).saturating_sub(turns.len());
    println!("  {}", report::line(&turns, lost, load));
    Ok(Measured { row, turns, lost, unjudged, misdated, load })
}

/// Keeps his time whatever the agent does.
fn plan(caller: usize, turns: usize, window: Duration) -> Scripted {
    let line = |turn: usize| {
        let after = if turn == 0 { FIRST_WORD_AFTER } else { window };
        Line::say_after(after, SENTENCES[(caller + turn) % SENTENCES.len()])
    };
    Scripted::new((0..turns).map(line).chain([Line::hang_up_after(window)]))
}
