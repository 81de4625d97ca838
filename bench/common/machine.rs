//! What machine this is, and how much others used of it while a row was measured.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use super::build;

/// Ticks of `/proc` a second: `sysconf(_SC_CLK_TCK)` is 100 on every Linux of ours.
pub(crate) const TICKS_PER_S: f64 = 100.0;

/// How busy the machine was, in cores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Load {
    /// All processes.
    pub(crate) busy_cores: f64,
    /// Those that are not the bench's, the servers and workers that it started included.
    pub(crate) foreign_cores: f64,
    /// The load average over the last minute, at the end.
    pub(crate) average: f64,
}

impl Load {
    /// The share of all cores that was at work, from 0 to 1.
    pub(crate) fn busy_share(&self) -> f64 {
        self.busy_cores / std::thread::available_parallelism().map_or(1, usize::from) as f64
    }
}

/// Watches the machine from its creation on.
#[derive(Debug)]
pub(crate) struct Watch {
    since: Instant,
    busy: f64,
    own: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { since: Instant::now(), busy: busy_ticks(), own: own_ticks() }
    }

    pub(crate) fn load(&self) -> Load {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        let busy = (busy_ticks() - self.busy) / TICKS_PER_S / seconds;
        let own = (own_ticks() - self.own) / TICKS_PER_S / seconds;
        Load { busy_cores: busy, foreign_cores: (busy - own).max(0.0), average: load_average() }
    }
}

/// The load average over the last minute; 0 where the system does not tell.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Ticks that all processors were at work: user, nice, system, irq, softirq (proc(5)).
fn busy_ticks() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text.lines().next().unwrap_or_default().split_whitespace().filter_map(|value| value.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|place| fields.get(*place)).sum()
}

/// A process and all below it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Processor time in ticks, that of those that have ended included: it is their parent's once it has waited for them.
    pub(crate) ticks: f64,
    pub(crate) processes: HashSet<u32>,
}

/// The tree below a process, as it is now.
pub(crate) fn tree(root: u32) -> Tree {
    let mut parents = HashMap::new();
    let mut ticks = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in brackets, may hold blanks.
        let Some((_, rest)) = text.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|value| value.parse::<f64>().ok()).unwrap_or_default();
        parents.insert(id, number(1) as u32);
        ticks.insert(id, (11..=14).map(number).sum::<f64>());
    }
    let mut processes = HashSet::from([root]);
    loop {
        let before = processes.len();
        processes.extend(parents.iter().filter(|(_, parent)| processes.contains(parent)).map(|(id, _)| *id).collect::<Vec<_>>());
        if processes.len() == before {
            break;
        }
    }
    Tree { ticks: processes.iter().filter_map(|id| ticks.get(id)).sum(), processes }
}

/// Ticks of this process and all below it.
fn own_ticks() -> f64 {
    tree(std::process::id()).ticks
}

/// One line: processor, cores, memory, kernel.
fn describe() -> String {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: f64 = value("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cores} cores, {:.0} GB, Linux {}", value("/proc/cpuinfo", "model name"), kib / 1e6, kernel.trim())
}

/// The first rows of a table that says when, where and what was measured.
pub(crate) fn setting() -> String {
    let commit = printed("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    let server = if Path::new("var/bin/livekit-server").exists() { "var/bin/livekit-server" } else { "livekit-server" };
    format!(
        "| | |\n|---|---|\n| date | {} |\n| machine | {} |\n| frontdesk | {commit}, {} |\n| LiveKit server | {} |\n",
        chrono::Utc::now().format("%Y-%m-%d %H:%M UTC"),
        describe(),
        build(),
        printed(server, &["--version"]),
    )
}

/// What a program prints, in one line; `unknown` if it does not run.
pub(crate) fn printed(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().replace('\n', ", ")).unwrap_or_default();
    if text.is_empty() { "unknown".to_owned() } else { text }
}
