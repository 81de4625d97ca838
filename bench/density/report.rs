//! Writes what was measured: the section of the results.

use std::fmt::Write as _;
use std::path::Path;

use super::{Arguments, Measured, Row, Side};
use crate::common::clinics::Turns;
use crate::common::machine::setting;
use crate::common::results::{self, Section};
use crate::common::{Failure, percentile, verdict};

/// Ours to the peer's, at most.
const CPU_RATIO_MAX: f64 = 1.0 / 12.0;
const MEMORY_RATIO_MAX: f64 = 1.0 / 35.0;
/// From the fewest calls of ours to the most.
const CPU_GROWTH_MAX: f64 = 1.10;
const LATENCY_GROWTH_MAX: f64 = 1.25;
/// Packets that came more than 10 ms late, as a share.
const LATE_MAX: f64 = 0.001;
/// From the job's assignment, which is after the caller has begun to join.
const GREETING_MAX_MS: u64 = 350;
/// Rows of at least so many calls show whether a call's cost grows.
const MANY: u16 = 10;

/// One line for the terminal.
pub(super) fn line(it: &Measured) -> String {
    let answers = it.answers();
    format!(
        "{:.4} cores a call ({:.3} in all, {:.3} idle), {:.1} MB PSS ({:.1} idle), {} processes; answers median {} ms, p95 {} ms, {} missing; {:.3} % late; machine {:.0} % busy",
        it.cores_per_call(),
        it.busy.cores,
        it.idle.cores,
        megabytes(it.busy.pss_kb),
        megabytes(it.idle.pss_kb),
        it.busy.processes,
        percentile(&answers, 50),
        percentile(&answers, 95),
        it.unanswered(),
        100.0 * it.late(),
        100.0 * it.load.busy_share(),
    )
}

fn megabytes(kb: u64) -> f64 {
    kb as f64 / 1000.0
}

/// Writes everything and prints where. The rows from `failed` on are missing.
pub(super) fn write(arguments: &Arguments, checkout: &Path, rows: &[Measured], failed: Option<Row>) -> Result<(), Failure> {
    let mut text = section(arguments, rows);
    if let Some(row) = failed {
        let _infallible = writeln!(text, "\n**Not whole**: the row {} failed, and what comes after it was not measured.", row.id());
    }
    results::write(&checkout.join(&arguments.out), Section::Density, &text, checkout)?;
    println!("\n{text}");
    Ok(())
}

fn section(arguments: &Arguments, rows: &[Measured]) -> String {
    let mut text = format!(
        "# Density\n\nWritten by `make bench-density`; [README.md](README.md) says how to read it.\n\n{}| simulated services | {} |\n\
         | callers | participants of LiveKit rooms that send encoded speech and decode nothing, or, without LiveKit, lines within the worker; {} sentences a call |\n\n\
         | row | calls | cores a call | cores, idle | PSS, MB | idle | processes | answer median | p95 | missing | late packets | first greeting, median | machine busy |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        setting(),
        arguments.delays.words(),
        arguments.turns,
    );
    for it in rows {
        let answers = it.answers();
        let greeted = it.greeted();
        let _infallible = writeln!(
            text,
            "| {} | {} | {:.4} | {:.3} | {:.1} | {:.1} | {} | {} ms | {} ms | {} | {:.3} % | {} ms | {:.0} %{} |",
            it.row.title(),
            it.row.calls,
            it.cores_per_call(),
            it.idle.cores,
            megabytes(it.busy.pss_kb),
            megabytes(it.idle.pss_kb),
            it.busy.processes,
            percentile(&answers, 50),
            percentile(&answers, 95),
            it.unanswered(),
            100.0 * it.late(),
            percentile(&greeted, 50),
            100.0 * it.load.busy_share(),
            if it.is_valid(arguments.busy_percent_max) { "" } else { " **invalid**" },
        );
    }
    text.push_str("\n| what | target | measured | verdict |\n|---|---|---|---|\n");
    let verdicts = Verdicts { arguments, rows };
    verdicts.against_the_peer(&mut text);
    verdicts.growth(Side::Ours, &mut text);
    verdicts.growth(Side::Alone, &mut text);
    verdicts.greeting(&mut text);
    verdicts.idle(&mut text);
    text
}

struct Verdicts<'a> {
    arguments: &'a Arguments,
    rows: &'a [Measured],
}

