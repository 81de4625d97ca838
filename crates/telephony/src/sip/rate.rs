//! Token buckets for sources, in a table that cannot grow without end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::config::Rate;

/// Most sources remembered at once. One forgotten starts with a full bucket.
const SOURCES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Tokens in thousandths.
    milli: u64,
    filled: Duration,
}

impl Bucket {
    fn full(rate: Rate, now: Duration) -> Self {
        Self { milli: u64::from(rate.burst) * 1000, filled: now }
    }

    fn refill(&mut self, rate: Rate, now: Duration) {
        let passed_ms = u64::try_from(now.saturating_sub(self.filled).as_millis()).unwrap_or(u64::MAX);
        if passed_ms > 0 {
            let gained = passed_ms.saturating_mul(u64::from(rate.per_second));
            self.milli = self.milli.saturating_add(gained).min(u64::from(rate.burst) * 1000);
            self.filled = now;
        }
    }

    fn take(&mut self, rate: Rate, now: Duration) -> bool {
        self.refill(rate, now);
        let granted = self.milli >= 1000;
        if granted {
            self.milli -= 1000;
        }
        granted
    }
}

/// Limits how fast one source, and one host over all its ports, may send.
#[derive(Debug)]
pub(super) struct RateTable {
    source: Rate,
    host: Rate,
    sources: HashMap<SocketAddr, Bucket>,
    hosts: HashMap<IpAddr, Bucket>,
}

impl RateTable {
    pub(super) fn new(source: Rate, host: Rate) -> Self {
        Self { source, host, sources: HashMap::new(), hosts: HashMap::new() }
    }

    /// Whether one more message from this source is read. A port beyond its own rate does not use up its host's,
    /// so that one flooding program does not silence another on the same host.
    pub(super) fn admits(&mut self, now: Duration, source: SocketAddr) -> bool {
        make_room(&mut self.sources, self.source, now);
        make_room(&mut self.hosts, self.host, now);
        let full = Bucket::full(self.source, now);
        if !self.sources.entry(source).or_insert(full).take(self.source, now) {
            return false;
        }
        let full = Bucket::full(self.host, now);
        self.hosts.entry(source.ip()).or_insert(full).take(self.host, now)
    }
}

/// Forgets the buckets that are full again, and everything if none is.
fn make_room<K: std::hash::Hash + Eq>(table: &mut HashMap<K, Bucket>, rate: Rate, now: Duration) {
    if table.len() < SOURCES_MAX {
        return;
    }
    table.retain(|_, bucket| {
        bucket.refill(rate, now);
        bucket.milli < u64::from(rate.burst) * 1000
    });
    if table.len() >= SOURCES_MAX {
        table.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Rate = Rate { per_second: 10, burst: 20 };
    const WIDE: Rate = Rate { per_second: 1000, burst: 1000 };

    fn source(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_flood_from_one_port_leaves_the_others_room() {
        let mut table = RateTable::new(SLOW, Rate { per_second: 100, burst: 60 });
        let passed = (0..10_000).filter(|_| table.admits(Duration::ZERO, source(1))).count();
        assert_eq!(passed, 20);
        assert!(table.admits(Duration::ZERO, source(2)));
    }

    #[test]
    fn buckets_fill_with_time() {
        let mut table = RateTable::new(SLOW, WIDE);
        while table.admits(Duration::ZERO, source(1)) {}
        let passed = (0..100).filter(|_| table.admits(Duration::from_secs(1), source(1))).count();
        assert_eq!(passed, 10);
    }

    #[test]
    fn many_sources_do_not_grow_the_table() {
        let mut table = RateTable::new(SLOW, WIDE);
        for n in 0..100_000_u32 {
            let address = SocketAddr::from((n.to_be_bytes(), 5060));
            table.admits(Duration::from_micros(u64::from(n)), address);
        }
        assert!(table.sources.len() <= SOURCES_MAX && table.hosts.len() <= SOURCES_MAX);
    }
}
