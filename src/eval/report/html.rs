//! One self-contained page: each call drawn over time, what was said, and what was expected.

use std::fmt::Write as _;

use frontdesk_conversation::Speaker;

use super::table::summary;
use crate::eval::caller::{Act, ActKind};
use crate::eval::run::{Outcome, Verdict};
use crate::eval::trace::{ToolSpan, Trace};

const STYLE: &str = include_str!("page.css");
/// Width of one second, in SVG units.
const SECOND: f64 = 62.0;
/// Lanes, from the top: their middle.
const CALLER_Y: f64 = 62.0;
const AGENT_Y: f64 = 142.0;
const TOOLS_Y: f64 = 204.0;
const HEIGHT: f64 = 246.0;
/// Half of the height of a waveform.
const AMPLITUDE: f64 = 22.0;
/// Left margin, for the names of the lanes.
const LEFT: f64 = 64.0;

/// The page.
#[must_use]
pub fn html(outcomes: &[Outcome]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>frontdesk eval</title><style>{STYLE}</style></head><body>\
         <header><h1>Rehearsed calls</h1><p class=\"sum\">{}</p>{}</header><main>",
        escape(&summary(outcomes)),
        overview(outcomes)
    );
    // What failed comes first.
    let rank = |outcome: &&Outcome| match outcome.verdict {
        Verdict::Failed(_) => 0,
        Verdict::KnownFailure { .. } => 1,
        Verdict::Passed => 2,
        Verdict::Unfit(_) => 3,
    };
    let mut ordered: Vec<&Outcome> = outcomes.iter().collect();
    ordered.sort_by_key(rank);
    for outcome in ordered {
        card(&mut page, outcome);
    }
    page.push_str(
        "</main><footer>Time runs from the answer, in seconds. Caller above, agent below; the strip under the agent is what it did: \
         <i class=\"k listening\"></i> listening <i class=\"k thinking\"></i> thinking <i class=\"k speaking\"></i> speaking. \
         A red line is a barge-in that cut the agent short.</footer></body></html>\n",
    );
    page
}

fn class(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Passed => ("pass", "passed"),
        Verdict::KnownFailure { .. } => ("known", "known failure"),
        Verdict::Unfit(_) => ("unfit", "not for this depth"),
        Verdict::Failed(_) => ("fail", "failed"),
    }
}

fn id(outcome: &Outcome) -> String {
    format!("{}-{}", outcome.scenario.name, outcome.depth.as_str())
}

/// A dot for each call.
fn overview(outcomes: &[Outcome]) -> String {
    let dot = |outcome: &Outcome| {
        let (class, word) = class(&outcome.verdict);
        format!(
            "<a class=\"dot {class}\" href=\"#{}\" title=\"{} ({}): {word}\"></a>",
            id(outcome),
            outcome.scenario.name,
            outcome.depth.as_str()
        )
    };
    format!("<nav>{}</nav>", outcomes.iter().map(dot).collect::<String>())
}

fn card(page: &mut String, outcome: &Outcome) {
    let (class, word) = class(&outcome.verdict);
    let scenario = &outcome.scenario;
    let open = if matches!(class, "pass" | "unfit") { "" } else { " open" };
    let figures = outcome.trace.as_ref().map_or_else(String::new, figures);
    let _ = write!(
        page,
        "<details id=\"{}\" class=\"card {class}\"{open}><summary><span class=\"mark\">{word}</span><b>{}</b><span class=\"depth\">{}</span>\
         <span class=\"fig\">{figures}</span></summary><p class=\"what\">{}</p>",
        id(outcome),
        escape(&scenario.name),
        outcome.depth.as_str(),
        escape(scenario.description.trim())
    );
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Unfit(reason) => {
            let _ = write!(page, "<p class=\"why\">Not for this depth: {}.</p>", escape(reason));
        }
        Verdict::KnownFailure { reason, faults } => {
            let _ = write!(page, "<p class=\"why\">Known: {}</p>{}", escape(reason), list(faults));
        }
        Verdict::Failed(faults) => page.push_str(&list(faults)),
    }
    if let Some(trace) = &outcome.trace {
        page.push_str("<div class=\"time\">");
        drawing(page, trace);
        page.push_str("</div><div class=\"both\">");
        transcript(page, trace);
        outcome_of(page, outcome, trace);
        page.push_str("</div>");
    }
    page.push_str("</details>");
}

fn list(faults: &[String]) -> String {
    let items: String = faults.iter().map(|fault| format!("<li>{}</li>", escape(fault))).collect();
    format!("<ul class=\"faults\">{items}</ul>")
}

