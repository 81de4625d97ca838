//! Barge-in on the wire: callers speak into the agent's long answers at random moments, and listen how soon it is silent.

mod judge;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use frontdesk_clinic::TenantDirectory;
use frontdesk_simulators::caller::{Caller, CallerOptions, Line, Scripted};
use frontdesk_simulators::llm::Answer;
use frontdesk_simulators::providers::{CheapAnswers, SimulatorMode, SimulatorOptions};
use frontdesk_simulators::voice::Voice;

use crate::common::calls::{Call, number_of, place};
use crate::common::clinics::{self, Clinic, Turns};
use crate::common::machine::{Load, Watch};
use crate::common::services::{Plan, Services};
use crate::common::{Delays, Failure, folders, records};
use judge::{BargeIn, Figures, barge_ins};

/// What the model answers to everything: about a quarter of a minute of one tone, in which no pause can be taken for silence.
const ANSWER: &str = "This is a rather long answer which goes on and on without ever coming to the point so that whoever called has \
                      every reason to speak into it. There is always something more to be said about opening hours and holidays and \
                      parking and the way from the station.";
/// What the recogniser makes of every sentence.
const HEARD: &str = "I have a question about that.";
/// The caller's first words, when the greeting is over.
const OPENING: &str = "Please tell me everything about your practice.";
/// What he says into the answers: a second and more without a pause.
const INTERRUPTIONS: [&str; 4] = [
    "I have a question about that appointment.",
    "Excuse me but that was more than I wanted to know.",
    "No need to tell me all that today.",
    "Would you please let me say something.",
];
/// How far into an answer he begins, at the soonest and at the latest.
const INTO_MS: (u64, u64) = (600, 6000);
/// About as long as an interruption and the way to the next answer take.
const TURN: Duration = Duration::from_millis(9000);
/// Calls begin so long after one another.
const STAGGER: Duration = Duration::from_millis(700);
/// From the last interruption to the caller's hanging up.
const GOODBYE: Duration = Duration::from_millis(1500);
/// What a call may last longer than expected.
const CALL_SLACK: Duration = Duration::from_secs(90);
/// What callers dial.
const CLINIC: Clinic = Clinic { id: "talker", number: "+15550205", agent_name: "frontdesk", own: Some(Turns::Vad) };

/// How to measure barge-in.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Calls at once.
    #[arg(long, default_value_t = 8)]
    calls: usize,
    /// How often each caller interrupts.
    #[arg(long, default_value_t = 15)]
    interruptions: usize,
    /// Which random moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    delays: Delays,
    /// The figures do not count if the machine was busier than this, in percent of all cores.
    #[arg(long, default_value_t = 75)]
    busy_percent_max: u32,
    /// For logs, call records and raw figures.
    #[arg(long, default_value = "var/bench/barge-in")]
    dir: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench/RESULTS.md")]
    out: PathBuf,
}

/// What was measured.
struct Measured {
    all: Vec<BargeIn>,
    /// Speech of this length interrupts; chosen.
    min_duration: Duration,
    /// How many interruptions the call records count.
    recorded: u32,
    load: Load,
}

/// Measures and writes the section of the results.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (checkout, dir) = folders(&arguments.dir)?;
    clinics::write(&checkout, &dir, &[CLINIC])?;
    let cheap = CheapAnswers { heard: vec![HEARD.to_owned()], answers: vec![Answer::say(ANSWER)], ..CheapAnswers::default() };
    let simulators =
        SimulatorOptions { latency: arguments.delays.latency(), mode: SimulatorMode::Cheap(cheap), ..SimulatorOptions::default() };
    let tenants = TenantDirectory::load(&dir.join("tenants")).map_err(Failure::new)?;
    let tenant = tenants.get(CLINIC.id).ok_or_else(|| Failure::new(format!("no clinic {}", CLINIC.id)))?;
    let min_duration = tenant.conversation_config(chrono::Utc::now(), Vec::new()).interruption.min_duration;
    let services =
        Services::start(Plan { checkout: &checkout, dir: &dir, simulators, calls: arguments.calls, has_worker: true, has_bridge: true })
            .await?;
    let measured = measure(arguments, &services, min_duration).await;
    services.stop().await;
    report::write(arguments, &checkout, &dir, &measured?)
}

async fn measure(arguments: &Arguments, services: &Services, min_duration: Duration) -> Result<Measured, Failure> {
    let caller = Caller::new(Voice::caller());
    let texts: Vec<String> = INTERRUPTIONS.iter().chain([&OPENING]).map(|text| (*text).to_owned()).collect();
    caller.rehearse(&texts).await.map_err(Failure::new)?;
    let lasts = TURN * u32::try_from(arguments.interruptions + 1).unwrap_or(u32::MAX);
    println!("{} calls of about {} s", arguments.calls, lasts.as_secs());
    let watch = Watch::start();
    let call = |number: usize| Call {
        options: CallerOptions::new(services.sip(), number_of(number), CLINIC.number, plan(arguments, number)),
        after: STAGGER * u32::try_from(number).unwrap_or_default(),
        longest: lasts + CALL_SLACK,
    };
    let outcomes = place(&caller, CLINIC.id, (0..arguments.calls).map(call).collect()).await?;
    let load = watch.load();
    let mut all = Vec::new();
    for (number, outcome) in outcomes.iter().enumerate() {
        all.extend(barge_ins(number, outcome, min_duration));
        outcome.recording.write(services.calls_dir.with_file_name(format!("{number}.wav"))).map_err(Failure::new)?;
    }
    let records = records::records(&services.calls_dir, &[], arguments.calls).await?;
    let recorded = records.iter().map(|record| record.interruptions).sum();
    println!("  {}", report::line(&Figures::of(&all), load));
    Ok(Measured { all, min_duration, recorded, load })
}

/// A polite beginning, and then interruptions.
fn plan(arguments: &Arguments, caller: usize) -> Scripted {
    let mut random = arguments.seed.wrapping_mul(1 << 20).wrapping_add(caller as u64);
    let mut line = |number: usize| {
        let (soonest, latest) = INTO_MS;
        let after = Duration::from_millis(soonest + next(&mut random) % (latest - soonest));
        Line::barge_in(after, INTERRUPTIONS[(caller + number) % INTERRUPTIONS.len()])
    };
    let interruptions: Vec<Line> = (0..arguments.interruptions).map(&mut line).collect();
    Scripted::new([Line::say(OPENING)].into_iter().chain(interruptions).chain([Line::hang_up_after(GOODBYE)]))
}

/// SplitMix64: good enough to scatter moments, and the same in every run.
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
