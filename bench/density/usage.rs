//! Processor time and memory of a process and all below it.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::machine::{TICKS_PER_S, tree};

/// Of a process tree, over a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Cores.
    pub(super) cores: f64,
    /// Proportional set size at the end, in kB: pages that several share count once.
    pub(super) pss_kb: u64,
    /// Processes at the end.
    pub(super) processes: usize,
}

/// Watches one process tree from its creation on.
#[derive(Debug)]
pub(super) struct TreeWatch {
    root: u32,
    since: Instant,
    ticks: f64,
}

impl TreeWatch {
    pub(super) fn start(root: u32) -> Self {
        Self { root, since: Instant::now(), ticks: tree(root).ticks }
    }

    pub(super) fn usage(&self) -> Usage {
        let now = tree(self.root);
        let seconds = self.since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        Usage {
            cores: (now.ticks - self.ticks).max(0.0) / TICKS_PER_S / seconds,
            pss_kb: now.processes.iter().map(|id| pss_kb(*id)).sum(),
            processes: now.processes.len(),
        }
    }
}

/// `Pss` of a process (proc_pid_smaps(5)); 0 of one that has ended.
fn pss_kb(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let watch = TreeWatch::start(std::process::id());
        // The clock of a process goes in ticks, and a busy machine may give it none for long.
        let mut sum = 0_u64;
        let until = Instant::now() + Duration::from_secs(30);
        let mut usage = watch.usage();
        while usage.cores <= 0.0 && Instant::now() < until {
            for _ in 0..1_000_000 {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
            usage = watch.usage();
        }
        assert!(usage.cores > 0.0 && usage.pss_kb > 100 && usage.processes >= 1, "{usage:?} {sum}");
    }
}
