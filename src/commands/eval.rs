//! `frontdesk eval`: plays scenarios, prints a table, writes reports.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use frontdesk_agent::record::RecordLine;
use frontdesk_conversation::Speaker;

use super::CommandError;
use crate::cli::Eval;
use crate::config::Config;
use crate::eval::{Depth, Outcome, Rehearsal, Scenario, load, report};

/// Calls at once at depth call: each has a worker of its own.
const CALLS_AT_ONCE: usize = 2;

/// Plays what the command line names.
///
/// # Errors
/// A scenario is faulty or failed, or a report could not be written.
pub(super) async fn run(eval: Eval, config: &Config) -> Result<(), CommandError> {
    let tenants = PathBuf::from(&config.tenants.dir);
    // Playing blocks, and has runtimes of its own.
    let played = tokio::task::spawn_blocking(move || play(&eval, &tenants)).await;
    played.map_err(CommandError::new)?
}

fn play(eval: &Eval, tenants: &Path) -> Result<(), CommandError> {
    let plays = chosen(eval)?;
    let rehearsal = Rehearsal::new(tenants).map_err(CommandError::new)?.with_calls_at_once(eval.jobs.unwrap_or(CALLS_AT_ONCE));
    let at_once = eval.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let colours = std::io::stdout().is_terminal();
    let (mut number, total) = (0, plays.len());
    let outcomes = rehearsal.play_all(&plays, at_once, |outcome| {
        number += 1;
        println!("{number:>3}/{total}  {}", report::line(outcome, colours));
        if eval.verbose && !outcome.is_good() {
            print!("{}", transcript(outcome));
        }
    });
    rehearsal.close();
    println!("\n{}", report::summary(&outcomes));
    if let Some(path) = &eval.junit {
        write(path, &report::junit(&outcomes).map_err(CommandError::new)?)?;
    }
    if let Some(path) = &eval.html {
        write(path, &report::html(&outcomes))?;
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.is_good()).count();
    if failed == 0 { Ok(()) } else { Err(CommandError::new(format!("{failed} of {total} rehearsals failed"))) }
}

fn chosen(eval: &Eval) -> Result<Vec<(Scenario, Depth)>, CommandError> {
    let scenarios = load(&eval.paths).map_err(CommandError::new)?;
    let is_wanted = |scenario: &Scenario| eval.only.as_ref().is_none_or(|part| scenario.name.contains(part.as_str()));
    let plays = scenarios.into_iter().map(|(_, scenario)| scenario).filter(is_wanted).flat_map(|scenario| {
        // Real time costs: it is played when it is asked for.
        let is_asked = |depth: &Depth| if eval.depth.is_empty() { *depth != Depth::Call } else { eval.depth.contains(depth) };
        let depths = scenario.depths.clone().into_iter().filter(is_asked);
        depths.map(move |depth| (scenario.clone(), depth)).collect::<Vec<_>>()
    });
    let plays: Vec<_> = plays.collect();
    if plays.is_empty() { Err(CommandError::new("no scenario fits --only and --depth")) } else { Ok(plays) }
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(path, text).map_err(|error| CommandError::new(format!("{}: {error}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

/// What was said and done, for the terminal.
fn transcript(outcome: &Outcome) -> String {
    let Some(trace) = &outcome.trace else { return String::new() };
    let line = |line: &RecordLine| {
        let who = if line.speaker == Speaker::Agent { "agent" } else { "caller" };
        let cut = if line.interrupted { " —" } else { "" };
        (line.start_ms, format!("{who:>6}: {}{cut}", line.text))
    };
    let mut lines: Vec<(u64, String)> = trace.record.transcript.iter().map(line).collect();
    lines.extend(
        trace
            .record
            .tools
            .iter()
            .map(|tool| (tool.start_ms, format!("{:>6}: {} {} -> {:?}", "tool", tool.name, tool.arguments, tool.status))),
    );
    lines.extend(trace.acts.iter().map(|act| ((act.start * 1000.0) as u64, format!("{:>6}: [{:?}] {}", "act", act.kind, act.text))));
    lines.sort();
    lines.iter().map(|(at, text)| format!("         {:>6.1} s {text}\n", *at as f64 / 1000.0)).collect()
}