impl Verdicts<'_> {
    fn find(&self, side: Side, turns: Turns, calls: u16) -> Option<&Measured> {
        self.rows.iter().find(|it| it.row.side == side && it.row.turns == turns && it.row.calls == calls)
    }

    /// Writes a verdict, unless one of the rows does not count.
    fn judge(&self, text: &mut String, what: &str, target: &str, measured: &str, of: &[&Measured], is_met: bool) {
        if of.iter().all(|it| it.is_valid(self.arguments.busy_percent_max)) {
            text.push_str(&verdict(what, target, measured, is_met));
        } else {
            let _infallible = writeln!(
                text,
                "| {what} | {target} | {measured} | **invalid**: the machine was more than {} % busy |",
                self.arguments.busy_percent_max
            );
        }
    }

    fn against_the_peer(&self, text: &mut String) {
        for (turns, calls) in [(Turns::Vad, 4), (Turns::Vad, 6), (Turns::Model, 4), (Turns::Model, 6)] {
            let (Some(ours), Some(peer)) = (self.find(Side::Ours, turns, calls), self.find(Side::Peer, Turns::Vad, calls)) else {
                continue;
            };
            let ratio = ours.cores_per_call() / peer.cores_per_call();
            let what = format!("{}, {calls} calls: processor time a call, of the peer's with VAD only", ours.row.title());
            let measured = format!("{:.4} / {:.4} = 1/{:.1}", ours.cores_per_call(), peer.cores_per_call(), 1.0 / ratio);
            let target = if turns == Turns::Vad { "≤ 1/12" } else { "stated" };
            let is_met = turns == Turns::Model || ratio <= CPU_RATIO_MAX;
            self.judge(text, &what, target, &measured, &[ours, peer], is_met);
        }
        let slope = |side| {
            let (few, more) = (self.find(side, Turns::Vad, 4)?, self.find(side, Turns::Vad, 6)?);
            let kb = more.busy.pss_kb as f64 - few.busy.pss_kb as f64;
            Some((kb / 1000.0 / 2.0, more.busy.pss_kb as f64 / 1000.0 / 6.0))
        };
        if let (Some((ours, our_share)), Some((peer, peer_share))) = (slope(Side::Ours), slope(Side::Peer)) {
            let ratio = ours.max(0.0) / peer;
            let measured = format!(
                "{ours:.2} MB / {peer:.1} MB = 1/{:.0} (all memory by six calls: {our_share:.1} and {peer_share:.1} MB)",
                1.0 / ratio.max(1e-6)
            );
            let what = "VAD only: memory of one more call, between 4 and 6 calls";
            text.push_str(&verdict(what, "≤ 1/35", &measured, ratio <= MEMORY_RATIO_MAX));
        }
    }

    fn growth(&self, side: Side, text: &mut String) {
        let many: Vec<&Measured> =
            self.rows.iter().filter(|it| it.row.side == side && it.row.turns == Turns::Vad && it.row.calls >= MANY).collect();
        let Some((few, most)) = many.split_first() else { return };
        let (who, where_late) = match side {
            Side::Alone => ("frontdesk without LiveKit", "frames more than 10 ms late"),
            Side::Ours | Side::Peer => ("frontdesk", "packets more than 10 ms late at the caller"),
        };
        for more in most {
            let (few_cores, more_cores) = (few.cores_per_call(), more.cores_per_call());
            let what = format!("{who}, {} calls against {}: processor time a call", more.row.calls, few.row.calls);
            let measured = format!("{more_cores:.4} / {few_cores:.4} = {:.2}", more_cores / few_cores);
            self.judge(text, &what, "≤ 1.10", &measured, &[few, more], more_cores <= few_cores * CPU_GROWTH_MAX);
            let (few_p95, more_p95) = (percentile(&few.answers(), 95), percentile(&more.answers(), 95));
            let what = format!("{who}, {} calls against {}: answers, p95", more.row.calls, few.row.calls);
            let measured = format!("{more_p95} ms / {few_p95} ms = {:.2}", more_p95 as f64 / few_p95 as f64);
            self.judge(text, &what, "≤ 1.25", &measured, &[few, more], more_p95 as f64 <= few_p95 as f64 * LATENCY_GROWTH_MAX);
        }
        for it in &many {
            let what = format!("{who}, {} calls: {where_late}", it.row.calls);
            self.judge(text, &what, "< 0.1 %", &format!("{:.3} %", 100.0 * it.late()), &[it], it.late() < LATE_MAX);
        }
    }

    /// Of rows in which most calls were greeted with what had been kept.
    fn greeting(&self, text: &mut String) {
        for it in self.rows.iter().filter(|it| it.row.side == Side::Ours && it.row.turns == Turns::Vad && it.row.calls >= MANY) {
            let (what, median) = (format!("frontdesk, {} calls: first greeting, median", it.row.calls), percentile(&it.greeted(), 50));
            self.judge(text, &what, "≤ 350 ms", &format!("{median} ms"), &[it], median <= GREETING_MAX_MS);
        }
    }

    /// Of the worker that is to have the most calls.
    fn idle(&self, text: &mut String) {
        let mut ours = self.rows.iter().filter(|it| it.row.side == Side::Ours && it.row.turns == Turns::Vad && it.row.calls >= MANY);
        let Some(idle) = ours.next_back().map(|it| it.idle) else { return };
        let measured = format!("{:.3} cores, {:.1} MB PSS", idle.cores, megabytes(idle.pss_kb));
        let what = "frontdesk, idle worker before its first call";
        text.push_str(&verdict(what, "< 0.005 cores, < 60 MB", &measured, idle.cores < 0.005 && idle.pss_kb < 60_000));
    }
}
