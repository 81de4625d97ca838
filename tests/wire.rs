//! A few scenarios of `scenarios/`, those marked `smoke: true`, as SIP calls through bridge, LiveKit server and worker; time is real.

#![cfg(feature = "demo")]

use std::path::Path;

use frontdesk::eval::{Depth, Rehearsal, Verdict, load, report};

#[test]
fn a_few_scenarios_end_as_they_say_when_played_over_the_wire() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = load(&[repository.join("scenarios")]).unwrap_or_else(|error| panic!("{error}"));
    let plays: Vec<_> = found.into_iter().filter(|(_, scenario)| scenario.smoke).map(|(_, scenario)| (scenario, Depth::Call)).collect();
    assert!((2..=4).contains(&plays.len()), "a handful, for time is real: {}", plays.len());
    let rehearsal = Rehearsal::new(&repository.join("agent-config")).expect("threads can be had");
    let rehearsal = rehearsal.with_program(env!("CARGO_BIN_EXE_frontdesk"));
    let mut outcomes = rehearsal.play_all(&plays, 2, |outcome| println!("{}", report::line(outcome, false)));
    // Time is real and the machine is busy with other tests: what fails beside others must fail alone as well.
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.verdict != Verdict::Passed) {
        *outcome = rehearsal.play(&outcome.scenario, Depth::Call);
        println!("once more, alone: {}", report::line(outcome, false));
    }
    rehearsal.close();
    let failed: Vec<String> =
        outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed).map(|outcome| report::line(outcome, false)).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), outcomes.len(), failed.join("\n"));
}