fn figures(trace: &Trace) -> String {
    let mut latencies = trace.latencies();
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2).map_or_else(|| "–".to_owned(), |median| format!("{median} ms"));
    let worst = latencies.last().map_or_else(|| "–".to_owned(), |worst| format!("{worst} ms"));
    format!("{:.1} s · answers after {median} (median), {worst} (slowest) · cut short {}×", trace.seconds(), trace.record.interruptions)
}

/// The two tracks over time.
fn drawing(page: &mut String, trace: &Trace) {
    let seconds = trace.seconds().max(4.0) + 1.0;
    let width = LEFT + seconds * SECOND;
    let _ = write!(page, "<svg width=\"{width:.0}\" height=\"{HEIGHT}\" viewBox=\"0 0 {width:.0} {HEIGHT}\" role=\"img\">");
    for second in 0..=(seconds as u32) {
        let (at, class) = (x(f64::from(second)), if second % 5 == 0 { "tick five" } else { "tick" });
        let _ = write!(page, "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"20\" y2=\"{HEIGHT}\"/>");
        if second % 5 == 0 {
            let _ = write!(page, "<text class=\"sec\" x=\"{at:.1}\" y=\"12\">{second} s</text>");
        }
    }
    for (y, name) in [(CALLER_Y, "caller"), (AGENT_Y, "agent"), (TOOLS_Y + 8.0, "tools")] {
        let _ = write!(page, "<text class=\"lane\" x=\"4\" y=\"{:.0}\">{name}</text>", y + 4.0);
    }
    wave(page, &trace.levels[0], CALLER_Y, "caller");
    wave(page, &trace.levels[1], AGENT_Y, "agent");
    states(page, trace);
    for (number, act) in trace.acts.iter().enumerate() {
        let next = trace.acts.get(number + 1).map_or(f64::MAX, |next| next.start);
        act_mark(page, act, next);
    }
    agent_words(page, trace);
    tools(page, &trace.tools);
    page.push_str("</svg>");
}

fn x(seconds: f64) -> f64 {
    LEFT + seconds * SECOND
}

/// A waveform, mirrored, from the loudest sample of each block.
fn wave(page: &mut String, levels: &[u16], middle: f64, class: &str) {
    let block = f64::from(crate::eval::line::LEVEL_MS) / 1000.0;
    let loudest = levels.iter().copied().max().unwrap_or(0).max(1);
    let height = |level: u16| if level > 40 { (f64::from(level) / f64::from(loudest)).sqrt() * AMPLITUDE } else { 0.0 };
    let mut path = String::new();
    for (at, level) in levels.iter().enumerate().filter(|(_, level)| **level > 40) {
        let (left, half) = (x(at as f64 * block), height(*level).max(1.5));
        let _ = write!(path, "M{left:.1} {:.1}v{:.1}", middle - half, half * 2.0);
    }
    let _ = write!(
        page,
        "<path class=\"wave {class}\" d=\"{path}\"/><line class=\"base\" x1=\"{LEFT}\" x2=\"100%\" y1=\"{middle}\" y2=\"{middle}\"/>"
    );
}

/// What the agent did, as a strip.
fn states(page: &mut String, trace: &Trace) {
    let ends = trace.states.iter().skip(1).map(|(at, _)| *at).chain([trace.seconds()]);
    for ((start, state), end) in trace.states.iter().zip(ends) {
        let width = ((end - start) * SECOND).max(0.5);
        let _ = write!(
            page,
            "<rect class=\"state {state}\" x=\"{:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"7\"><title>{state} {start:.2}–{end:.2} s</title></rect>",
            x(*start),
            AGENT_Y + 28.0
        );
    }
}

fn act_mark(page: &mut String, act: &Act, next: f64) {
    let (left, right) = (x(act.start), x(act.end));
    let (class, label) = match act.kind {
        ActKind::Speech => ("said", act.text.clone()),
        ActKind::Backchannel => ("said back", act.text.clone()),
        ActKind::Typed => ("said typed", format!("⌨ {}", act.text)),
        ActKind::Noise => ("said noise", "noise".into()),
        ActKind::Keys => ("said typed", format!("keys {}", act.text)),
        ActKind::HangUp => ("said hang", "hangs up".into()),
    };
    let class = if act.into_speech && act.kind == ActKind::Speech { format!("{class} into") } else { class.to_owned() };
    let width = (right - left).max(6.0);
    let _ = write!(page, "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"3\"/>", CALLER_Y - 28.0);
    words(page, &label, left, room(act.start, next), CALLER_Y - 31.0, &class);
}

