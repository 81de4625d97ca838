//! What the demo prints while it works.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Prints steps as they begin and end.
pub(super) struct Steps {
    total: usize,
    done: usize,
    terminal: bool,
}

impl Steps {
    pub(super) fn new(total: usize) -> Self {
        Self { total, done: 0, terminal: std::io::stdout().is_terminal() }
    }

    /// Runs one step, printing what it is before and how it went after.
    pub(super) async fn step<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        work: impl Future<Output = Result<(T, String), E>>,
    ) -> Result<T, E> {
        self.done += 1;
        let (label, since) = (format!("[{}/{}] {what}", self.done, self.total), Instant::now());
        if self.terminal {
            print!("{label} … ");
            flush();
        }
        let outcome = work.await;
        let line = match &outcome {
            Ok((_, remark)) => format!("{remark} ({} ms)", since.elapsed().as_millis()),
            Err(_) => "FAILED".to_owned(),
        };
        if self.terminal {
            println!("{line}");
        } else {
            println!("{label}: {line}");
        }
        flush();
        outcome.map(|(value, _)| value)
    }
}

/// A line of the live transcript.
pub(super) fn spoken(caller: Option<usize>, who: &str, text: &str, remark: &str) {
    let caller = caller.map_or_else(String::new, |number| format!("[{number}] "));
    println!("  {caller}{who:>6}: {text}{}{remark}", if remark.is_empty() { "" } else { "   " });
    flush();
}

pub(super) fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// The middle one; `None` of nothing.
pub(super) fn median(values: &[Duration]) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// `median 812 ms of 5 (target 1200 ms: met)`.
pub(super) fn against(values: &[Duration], target: Duration) -> String {
    match median(values) {
        None => "not measured".into(),
        Some(median) => {
            let verdict = if median <= target { "met" } else { "MISSED" };
            format!("median {} of {} (target {}: {verdict})", millis(median), values.len(), millis(target))
        }
    }
}

fn flush() {
    // A closed terminal is no reason to fail the call.
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        let of = |values: &[u64]| median(&values.iter().copied().map(Duration::from_millis).collect::<Vec<_>>());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(Duration::from_millis(7)));
        assert_eq!(of(&[9, 1, 5]), Some(Duration::from_millis(5)));
        assert_eq!(of(&[9, 1, 5, 3]), Some(Duration::from_millis(3)));
    }

    #[test]
    fn a_missed_target_is_said() {
        let late = [Duration::from_millis(1300)];
        assert!(against(&late, Duration::from_millis(1200)).contains("MISSED"));
        assert!(against(&late, Duration::from_millis(1300)).contains("met"));
    }
}
