//! `frontdesk demo`: everything on this machine, one telephone call, one appointment.

mod callers;
mod guest;
mod services;
mod show;
mod verify;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_simulators::caller::{CallOutcome, ObserverOptions};
use frontdesk_simulators::stack::find_upward;

use super::CommandError;
use crate::cli::{Demo, ProviderChoice};
use crate::config::{self, Sources};
use callers::Line;
use services::{Plan, Services};
use show::{Steps, against};

/// The clinic of the demo, `agent-config/demo`.
const TENANT: &str = "demo";
const GAP_TARGET: Duration = Duration::from_millis(1200);
const ANSWER_TARGET: Duration = Duration::from_millis(700);
const SUBSCRIBED_TARGET: Duration = Duration::from_millis(150);
/// A call of the demo lasts about a minute.
const CALL_LIMIT: Duration = Duration::from_secs(300);

/// Runs the demo; everything it started has ended when it returns.
///
/// # Errors
/// Something could not be started, or not exactly the agreed appointments were booked.
pub(super) async fn run(demo: Demo, sources: &Sources) -> Result<(), CommandError> {
    let config = config::load(sources)?;
    if demo.providers == ProviderChoice::Cloud && (config.stt.api_key.is_none() || config.llm.api_key.is_none()) {
        return Err(CommandError::new("PROVIDERS=cloud needs DEEPGRAM_API_KEY and OPENAI_API_KEY in the environment or in .env"));
    }
    let checkout = find_upward("scripts/postgres").and_then(|script| script.parent()?.parent().map(Path::to_path_buf));
    let checkout = checkout.ok_or_else(|| CommandError::new("scripts/postgres is not here or above: run the demo from the checkout"))?;
    let plan = Plan {
        checkout,
        database_url: config.database.url.as_ref().map(|url| url.expose().to_owned()),
        providers: demo.providers,
        utterances: callers::utterances(demo.callers.into()),
    };
    let mut steps = Steps::new(if demo.providers == ProviderChoice::Simulated { 7 } else { 6 });
    let interrupted = super::shutdown_on_signals()?;
    let services = tokio::select! {
        services = Services::start(plan, &mut steps) => services?,
        () = interrupted.cancelled() => return Err(CommandError::new("interrupted")),
    };
    let outcome = tokio::select! {
        outcome = calls(&demo, &services, &mut steps) => outcome,
        () = interrupted.cancelled() => Err(CommandError::new("interrupted")),
    };
    if demo.stay && !interrupted.is_cancelled() {
        stay(&services);
        interrupted.cancelled().await;
    }
    println!("\nstopping …");
    services.stop().await;
    outcome
}

/// Places the calls and judges them.
async fn calls(demo: &Demo, services: &Services, steps: &mut Steps) -> Result<(), CommandError> {
    let callers = usize::from(demo.callers);
    let rows_before = verify::appointments(&services.database_url).await?.len();
    let records_before = verify::json_files(&services.calls_dir);
    let line = Line {
        target: SocketAddr::from((Ipv4Addr::LOCALHOST, services.sip_port)),
        livekit: ObserverOptions {
            url: services.livekit.url(),
            api_key: services.livekit.api_key().to_owned(),
            api_secret: services.livekit.api_secret().to_owned(),
            caller_number: String::new(),
            search_max: Duration::from_secs(20),
        },
        is_shared: callers > 1,
    };
    println!("\n{callers} simulated caller(s) dial(s) over SIP (UDP, RTP with PCMU):");
    let running: Vec<_> = (0..callers).map(|number| tokio::spawn(callers::call(number, line.clone()))).collect();
    let mut outcomes = Vec::new();
    for call in running {
        let ended = tokio::time::timeout(CALL_LIMIT, call).await.map_err(|_| CommandError::new("a call lasted longer than 5 minutes"))?;
        outcomes.push(ended.map_err(CommandError::new)??);
    }
    println!();
    let records = steps
        .step("call records", async {
            let records = verify::records(&services.calls_dir, &records_before, callers).await?;
            Ok::<_, CommandError>((records, "written".into()))
        })
        .await?;
    let rows: Vec<_> = verify::appointments(&services.database_url).await?.into_iter().skip(rows_before).collect();
    report(services, &outcomes, &records, &rows);
    let verdict = verify::verdict(&rows, &records, callers);
    if verdict.is_ok() {
        println!("\nexactly the agreed appointment(s) are in the database");
    }
    verdict
}

fn report(services: &Services, outcomes: &[CallOutcome], records: &[(PathBuf, frontdesk_agent::CallRecord)], rows: &[verify::Appointment]) {
    println!("\nappointment(s) booked:");
    for row in rows {
        println!("  {}  {} – {}  {}  ({})", row.code, row.starts, row.ends, row.practitioner, row.status);
    }
    println!("\nrecords and recordings (stereo, caller left, agent right; not encrypted, because they hold demo data only):");
    for (path, record) in records {
        println!("  {}", path.display());
        println!("  {}", record.recording.as_deref().unwrap_or("no recording was made"));
    }
    let gaps: Vec<Duration> = outcomes.iter().flat_map(CallOutcome::gaps).collect();
    let answers: Vec<Duration> = outcomes.iter().map(|outcome| outcome.answered_after).collect();
    println!("\nlatency:");
    println!("  caller's last sound to agent's first: {}", against(&gaps, GAP_TARGET));
    println!("  INVITE to 200 OK:                     {}", against(&answers, ANSWER_TARGET));
    println!("  job assignment to track subscribed:   {}", against(&subscribed(services), SUBSCRIBED_TARGET));
    println!("\nlogs: {}", services.log_dir.display());
}

/// What the worker logged of the time from assignment to the moment at which the caller's leg had subscribed.
fn subscribed(services: &Services) -> Vec<Duration> {
    let log = services.worker.log_text();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|line| line.get("subscribed_ms")?.as_u64().map(Duration::from_millis)).collect()
}

fn stay(services: &Services) {
    let port = services.sip_port;
    println!(
        "\neverything is left running. Dial in with a softphone on this machine:\n\
         \n    sip:+15550100@127.0.0.1:{port}   (UDP or TCP, codec PCMU or PCMA, no registration)\n\
         \nfor instance: baresip -e '/dial sip:+15550100@127.0.0.1:{port}', or linphonec -s sip:+15550100@127.0.0.1:{port}\n\
         The simulated services know the demo's sentences only; PROVIDERS=cloud understands you.\n\
         Database: {}\nCtrl-C stops everything.",
        services.database_url.rsplit_once('/').map_or("", |(_, name)| name)
    );
}
