//! Writes what was measured: the table with its verdicts, the raw turns, the picture.

use std::fmt::Write as _;
use std::path::Path;

use frontdesk_agent::CallRecord;

use super::judge::{Figures, Kind, Turn};
use super::rows::{ROWS, Row, Side};
use super::{Arguments, Block, plot, stages};
use crate::common::machine::{load_average, printed, setting as machine};
use crate::common::results::{self, Section};
use crate::common::{Failure, percentile, put, shown, verdict};

/// Ours over the peer's.
const MEDIAN_RATIO_MAX: f64 = 0.6;
const P95_RATIO_MAX: f64 = 0.75;
/// From the caller's last sound to the first byte of speech.
const FIRST_BYTE_MAX_MS: u64 = 900;
/// From the caller's last sound to the agent's first.
const TURN_P95_MAX_MS: u64 = 1500;

/// What a row came to.
struct Summary {
    row: Row,
    turns: Vec<Turn>,
    records: Vec<CallRecord>,
}

/// Writes everything and prints where.
pub(super) fn write(arguments: &Arguments, checkout: &Path, dir: &Path, blocks: &[Block]) -> Result<(), Failure> {
    let summaries: Vec<Summary> = ROWS.iter().filter_map(|row| summary(row, blocks)).collect();
    let turns: Vec<&Turn> = blocks.iter().flat_map(|block| &block.turns).collect();
    put(&dir.join("turns.csv"), &csv(&turns), checkout)?;
    put(&dir.join("turns.json"), &serde_json::to_string_pretty(&turns).map_err(Failure::new)?, checkout)?;
    let gaps: Vec<(Row, Vec<u64>)> =
        summaries.iter().map(|summary| (summary.row, summary.turns.iter().filter_map(|turn| turn.gap_ms).collect())).collect();
    let out = checkout.join(&arguments.out);
    put(&out.with_file_name("latency.svg"), &plot::svg(&gaps), checkout)?;
    let text = results(arguments, checkout, dir, blocks, &summaries);
    results::write(&out, Section::Latency, &text, checkout)?;
    println!("\n{text}");
    Ok(())
}

fn summary(row: &Row, blocks: &[Block]) -> Option<Summary> {
    let own: Vec<&Block> = blocks.iter().filter(|block| block.row == *row).collect();
    let turns = own.iter().flat_map(|block| block.turns.iter().cloned()).collect();
    let records = own.iter().flat_map(|block| block.records.iter().cloned()).collect();
    (!own.is_empty()).then_some(Summary { row: *row, turns, records })
}

fn csv(turns: &[&Turn]) -> String {
    let mut text =
        "row,round,caller,turn,pause_ms,measured_pause_ms,began_ms,last_sound_ms,gap_ms,spoken_into,committed_early,text\n".to_owned();
    for turn in turns {
        let gap = turn.gap_ms.map(|gap| gap.to_string()).unwrap_or_default();
        let Turn { row, round, caller, turn: number, pause_ms, measured_pause_ms, began_ms, last_sound_ms, text: said, .. } = turn;
        let _infallible = writeln!(
            text,
            "{row},{round},{caller},{number},{pause_ms},{measured_pause_ms},{began_ms},{last_sound_ms},{gap},{},{},\"{said}\"",
            turn.was_spoken_into, turn.was_committed_early
        );
    }
    text
}

fn results(arguments: &Arguments, checkout: &Path, dir: &Path, blocks: &[Block], summaries: &[Summary]) -> String {
    let mut text =
        "# Latency: frontdesk and livekit-agents\n\nWritten by `make bench-latency`; [README.md](README.md) says how to read it.\n\n"
            .to_owned();
    text.push_str(&setting(arguments, checkout));
    text.push_str("\n## Caller's last sound to agent's first\n\n![Distributions](latency.svg)\n\n");
    text.push_str(
        "| row | utterances | turns | median | p95 | worst | unanswered | spoken into | committed early | cut off |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for summary in summaries {
        for (name, kind) in [("all", Kind::All), ("without pause", Kind::Plain), ("with a pause", Kind::Paused)] {
            text.push_str(&line(summary.row.title, name, &Figures::of(&summary.turns, kind)));
        }
    }
    text.push_str(&disturbance(arguments, blocks));
    text.push_str("\n## Verdicts\n\n| what | target | measured | verdict |\n|---|---|---|---|\n");
    for verdict in ratios(summaries).into_iter().chain(absolutes(summaries)) {
        text.push_str(&verdict);
    }
    text.push_str(&own_stages(summaries));
    text.push_str(&load(blocks));
    let _infallible = write!(
        text,
        "\nRaw turns: `{0}/turns.csv` and `.json`; what each caller heard: `{0}/*.wav` (caller left, agent right).\n",
        shown(dir, checkout)
    );
    text
}

fn setting(arguments: &Arguments, checkout: &Path) -> String {
    let python = checkout.join(&arguments.peer_python);
    let pinned = std::fs::read_to_string(checkout.join("bench/peer/requirements.txt")).unwrap_or_default();
    let peer: Vec<&str> = pinned.lines().filter(|line| line.contains("==")).collect();
    format!(
        "{}| peer | {}; {} |\n| way of the audio | SIP caller (PCMU) → `frontdesk sip` → LiveKit room → agent, for all rows |\n\
         | simulated services | {} |\n| callers | {} at once, {} counted turns a call, {} rounds |\n",
        machine(),
        peer.join(", "),
        printed(python, &["--version"]),
        arguments.delays.words(),
        arguments.callers,
        arguments.turns,
        arguments.rounds,
    )
}

