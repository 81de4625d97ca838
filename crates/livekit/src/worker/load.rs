//! How busy the machine is: the processors' time, this process's part of it, and memory.
//!
//! As livekit/agents does, what is measured is the control group's part if this process lives in one with limits of its own
//! (a container), and the whole machine otherwise.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

/// Samples that an average is made of; with one every 500 ms, 2.5 s.
const WINDOW: usize = 5;

/// What was measured since the sample before. All values go from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoadSample {
    /// Part of the processors' time that was used, by whomever.
    pub cpu: f32,
    /// Part of it that this process used.
    pub own_cpu: f32,
    /// Part of the memory that is in use and cannot be had back for the asking.
    pub memory: f32,
    /// Whether nothing more can be taken on, whatever the rest says: threads are blocked, say.
    pub is_blocked: bool,
}

/// Whoever says how busy the machine is. Asked every 500 ms; must not block.
pub trait LoadSource: Send + fmt::Debug + 'static {
    /// What happened since the last call.
    fn sample(&mut self) -> LoadSample;
}

/// Nothing is measured: the number of jobs alone counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobsAlone;

impl LoadSource for JobsAlone {
    fn sample(&mut self) -> LoadSample {
        LoadSample::default()
    }
}

/// This machine, or the control group around this process. Elsewhere than on Linux nothing can be measured, which is said once.
#[derive(Debug)]
pub struct MachineLoad {
    last: Option<Reading>,
}

impl MachineLoad {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        let last = Reading::take();
        if last.is_none() {
            tracing::warn!("the machine's load cannot be measured here: the number of calls alone decides who is full");
        }
        Self { last }
    }
}

impl LoadSource for MachineLoad {
    fn sample(&mut self) -> LoadSample {
        let (Some(before), Some(now)) = (&self.last, Reading::take()) else { return LoadSample::default() };
        let sample = now.since(before);
        self.last = Some(now);
        sample
    }
}

/// Counters as the kernel keeps them.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    at: Instant,
    /// Ticks of all processors, and those in which one had work.
    ticks: (u64, u64),
    /// Ticks in which this process ran.
    own_ticks: u64,
    /// Of the machine.
    processors: f64,
    group: Option<Group>,
    memory: f32,
}

/// A control group (version 2) with limits of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Group {
    used_us: u64,
    /// Processors that it may use at once, in parts if need be.
    processors: f64,
}

