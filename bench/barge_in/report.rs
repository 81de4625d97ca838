//! Writes what was measured: the section of the results, and the raw figures.

use std::fmt::Write as _;
use std::path::Path;

use super::judge::{Effect, Figures};
use super::{Arguments, Measured};
use crate::common::machine::{Load, setting};
use crate::common::results::{self, Section};
use crate::common::{Failure, millis, put, shown, verdict};

/// From `min_duration` to silence, at the 95th percentile.
const SILENT_P95_MAX_MS: u64 = 300;

/// One line for the terminal.
pub(super) fn line(figures: &Figures, load: Load) -> String {
    let Figures { measured, over, not_speaking, p50_ms, p95_ms, worst_ms } = figures;
    format!(
        "silent after p50 {p50_ms} ms, p95 {p95_ms} ms, worst {worst_ms} ms over {measured} barge-ins; {over} came when all was said, \
         {not_speaking} into silence; machine {:.0} % busy",
        100.0 * load.busy_share()
    )
}

/// Writes everything and prints where.
pub(super) fn write(arguments: &Arguments, checkout: &Path, dir: &Path, measured: &Measured) -> Result<(), Failure> {
    let mut csv = "caller,began_ms,into_ms,effect,silent_after_ms\n".to_owned();
    for barge_in in &measured.all {
        let (effect, ms) = match barge_in.effect {
            Effect::Silent(ms) => ("silent", ms.to_string()),
            Effect::Over => ("over", String::new()),
            Effect::NotSpeaking => ("not speaking", String::new()),
        };
        let _infallible = writeln!(csv, "{},{},{},{effect},{ms}", barge_in.caller, millis(barge_in.began), millis(barge_in.into));
    }
    put(&dir.join("barge-ins.csv"), &csv, checkout)?;
    let text = section(arguments, measured, &shown(dir, checkout));
    results::write(&checkout.join(&arguments.out), Section::BargeIn, &text, checkout)?;
    println!("\n{text}");
    Ok(())
}

fn section(arguments: &Arguments, measured: &Measured, dir: &str) -> String {
    let figures = Figures::of(&measured.all);
    let Figures { measured: count, over, not_speaking, p50_ms, p95_ms, worst_ms } = figures;
    let busy = 100.0 * measured.load.busy_share();
    let mut text = format!(
        "# Barge-in\n\nWritten by `make bench-barge-in`; [README.md](README.md) says what is counted.\n\n{}| simulated services | {} |\n\
         | calls | {} at once, {} interruptions each, seed {} |\n| `min_duration` | {} ms |\n\n\
         From `min_duration` of the caller's speech to the agent's last sound, both in the RTP at the caller:\n\n\
         | barge-ins | p50 | p95 | worst | agent had finished | agent was silent | in the call records | machine busy | others' cores |\n\
         |---|---|---|---|---|---|---|---|---|\n\
         | {count} | {p50_ms} ms | {p95_ms} ms | {worst_ms} ms | {over} | {not_speaking} | {} | {busy:.0} % | {:.2} |\n\n\
         | what | target | measured | verdict |\n|---|---|---|---|\n",
        setting(),
        arguments.delays.words(),
        arguments.calls,
        arguments.interruptions,
        arguments.seed,
        millis(measured.min_duration),
        measured.recorded,
        measured.load.foreign_cores,
    );
    let (what, target) = ("`min_duration` reached to silence at the caller, p95", format!("≤ {SILENT_P95_MAX_MS} ms"));
    if count == 0 {
        text.push_str(&verdict(what, &target, "not measured: nobody was interrupted", false));
    } else if busy > f64::from(arguments.busy_percent_max) {
        let limit = arguments.busy_percent_max;
        let _infallible =
            writeln!(text, "| {what} | {target} | {p95_ms} ms | **invalid**: the machine was {busy:.0} % busy, more than {limit} % |");
    } else {
        text.push_str(&verdict(what, &target, &format!("{p95_ms} ms"), p95_ms <= SILENT_P95_MAX_MS));
    }
    let asked = arguments.calls * arguments.interruptions;
    if measured.all.len() < asked {
        let _infallible = writeln!(text, "\n{} of {asked} interruptions were not made: calls ended early.", asked - measured.all.len());
    }
    let _infallible =
        writeln!(text, "\nRaw figures: `{dir}/barge-ins.csv`; what each caller heard: `{dir}/*.wav` (caller left, agent right).");
    text
}