/// The agent's lines, and where they were cut.
fn agent_words(page: &mut String, trace: &Trace) {
    let lines: Vec<_> = trace.record.transcript.iter().filter(|line| line.speaker == Speaker::Agent).collect();
    for (number, line) in lines.iter().enumerate() {
        let next = lines.get(number + 1).map_or(f64::MAX, |next| next.start_ms as f64 / 1000.0);
        let (start, end) = (line.start_ms as f64 / 1000.0, line.end_ms as f64 / 1000.0);
        words(page, &line.text, x(start), room(start, next), AGENT_Y - 27.0, "agent");
        if line.interrupted {
            let at = x(end);
            let _ = write!(
                page,
                "<line class=\"cut\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"><title>cut short at {end:.2} s</title></line>",
                CALLER_Y + 16.0,
                AGENT_Y + 26.0
            );
        }
    }
}

/// The width that words have before the next ones.
fn room(start: f64, next: f64) -> f64 {
    ((next - start) * SECOND - 6.0).clamp(12.0, 1200.0)
}

/// Words above a stretch, as many as fit; all of them when it is pointed at.
fn words(page: &mut String, text: &str, left: f64, width: f64, y: f64, class: &str) {
    let fit = (width / 5.4) as usize;
    let shown =
        if text.chars().count() <= fit { text.to_owned() } else { text.chars().take(fit.saturating_sub(1)).collect::<String>() + "…" };
    let _ =
        write!(page, "<text class=\"words {class}\" x=\"{left:.1}\" y=\"{y:.0}\">{}<title>{}</title></text>", escape(&shown), escape(text));
}

fn tools(page: &mut String, tools: &[ToolSpan]) {
    let mut free = [0.0_f64; 3];
    for tool in tools {
        let width = ((tool.end - tool.start) * SECOND).max(3.0);
        let left = x(tool.start);
        let label = tool.name.chars().count() as f64 * 5.6 + 8.0;
        let row = free.iter().position(|free| *free <= left).unwrap_or(0);
        free[row] = left + width + label;
        let y = TOOLS_Y + row as f64 * 13.0 - 6.0;
        let class = match tool.succeeded {
            Some(true) => "done",
            Some(false) => "failed",
            None => "unknown",
        };
        let _ = write!(
            page,
            "<rect class=\"tool {class}\" x=\"{left:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"9\"/><text class=\"toolname\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            left + width + 3.0,
            y + 8.0,
            escape(&tool.name)
        );
    }
}

fn transcript(page: &mut String, trace: &Trace) {
    page.push_str("<ol class=\"talk\">");
    let mut lines: Vec<(u64, String)> = Vec::new();
    for line in &trace.record.transcript {
        let (who, class) = if line.speaker == Speaker::Agent { ("agent", "a") } else { ("caller", "c") };
        let cut = if line.interrupted { "<em> cut short</em>" } else { "" };
        lines.push((
            line.start_ms,
            format!(
                "<li class=\"{class}\"><time>{:.1}</time><b>{who}</b><span>{}{cut}</span></li>",
                line.start_ms as f64 / 1000.0,
                escape(&line.text)
            ),
        ));
    }
    for tool in &trace.record.tools {
        let status = serde_json::to_value(tool.status).unwrap_or_default();
        let status = status.as_str().unwrap_or_default().to_owned();
        lines.push((
            tool.start_ms,
            format!(
                "<li class=\"t\"><time>{:.1}</time><b>tool</b><span title=\"{}\">{} <code>{}</code> <i>{status}</i></span></li>",
                tool.start_ms as f64 / 1000.0,
                escape(&tool.result.to_string()),
                escape(&tool.name),
                escape(&tool.arguments.to_string())
            ),
        ));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.iter().for_each(|(_, line)| page.push_str(line));
    page.push_str("</ol>");
}

/// What was expected and what came.
fn outcome_of(page: &mut String, outcome: &Outcome, trace: &Trace) {
    let expect = &outcome.scenario.expect;
    page.push_str("<dl>");
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&text));
        }
    };
    let ended = serde_json::to_value(trace.record.outcome).unwrap_or_default();
    row("outcome", format!("{} (expected: {})", ended.as_str().unwrap_or_default(), expect.outcome.as_deref().unwrap_or("anything")));
    row("expected tools", expect.tools.iter().map(|tool| tool.tool.clone()).collect::<Vec<_>>().join(" → "));
    let booked = trace
        .appointments
        .iter()
        .map(|row| format!("{}: {} with {}, {} ({})", row.status, row.start, row.practitioner, row.name, row.phone));
    let booked: Vec<String> = booked.collect();
    row("appointments", if booked.is_empty() { "none".into() } else { booked.join("; ") });
    let said = |list: &[crate::eval::scenario::Said]| {
        list.iter()
            .filter_map(|said| said.text.clone().or_else(|| said.pattern.clone()))
            .map(|text| format!("“{text}”"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    row("must be said", said(&expect.said));
    row("must not be said", said(&expect.never_said));
    row("incidents", trace.record.incidents.join("; "));
    page.push_str("</dl>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