impl Reading {
    fn take() -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let ticks = machine_ticks(&read("/proc/stat")?)?;
        let own_ticks = own_ticks(&read("/proc/self/stat")?)?;
        // Counted in the file, for a control group narrows what the standard library says.
        let processors = read("/proc/stat")?.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        let processors = f64::from(u32::try_from(processors).unwrap_or(1).max(1));
        let group = || {
            let used_us = cpu_used_us(&read("/sys/fs/cgroup/cpu.stat")?)?;
            Some(Group { used_us, processors: quota(&read("/sys/fs/cgroup/cpu.max")?).unwrap_or(processors) })
        };
        let limited = || {
            let limit: u64 = read("/sys/fs/cgroup/memory.max")?.trim().parse().ok()?;
            let used: u64 = read("/sys/fs/cgroup/memory.current")?.trim().parse().ok()?;
            let given_back = value_of(&read("/sys/fs/cgroup/memory.stat")?, "inactive_file")?;
            Some(part(used.saturating_sub(given_back), limit))
        };
        let whole = || {
            let text = read("/proc/meminfo")?;
            let (total, available) = (value_of(&text, "MemTotal:")?, value_of(&text, "MemAvailable:")?);
            Some(part(total.saturating_sub(available), total))
        };
        let memory = limited().or_else(whole)?;
        Some(Self { at: Instant::now(), ticks, own_ticks, processors, group: group(), memory })
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of one")]
    fn since(&self, before: &Self) -> LoadSample {
        let all = self.ticks.0.saturating_sub(before.ticks.0);
        let own = part(self.own_ticks.saturating_sub(before.own_ticks), all);
        let busy = part(self.ticks.1.saturating_sub(before.ticks.1), all);
        let (cpu, own_cpu) = match (self.group, before.group) {
            (Some(now), Some(then)) => {
                let available_us = self.at.saturating_duration_since(before.at).as_secs_f64() * 1e6 * now.processors;
                let used = now.used_us.saturating_sub(then.used_us);
                let cpu = if available_us > 0.0 { (used as f64 / available_us) as f32 } else { 0.0 };
                (cpu, own * (self.processors / now.processors) as f32)
            }
            _ => (busy, own),
        };
        LoadSample { cpu: cpu.clamp(0.0, 1.0), own_cpu: own_cpu.clamp(0.0, 1.0), memory: self.memory, is_blocked: false }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a part of one")]
fn part(of: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { ((of as f64 / whole as f64) as f32).clamp(0.0, 1.0) }
}

/// All ticks, and those in which there was work: the first line of `/proc/stat`, proc(5).
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // Guests' time is counted in `user` and `nice` already.
    let [user, nice, system, idle, wait, irq, soft_irq, stolen] = *fields.first_chunk::<8>()?;
    let busy = user + nice + system + irq + soft_irq + stolen;
    Some((busy + idle + wait, busy))
}

/// `utime` and `stime` of `/proc/self/stat`, proc(5). The name in parentheses may hold anything, even parentheses.
fn own_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn cpu_used_us(stat: &str) -> Option<u64> {
    value_of(stat, "usage_usec")
}

/// Processors that `cpu.max` allows: quota and period; `max` is no limit.
fn quota(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let quota: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next().map_or(Ok(100_000.0), str::parse).ok()?;
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// The number after a name at the beginning of a line.
fn value_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The moving average of the last samples.
#[derive(Debug, Default)]
pub(super) struct Average {
    samples: VecDeque<LoadSample>,
}

impl Average {
    pub(super) fn add(&mut self, sample: LoadSample) {
        if self.samples.len() == WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Nothing is known before the first sample. Memory is no flow: its last value counts.
    #[expect(clippy::cast_precision_loss, reason = "at most five samples")]
    pub(super) fn get(&self) -> LoadSample {
        let Some(last) = self.samples.back() else { return LoadSample::default() };
        let mean = |value: fn(&LoadSample) -> f32| self.samples.iter().map(value).sum::<f32>() / self.samples.len() as f32;
        LoadSample { cpu: mean(|sample| sample.cpu), own_cpu: mean(|sample| sample.own_cpu), ..*last }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(machine_ticks("cpu  10 1 5 80 4 0 1 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"), Some((104, 20)));
        assert_eq!(own_ticks("7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 120 30 0 0 20 0 4 0 1 1"), Some(150));
        assert_eq!(cpu_used_us("usage_usec 12345\nuser_usec 1\n"), Some(12345));
        assert_eq!((quota("150000 100000\n"), quota("max 100000\n"), quota("")), (Some(1.5), None, None));
        for nonsense in ["", "cpu", "cpu  1 2 3", "7 (a", "7 (a) S 1"] {
            assert!(machine_ticks(nonsense).is_none() && own_ticks(nonsense).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn a_group_is_measured_by_its_own_limits() {
        let at = Instant::now();
        let group = |used_us| Some(Group { used_us, processors: 0.5 });
        let before = Reading { at, ticks: (0, 0), own_ticks: 0, processors: 4.0, group: group(0), memory: 0.5 };
        // One second: the machine is half idle, the group used a quarter of a processor, we a fifth.
        let later = Reading { at: at + Duration::from_secs(1), ticks: (400, 200), own_ticks: 20, group: group(250_000), ..before.clone() };
        let sample = later.since(&before);
        assert!((sample.cpu - 0.5).abs() < 1e-5 && (sample.own_cpu - 0.4).abs() < 1e-5, "{sample:?}");
        let alone = Reading { group: None, ..later }.since(&before);
        assert!((alone.cpu - 0.5).abs() < 1e-5 && (alone.own_cpu - 0.05).abs() < 1e-5, "{alone:?}");
    }

    #[test]
    fn this_machine_can_be_measured() {
        let mut load = MachineLoad::start();
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let sample = load.sample();
        assert!(sample.own_cpu > 0.0 && sample.cpu > 0.0 && sample.memory > 0.0, "{sample:?}");
        assert!(sample.cpu <= 1.0 && sample.own_cpu <= 1.0 && sample.memory < 1.0, "{sample:?}");
    }

    #[test]
    fn averages_forget() {
        let mut average = Average::default();
        assert_eq!(average.get(), LoadSample::default());
        let sample = |cpu| LoadSample { cpu, ..LoadSample::default() };
        average.add(sample(1.0));
        assert!((average.get().cpu - 1.0).abs() < 1e-6);
        (0..WINDOW).for_each(|_| average.add(sample(0.5)));
        assert!((average.get().cpu - 0.5).abs() < 1e-6);
    }
}
