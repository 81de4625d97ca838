//! Writes what was measured: the section of the results, and the raw turns.

use std::fmt::Write as _;
use std::path::Path;

use super::parts::Own;
use super::{Arguments, Measured};
use crate::common::machine::{Load, setting};
use crate::common::results::{self, Section};
use crate::common::{Failure, percentile, put, shown, verdict};

/// Of our own part, at the 95th percentile.
const OWN_P95_MAX_MS: u64 = 40;

/// A leg of the way.
type Leg = (&'static str, fn(&Own) -> u64);

const LEGS: [Leg; 5] = [
    ("hearing: end of speech, final words, turn model, decision", |own| own.hearing),
    ("asking the model, taking its first word", |own| own.model),
    ("from the words to the synthesiser", |own| own.clause),
    ("asking the synthesiser, taking its first byte", |own| own.speech),
    ("from the first byte to the first sample played", |own| own.playout),
];

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

fn totals(turns: &[(Own, u64)]) -> Vec<u64> {
    sorted(turns.iter().map(|(own, _)| own.total()))
}

/// One line for the terminal.
pub(super) fn line(turns: &[(Own, u64)], lost: usize, load: Load) -> String {
    let totals = totals(turns);
    format!(
        "own part p50 {} ms, p95 {} ms, worst {} ms over {} turns, {lost} lost; machine {:.0} % busy",
        percentile(&totals, 50),
        percentile(&totals, 95),
        totals.last().copied().unwrap_or_default(),
        totals.len(),
        100.0 * load.busy_share(),
    )
}

/// Writes everything and prints where.
pub(super) fn write(arguments: &Arguments, checkout: &Path, dir: &Path, rows: &[Measured]) -> Result<(), Failure> {
    let mut csv = "row,hearing_ms,model_ms,clause_ms,speech_ms,playout_ms,own_ms,whole_ms\n".to_owned();
    for row in rows {
        for (own, whole) in &row.turns {
            let Own { hearing, model, clause, speech, playout } = own;
            let id = row.row.clinic.id;
            let _infallible = writeln!(csv, "{id},{hearing},{model},{clause},{speech},{playout},{},{whole}", own.total());
        }
    }
    put(&dir.join("turns.csv"), &csv, checkout)?;
    let text = section(arguments, rows, &shown(dir, checkout));
    results::write(&checkout.join(&arguments.out), Section::Overhead, &text, checkout)?;
    println!("\n{text}");
    Ok(())
}

fn section(arguments: &Arguments, rows: &[Measured], dir: &str) -> String {
    let mut text = format!(
        "# Own overhead\n\nWritten by `make bench-overhead`; [README.md](README.md) says what is counted.\n\n{}| simulated services | {} |\n\
         | calls | {} at once on one worker, {} counted turns each |\n\n\
         | row | turns | p50 | p95 | worst | whole answer p50, p95 | not answered | machine busy | others' cores |\n|---|---|---|---|---|---|---|---|---|\n",
        setting(),
        arguments.delays.words(),
        arguments.calls,
        arguments.turns,
    );
    for row in rows {
        let (own, whole) = (totals(&row.turns), sorted(row.turns.iter().map(|(_, whole)| *whole)));
        let _infallible = writeln!(
            text,
            "| {} | {} | {} ms | {} ms | {} ms | {} ms, {} ms | {} | {:.0} %{} | {:.2} |",
            row.row.title,
            own.len(),
            percentile(&own, 50),
            percentile(&own, 95),
            own.last().copied().unwrap_or_default(),
            percentile(&whole, 50),
            percentile(&whole, 95),
            row.lost,
            100.0 * row.load.busy_share(),
            if is_valid(arguments, row) { "" } else { " **invalid**" },
            row.load.foreign_cores,
        );
    }
    text.push_str("\n| what | target | measured | verdict |\n|---|---|---|---|\n");
    for row in rows {
        text.push_str(&judged(arguments, row));
    }
    text.push_str("\nWhere it arises, p50 and p95 of each leg:\n\n| leg |");
    for row in rows {
        let _infallible = write!(text, " {} |", row.row.title);
    }
    let _infallible = writeln!(text, "\n|---|{}", "---|".repeat(rows.len()));
    for (name, leg) in LEGS {
        let cell = |row: &Measured| {
            let times = sorted(row.turns.iter().map(|(own, _)| leg(own)));
            format!("{} ms, {} ms", percentile(&times, 50), percentile(&times, 95))
        };
        let _infallible = writeln!(text, "| {name} | {} |", rows.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    for row in rows.iter().filter(|row| row.unjudged > 0) {
        let (unjudged, turns) = (row.unjudged, row.turns.len());
        let _infallible = writeln!(text, "\n{}: {unjudged} of {turns} turns had no judgement of the turn model in time.", row.row.title);
    }
    for row in rows.iter().filter(|row| row.misdated > 0) {
        let (misdated, turns) = (row.misdated, row.turns.len());
        let _infallible = writeln!(
            text,
            "\n{}: the figures of {misdated} of {turns} turns are too small: the worker took the caller's last sound for later than it was.",
            row.row.title
        );
    }
    let _infallible = writeln!(text, "\nRaw turns: `{dir}/turns.csv`; what each caller heard: `{dir}/*.wav` (caller left, agent right).");
    text
}

fn is_valid(arguments: &Arguments, row: &Measured) -> bool {
    row.load.busy_share() * 100.0 <= f64::from(arguments.busy_percent_max)
}

fn judged(arguments: &Arguments, row: &Measured) -> String {
    let own = totals(&row.turns);
    let (what, target) = (format!("{}: own overhead, p95", row.row.title), format!("≤ {OWN_P95_MAX_MS} ms"));
    if own.is_empty() {
        return verdict(&what, &target, "not measured: no turn was answered", false);
    }
    let p95 = percentile(&own, 95);
    if !is_valid(arguments, row) {
        let busy = 100.0 * row.load.busy_share();
        return format!(
            "| {what} | {target} | {p95} ms | **invalid**: the machine was {busy:.0} % busy, more than {} % |\n",
            arguments.busy_percent_max
        );
    }
    verdict(&what, &target, &format!("{p95} ms"), p95 <= OWN_P95_MAX_MS)
}