fn line(row: &str, utterances: &str, figures: &Figures) -> String {
    let Figures { turns, unanswered, median_ms, p95_ms, worst_ms, spoken_into, committed_early, cut_off } = figures;
    format!(
        "| {row} | {utterances} | {turns} | {median_ms} ms | {p95_ms} ms | {worst_ms} ms | {unanswered} | {spoken_into} | {committed_early} | {cut_off} ({:.0} %) |\n",
        share(*cut_off, *turns)
    )
}

fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// Ours against the peer's, row by row.
fn ratios(summaries: &[Summary]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in ROWS.iter().filter(|row| row.side == Side::Ours) {
        let find = |wanted: &Row| summaries.iter().find(|summary| summary.row == *wanted);
        let what = format!("{} against {}", row.title, row.rival().title);
        let (Some(ours), Some(peer)) = (find(row), find(row.rival())) else {
            lines.push(format!("| {what} | | not measured: a row is missing | **miss** |\n"));
            continue;
        };
        let (ours, peer) = (Figures::of(&ours.turns, Kind::All), Figures::of(&peer.turns, Kind::All));
        if ours.median_ms == 0 || peer.median_ms == 0 {
            lines.push(format!("| {what} | | not measured: no turn was answered | **miss** |\n"));
            continue;
        }
        for (name, ours, peer, target) in
            [("median", ours.median_ms, peer.median_ms, MEDIAN_RATIO_MAX), ("p95", ours.p95_ms, peer.p95_ms, P95_RATIO_MAX)]
        {
            let ratio = ours as f64 / peer.max(1) as f64;
            let measured = format!("{ours} ms / {peer} ms = {ratio:.2}");
            lines.push(verdict(&format!("{what}, {name}"), &format!("≤ {target}"), &measured, ratio <= target));
        }
        let (own_share, peer_share) = (share(ours.cut_off, ours.turns), share(peer.cut_off, peer.turns));
        let measured = format!("{own_share:.0} % against {peer_share:.0} %");
        lines.push(verdict(&format!("{what}, cut off early"), "no more", &measured, own_share <= peer_share));
        let measured = format!("{} against {}", ours.unanswered, peer.unanswered);
        lines.push(verdict(&format!("{what}, unanswered"), "no more", &measured, ours.unanswered <= peer.unanswered));
    }
    lines
}

fn absolutes(summaries: &[Summary]) -> Vec<String> {
    let mut lines = Vec::new();
    for summary in summaries.iter().filter(|summary| summary.row.side == Side::Ours) {
        let title = summary.row.title;
        let times = stages::times(&summary.records, stages::FIRST_AUDIO);
        let (median, p95) = (percentile(&times, 50), percentile(&times, 95));
        let measured = format!("p95 {p95} ms, median {median} ms");
        let is_met = !times.is_empty() && p95 <= FIRST_BYTE_MAX_MS;
        lines.push(verdict(
            &format!("{title}: last sound to first byte of speech, p95"),
            &format!("≤ {FIRST_BYTE_MAX_MS} ms"),
            &measured,
            is_met,
        ));
        let figures = Figures::of(&summary.turns, Kind::All);
        let is_met = figures.p95_ms > 0 && figures.p95_ms <= TURN_P95_MAX_MS;
        let measured = format!("{} ms", figures.p95_ms);
        lines.push(verdict(&format!("{title}: whole turn, p95"), &format!("≤ {TURN_P95_MAX_MS} ms"), &measured, is_met));
    }
    lines
}

/// Says so when others used the machine too much for the figures to count.
fn disturbance(arguments: &Arguments, blocks: &[Block]) -> String {
    let disturbed = blocks.iter().filter(|block| block.load.foreign_cores > arguments.foreign_cores_max).count();
    if disturbed == 0 {
        return String::new();
    }
    format!(
        "\n**Disturbed: during {disturbed} of {} blocks other programs used more than {} cores. The figures do not count; repeat on a quiet \
         machine.**\n",
        blocks.len(),
        arguments.foreign_cores_max
    )
}

/// Where our own time goes.
fn own_stages(summaries: &[Summary]) -> String {
    let mut text = "\n## Stages of our own turns\n\nFrom the caller's last sound as the worker heard it, from the call records; the first turn of each call is left out.\n\n| stage | ".to_owned();
    let own: Vec<&Summary> = summaries.iter().filter(|summary| summary.row.side == Side::Ours).collect();
    if own.is_empty() {
        return String::new();
    }
    let titles: Vec<&str> = own.iter().map(|summary| summary.row.title).collect();
    let _infallible = writeln!(text, "{} |\n|---|{}", titles.join(" | "), "---|".repeat(own.len()));
    for (place, (name, _)) in stages::STAGES.iter().enumerate() {
        let cell = |summary: &&Summary| {
            let times = stages::times(&summary.records, place);
            format!("median {} ms, p95 {} ms", percentile(&times, 50), percentile(&times, 95))
        };
        let cells: Vec<String> = own.iter().map(cell).collect();
        let _infallible = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

fn load(blocks: &[Block]) -> String {
    let mut text = "\n## Load while it was measured\n\nIn cores. A block is played once more when others used too much; the quieter of the two counts.\n\n| row | round | busy | others' | load average | repeated | turns lost |\n|---|---|---|---|---|---|---|\n".to_owned();
    for block in blocks {
        let repeated = if block.was_repeated { "yes" } else { "" };
        let _infallible = writeln!(
            text,
            "| {} | {} | {:.2} | {:.2} | {:.1} | {repeated} | {} |",
            block.row.title,
            block.round + 1,
            block.load.busy_cores,
            block.load.foreign_cores,
            block.load.average,
            block.lost_turns
        );
    }
    let _infallible = writeln!(text, "\nLoad average at the end: {:.1}.", load_average());
    text
}
