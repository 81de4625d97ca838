//! Which agents have shown signs of life, and which have stopped. Sans-I/O: the time is passed in.
//!
//! Agents of ours send a beat twice a second ([`frontdesk_livekit::pulse`]); one that has sent a beat and then sends none for
//! [`Waits::agent_stall`](crate::Waits::agent_stall) is gone or stalled. Of agents that never beat nothing is known here.
//!
//! While the server does not answer, our own line may be to blame, and an agent is excused; but not for longer than it takes to find our
//! line lost, for LiveKit's nodes may also be without their Redis: then rooms go on, and nobody answers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Participants that are remembered at most; a room has a few.
const BEATING_MAX: usize = 64;

/// How often one that has stopped is excused in a row: with a stall of 3 s it is given up after 12 s, and a line that is cut is found
/// lost after 9 s (5 s for ICE, and [`Waits::room_media`](crate::Waits::room_media)).
const EXCUSES_MAX: u32 = 3;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    stall: Duration,
    /// When each is given up, by identity; `None` while that is being looked into or was done.
    due: BTreeMap<String, Option<Instant>>,
    /// How often each was excused since it beat, by identity.
    excuses: BTreeMap<String, u32>,
}

impl Heartbeats {
    pub(crate) const fn new(stall: Duration) -> Self {
        Self { stall, due: BTreeMap::new(), excuses: BTreeMap::new() }
    }

    /// A beat came.
    pub(crate) fn beat(&mut self, identity: &str, now: Instant) {
        self.excuses.remove(identity);
        if let Some(due) = self.due.get_mut(identity) {
            *due = Some(now + self.stall);
        } else if self.due.len() < BEATING_MAX {
            self.due.insert(identity.to_owned(), Some(now + self.stall));
        }
    }

    /// One that has stopped is given as long again, unless that was done too often. Whether it is.
    pub(crate) fn excuse(&mut self, identity: &str, now: Instant) -> bool {
        let Some(due) = self.due.get_mut(identity).filter(|due| due.is_none()) else { return true };
        let excuses = self.excuses.entry(identity.to_owned()).or_default();
        if *excuses >= EXCUSES_MAX {
            return false;
        }
        *excuses += 1;
        *due = Some(now + self.stall);
        true
    }

    /// Who has left need not beat.
    pub(crate) fn left(&mut self, identity: &str) {
        self.excuses.remove(identity);
        self.due.remove(identity);
    }

    /// Whether this participant shows signs of life in this way at all.
    pub(crate) fn knows(&self, identity: &str) -> bool {
        self.due.contains_key(identity)
    }

    /// Whether it has stopped, and has not begun again.
    pub(crate) fn has_stopped(&self, identity: &str) -> bool {
        self.due.get(identity).is_some_and(Option::is_none)
    }

    /// When the next one is given up, unless it beats before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.values().flatten().min().copied()
    }

    /// Those that have stopped by now; each is named once.
    pub(crate) fn stopped(&mut self, now: Instant) -> Vec<String> {
        let over: Vec<String> =
            self.due.iter().filter(|(_, due)| due.is_some_and(|due| due <= now)).map(|(identity, _)| identity.clone()).collect();
        for identity in &over {
            self.due.insert(identity.clone(), None);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(3);

    #[test]
    fn who_stops_beating_is_named_once_and_who_never_beat_is_not() {
        let (mut beats, start) = (Heartbeats::new(STALL), Instant::now());
        assert_eq!(beats.deadline(), None);
        beats.beat("a", start);
        beats.beat("b", start + Duration::from_secs(1));
        beats.beat("a", start + Duration::from_secs(2));
        assert_eq!(beats.deadline(), Some(start + Duration::from_secs(4)));
        assert_eq!(beats.stopped(start + Duration::from_secs(3)), Vec::<String>::new());
        assert_eq!(beats.stopped(start + Duration::from_secs(4)), ["b"]);
        assert!(beats.has_stopped("b") && !beats.has_stopped("a") && !beats.has_stopped("c") && !beats.knows("c"));
        assert_eq!(beats.deadline(), Some(start + Duration::from_secs(5)), "only a is waited for");
        beats.beat("b", start + Duration::from_secs(5));
        assert!(!beats.has_stopped("b"), "it was only slow");
        beats.left("a");
        assert_eq!(beats.stopped(start + Duration::from_secs(60)), ["b"]);
    }

    #[test]
    fn who_is_excused_is_given_as_long_again_a_few_times() {
        let (mut beats, mut now) = (Heartbeats::new(STALL), Instant::now());
        for _ in 0..2 {
            beats.beat("a", now);
            for excuse in 0..=EXCUSES_MAX {
                now += STALL;
                assert_eq!(beats.stopped(now), ["a"]);
                assert_eq!(beats.excuse("a", now), excuse < EXCUSES_MAX);
            }
            assert!(beats.has_stopped("a"));
            assert_eq!(beats.deadline(), None);
        }
        beats.beat("a", now);
        assert!(beats.excuse("a", now) && beats.deadline() == Some(now + STALL), "it beats");
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let (mut beats, now) = (Heartbeats::new(STALL), Instant::now());
        for number in 0..1000 {
            beats.beat(&number.to_string(), now);
        }
        assert_eq!(beats.due.len(), BEATING_MAX);
    }
}
