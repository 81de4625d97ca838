//! JUnit XML, one test suite a depth.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::eval::run::{Outcome, Verdict};
use crate::eval::scenario::Depth;

/// The document.
///
/// # Errors
/// When the writer of XML fails; its words.
pub fn junit(outcomes: &[Outcome]) -> Result<String, String> {
    let mut report = Report::new("frontdesk eval");
    for depth in [Depth::Text, Depth::Audio, Depth::Call] {
        let of_depth: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.depth == depth).collect();
        if of_depth.is_empty() {
            continue;
        }
        let mut suite = TestSuite::new(depth.as_str());
        for outcome in of_depth {
            let status = match &outcome.verdict {
                Verdict::Passed => TestCaseStatus::success(),
                Verdict::KnownFailure { reason, .. } => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(format!("known failure: {reason}"));
                    status
                }
                Verdict::Unfit(reason) => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(format!("not for this depth: {reason}"));
                    status
                }
                Verdict::Failed(faults) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(faults.first().cloned().unwrap_or_default()).set_description(faults.join("\n"));
                    status
                }
            };
            let mut case = TestCase::new(outcome.scenario.name.clone(), status);
            case.set_classname(format!("eval.{}", depth.as_str())).set_time(outcome.took);
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}
