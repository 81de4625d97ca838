//! Calls of a bench, placed side by side.

use std::time::Duration;

use frontdesk_simulators::caller::{CallOutcome, Caller, CallerOptions};
use tokio::sync::mpsc;

use super::Failure;

/// A call to be placed.
pub(crate) struct Call {
    pub(crate) options: CallerOptions,
    /// How long after the others' common beginning it begins.
    pub(crate) after: Duration,
    /// It is a failure of the bench if it lasts longer.
    pub(crate) longest: Duration,
}

/// The number from which a caller calls.
pub(crate) fn number_of(caller: usize) -> String {
    format!("+1555014{caller:04}")
}

/// Places calls and waits for the end of all, in their order.
pub(crate) async fn place(caller: &Caller, row: &str, calls: Vec<Call>) -> Result<Vec<CallOutcome>, Failure> {
    let mut running = Vec::new();
    for Call { options, after, longest } in calls {
        let caller = caller.clone();
        running.push(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // Nobody watches the events.
            let (events, _) = mpsc::channel(1);
            tokio::time::timeout(longest, caller.call(options, events)).await
        }));
    }
    let mut outcomes = Vec::new();
    for (number, call) in running.into_iter().enumerate() {
        let told = |cause: &dyn std::fmt::Display| Failure::new(format!("{row}, caller {number}: {cause}"));
        let outcome = call.await.map_err(Failure::new)?;
        outcomes.push(outcome.map_err(|_| told(&"the call did not end"))?.map_err(|error| told(&error))?);
    }
    Ok(outcomes)
}
