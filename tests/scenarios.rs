//! All scenarios of `scenarios/`, at the depths text and audio, in virtual time.

#![cfg(feature = "demo")]

use std::path::{Path, PathBuf};

use frontdesk::eval::{Depth, Outcome, Rehearsal, Scenario, Verdict, load, report};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scenarios() -> Vec<Scenario> {
    let found: Vec<(PathBuf, Scenario)> = load(&[repository().join("scenarios")]).unwrap_or_else(|error| panic!("{error}"));
    found.into_iter().map(|(_, scenario)| scenario).collect()
}

/// Plays all scenarios that have this depth; tells each that failed by its name.
fn play(depth: Depth) -> Vec<Outcome> {
    let plays: Vec<_> =
        scenarios().into_iter().filter(|scenario| scenario.depths.contains(&depth)).map(|scenario| (scenario, depth)).collect();
    let rehearsal = Rehearsal::new(&repository().join("agent-config")).expect("threads can be had");
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let mut outcomes = rehearsal.play_all(&plays, at_once, |outcome| println!("{}", report::line(outcome, false)));
    if depth == Depth::Audio {
        // What falls into the same millisecond of virtual time happens in an order of chance, and codes are drawn by lot: one in some
        // hundred calls goes another way. What fails beside others must fail alone as well.
        for outcome in outcomes.iter_mut().filter(|outcome| !outcome.is_good()) {
            println!("once more, alone: {}", report::line(outcome, true));
            *outcome = rehearsal.play(&outcome.scenario, depth);
        }
    }
    println!("{}", report::summary(&outcomes));
    let failed: Vec<String> = outcomes.iter().filter(|outcome| !outcome.is_good()).map(|outcome| report::line(outcome, false)).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), outcomes.len(), failed.join("\n"));
    outcomes
}

#[test]
fn every_scenario_ends_as_it_says_when_played_as_text() {
    let outcomes = play(Depth::Text);
    // Time is virtual and chance has no part in it: a second run is the same.
    let first = outcomes.iter().find(|outcome| outcome.scenario.name == "books-the-second-slot").expect("it ships");
    let again = Rehearsal::new(&repository().join("agent-config")).expect("threads can be had").play(&first.scenario, first.depth);
    let lines = |outcome: &Outcome| {
        let lines = outcome.trace.as_ref().expect("it was played").record.transcript.iter();
        // The code is drawn by lot.
        lines
            .filter(|line| !line.text.contains("confirmation code"))
            .map(|line| (line.start_ms, line.text.clone()))
            .take(10)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(first), lines(&again));
    reports_hold_every_call(&outcomes);
}

#[test]
fn every_scenario_ends_as_it_says_when_played_as_audio() {
    play(Depth::Audio);
}

#[test]
fn what_has_no_counterpart_on_the_wire_is_not_played_there_and_says_why() {
    let scenario = scenarios().into_iter().find(|scenario| !scenario.faults.tools.is_empty()).expect("one ships");
    let rehearsal = Rehearsal::new(&repository().join("agent-config")).expect("threads can be had");
    let outcome = rehearsal.play(&scenario, Depth::Call);
    assert!(outcome.is_good() && matches!(&outcome.verdict, Verdict::Unfit(reason) if reason.contains("tools")), "{:?}", outcome.verdict);
    assert!(report::line(&outcome, false).contains("not for this depth"));
    let xml = report::junit(std::slice::from_ref(&outcome)).expect("it can be written");
    assert!(xml.contains("<skipped") && xml.contains("not for this depth"), "{xml}");
}

fn reports_hold_every_call(outcomes: &[Outcome]) {
    let (page, xml) = (report::html(outcomes), report::junit(outcomes).expect("it can be written"));
    for outcome in outcomes {
        assert!(page.contains(&format!("id=\"{}-text\"", outcome.scenario.name)), "{}", outcome.scenario.name);
        assert!(xml.contains(&format!("name=\"{}\"", outcome.scenario.name)), "{}", outcome.scenario.name);
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing from elsewhere");
}

#[test]
fn a_scenario_that_is_not_met_fails_by_what_was_expected() {
    let mut scenario = scenarios().into_iter().find(|scenario| scenario.name == "hangs-up-during-the-greeting").expect("it ships");
    let rehearsal = Rehearsal::new(&repository().join("agent-config")).expect("threads can be had");
    scenario.expect.outcome = Some("completed".into());
    let Verdict::Failed(faults) = rehearsal.play(&scenario, Depth::Text).verdict else { panic!("it must fail") };
    assert!(faults.len() == 1 && faults[0].starts_with("outcome: completed is expected"), "{faults:?}");
    let Outcome { verdict, .. } = {
        scenario.expect.outcome = Some("caller_hung_up".into());
        scenario.known_failure =
            Some(frontdesk::eval::scenario::KnownFailure { reason: "none".into(), depths: vec![Depth::Text, Depth::Audio] });
        rehearsal.play(&scenario, Depth::Text)
    };
    assert!(matches!(verdict, Verdict::Failed(faults) if faults[0].contains("take known_failure out")));
}
