//! The table in the terminal.

use crate::eval::run::{Outcome, Verdict};

/// One line for a scenario that was played, and one for each fault.
#[must_use]
pub fn line(outcome: &Outcome, colours: bool) -> String {
    let paint = |code: &str, text: &str| if colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let (mark, faults, prefix) = match &outcome.verdict {
        Verdict::Passed => (paint("32", "pass "), &[][..], ""),
        Verdict::KnownFailure { reason, .. } => (paint("33", "known"), std::slice::from_ref(reason), "known failure: "),
        Verdict::Failed(faults) => (paint("31", "FAIL "), faults.as_slice(), ""),
        Verdict::Unfit(reason) => (paint("90", "skip "), std::slice::from_ref(reason), "not for this depth: "),
    };
    let figures = outcome.trace.as_ref().map_or_else(String::new, |trace| {
        let mut latencies = trace.latencies();
        latencies.sort_unstable();
        let median = latencies.get(latencies.len() / 2).map_or_else(|| "      -".to_owned(), |median| format!("{median:>4} ms"));
        format!("{:>6.1} s  {median}  {:>2} turns", trace.seconds(), trace.record.turns.len())
    });
    let mut text = format!(
        "{mark}  {:<5}  {:<44}  {figures:<30}  {:>5.2} s",
        outcome.depth.as_str(),
        outcome.scenario.name,
        outcome.took.as_secs_f64()
    );
    for fault in faults {
        text.push_str(&format!("\n         {prefix}{fault}"));
    }
    text
}

/// The last line.
#[must_use]
pub fn summary(outcomes: &[Outcome]) -> String {
    let count = |is: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| is(&outcome.verdict)).count();
    let passed = count(|verdict| *verdict == Verdict::Passed);
    let known = count(|verdict| matches!(verdict, Verdict::KnownFailure { .. }));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let unfit = count(|verdict| matches!(verdict, Verdict::Unfit(_)));
    let called: f64 = outcomes.iter().filter_map(|outcome| outcome.trace.as_ref()).map(super::super::trace::Trace::seconds).sum();
    let known = if known > 0 { format!(", {known} known to fail") } else { String::new() };
    let unfit = if unfit > 0 { format!(", {unfit} not for their depth") } else { String::new() };
    format!("{passed} passed{known}{unfit}, {failed} failed; {:.0} minutes of calls", called / 60.0)
}
