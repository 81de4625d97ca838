//! Whether somebody is there to talk to, and what to do if not. Sans-I/O: the time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use frontdesk_livekit::room::Participant;
use tokio::time::Instant;

use crate::config::Waits;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Dispatch an agent again.
    Dispatch,
    /// Nobody came in time.
    GiveUp,
}

/// How somebody left the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Of their own accord: the room may be deleted next, which is how agents hang up.
    Orderly,
    /// Lost.
    Lost,
    /// Removed, as stale agents are when another is dispatched.
    Removed,
}

/// Shortest time between two dispatches of one absence, so that an agent that fails at once does not use them all up.
const DISPATCH_GAP: Duration = Duration::from_secs(1);

/// Who is heard, and since when nobody is.
#[derive(Debug)]
pub(crate) struct AgentWatch {
    waits: Waits,
    /// Whose track is heard, by the track's id.
    voices: BTreeMap<String, String>,
    absence: Option<Absence>,
    /// All dispatches of the call, the first included.
    dispatches: u32,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    /// When to act next.
    next: Instant,
    /// When to act last.
    until: Instant,
    /// Dispatches left.
    left: u32,
    /// The next dispatch is not made before.
    not_before: Instant,
}

impl AgentWatch {
    /// An agent has been dispatched and is waited for until `ring_until`.
    pub(crate) fn new(waits: Waits, now: Instant, ring_until: Instant) -> Self {
        let absence = Absence { next: now + waits.agent, until: ring_until, left: waits.redispatches, not_before: now + DISPATCH_GAP };
        Self { waits, voices: BTreeMap::new(), absence: Some(absence), dispatches: 1 }
    }

    /// A track is heard.
    pub(crate) fn heard(&mut self, track: String, identity: String) {
        self.voices.insert(track, identity);
        self.absence = None;
    }

    /// A track has ended. Its participant may publish another, so an agent is only dispatched after the usual wait.
    /// Whether that leaves the caller alone.
    pub(crate) fn track_ended(&mut self, track: &str, now: Instant) -> bool {
        self.voices.remove(track).is_some() && self.missing(now, self.waits.agent)
    }

    /// An agent, or somebody who was heard, has left. Whether that leaves the caller alone.
    pub(crate) fn left(&mut self, identity: &str, leave: Leave, now: Instant) -> bool {
        let before = self.voices.len();
        self.voices.retain(|_, of| of != identity);
        let wait = if leave == Leave::Orderly { self.waits.orderly_leave } else { Duration::ZERO };
        if self.voices.len() < before {
            return self.missing(now, wait);
        }
        // It was never heard, or its track had ended before: there is no point in waiting longer for it.
        if let Some(absence) = self.absence.as_mut().filter(|_| leave != Leave::Removed) {
            absence.next = absence.next.min((now + wait).max(absence.not_before));
        }
        false
    }

    /// Events were lost: whoever is heard but not present has left.
    pub(crate) fn reconcile(&mut self, present: &[Participant], now: Instant) {
        let gone: Vec<String> =
            self.voices.values().filter(|identity| !present.iter().any(|other| other.identity == **identity)).cloned().collect();
        for identity in gone {
            self.left(&identity, Leave::Lost, now);
        }
    }

    fn missing(&mut self, now: Instant, wait: Duration) -> bool {
        let alone = self.voices.is_empty() && self.absence.is_none();
        if alone {
            let until = now + self.waits.absence_max;
            // The first dispatch of an absence comes beside those that repeat it.
            let left = self.waits.redispatches.saturating_add(1);
            self.absence = Some(Absence { next: now + wait, until, left, not_before: now });
        }
        alone
    }

    /// Whether somebody is heard.
    pub(crate) fn is_heard(&self) -> bool {
        !self.voices.is_empty()
    }

    /// Whether this participant is heard.
    pub(crate) fn hears(&self, identity: &str) -> bool {
        self.voices.values().any(|of| of == identity)
    }

    /// Dispatches so far, the first included.
    pub(crate) fn dispatches(&self) -> u32 {
        self.dispatches
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.absence.map(|absence| absence.next.min(absence.until))
    }

    /// What is due now.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Action> {
        let absence = self.absence.as_mut()?;
        if now >= absence.until || (now >= absence.next && absence.left == 0) {
            self.absence = None;
            return Some(Action::GiveUp);
        }
        if now < absence.next {
            return None;
        }
        absence.left -= 1;
        absence.next = now + self.waits.agent;
        absence.not_before = now + DISPATCH_GAP;
        self.dispatches += 1;
        Some(Action::Dispatch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// What a watch does until it gives up, with the times.
    fn run(watch: &mut AgentWatch, start: Instant) -> Vec<(f64, Action)> {
        let mut actions = Vec::new();
        while let Some(deadline) = watch.deadline() {
            let action = watch.tick(deadline).expect("a deadline means something to do");
            actions.push(((deadline - start).as_secs_f64(), action));
            assert!(actions.len() < 50, "no livelock");
        }
        actions
    }

    fn ringing(start: Instant) -> AgentWatch {
        AgentWatch::new(Waits::default(), start, start + Waits::default().ring_max)
    }

    #[test]
    fn ringing_dispatches_again_and_then_gives_up() {
        let start = Instant::now();
        let actions = run(&mut ringing(start), start);
        assert_eq!(actions, [(5.0, Action::Dispatch), (10.0, Action::Dispatch), (15.0, Action::GiveUp)]);
        let mut hasty = AgentWatch::new(Waits::default(), start, start + seconds(7.0));
        assert_eq!(run(&mut hasty, start), [(5.0, Action::Dispatch), (7.0, Action::GiveUp)]);
    }

    #[test]
    fn an_agent_that_vanishes_is_replaced_at_once_one_that_leaves_after_a_moment() {
        let start = Instant::now();
        for (leave, first) in [(Leave::Lost, 0.0), (Leave::Removed, 0.0), (Leave::Orderly, 0.3)] {
            let mut watch = ringing(start);
            watch.heard("TR_1".into(), "agent-1".into());
            assert_eq!(watch.deadline(), None);
            assert!(watch.left("agent-1", leave, start));
            assert!(!watch.left("agent-1", leave, start), "told once");
            let actions = run(&mut watch, start);
            assert_eq!(actions.first(), Some(&(first, Action::Dispatch)));
            assert_eq!(actions.len(), 4, "{actions:?}");
            assert_eq!(actions.last().map(|last| last.1), Some(Action::GiveUp));
            assert!(actions[3].0 <= 15.3);
        }
    }

    #[test]
    fn who_stays_is_enough() {
        let start = Instant::now();
        let mut watch = ringing(start);
        watch.heard("TR_1".into(), "agent-1".into());
        watch.heard("TR_2".into(), "agent-1".into());
        watch.heard("TR_3".into(), "human".into());
        assert!(!watch.track_ended("TR_1", start) && !watch.left("agent-1", Leave::Orderly, start));
        assert!(watch.is_heard() && watch.hears("human") && !watch.hears("agent-1"));
        assert!(watch.track_ended("TR_3", start));
        assert_eq!(watch.deadline(), Some(start + Waits::default().agent), "it may publish anew");
        assert!(!watch.left("human", Leave::Lost, start));
        assert_eq!(watch.deadline(), Some(start), "but not once it has left");
        watch.heard("TR_4".into(), "agent-2".into());
        assert_eq!(watch.tick(start + seconds(60.0)), None);
        assert_eq!(watch.dispatches(), 1);
    }

    #[test]
    fn an_agent_that_fails_before_it_speaks_is_replaced_without_haste() {
        let start = Instant::now();
        let mut watch = ringing(start);
        assert!(!watch.left("agent-1", Leave::Lost, start));
        assert_eq!(watch.deadline(), Some(start + DISPATCH_GAP));
        assert_eq!(watch.tick(start + DISPATCH_GAP), Some(Action::Dispatch));
        assert!(!watch.left("agent-2", Leave::Removed, start + seconds(1.1)));
        assert_eq!(watch.deadline(), Some(start + seconds(6.0)), "the stale agent was removed for that dispatch");
        assert!(!watch.left("agent-3", Leave::Lost, start + seconds(4.0)));
        assert_eq!(watch.deadline(), Some(start + seconds(4.0)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Heard(u8),
        TrackEnded(u8),
        Left(u8, Leave),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let leave = prop_oneof![Just(Leave::Orderly), Just(Leave::Lost), Just(Leave::Removed)];
        prop_oneof![
            (0_u8..6).prop_map(Step::Heard),
            (0_u8..6).prop_map(Step::TrackEnded),
            (0_u8..3, leave).prop_map(|(agent, leave)| Step::Left(agent, leave)),
            (0_u64..9000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whoever comes and goes: a caller is alone no longer than the bounds allow, agents are dispatched no more often than
        /// they allow, and time never stands still.
        #[test]
        fn nobody_is_left_alone_for_longer_than_the_bounds(steps in prop::collection::vec(step(), 0..80)) {
            let waits = Waits::default();
            let (start, mut now) = (Instant::now(), Instant::now());
            let mut watch = ringing(start);
            let mut alone = Some((start + waits.ring_max, 0));
            for step in steps {
                match step {
                    Step::Heard(track) => {
                        watch.heard(format!("TR_{track}"), format!("agent-{}", track % 3));
                        alone = None;
                    }
                    Step::TrackEnded(track) if watch.track_ended(&format!("TR_{track}"), now) => alone = Some((now + waits.absence_max, 0)),
                    Step::Left(agent, leave) if watch.left(&format!("agent-{agent}"), leave, now) => alone = Some((now + waits.absence_max, 0)),
                    Step::TrackEnded(_) | Step::Left(..) => {}
                    Step::Wait(ms) => {
                        let until = now + Duration::from_millis(ms);
                        while let Some(deadline) = watch.deadline().filter(|deadline| *deadline <= until) {
                            now = now.max(deadline);
                            let action = watch.tick(now);
                            prop_assert!(action.is_some(), "a deadline means something to do");
                            let (end, dispatches) = alone.expect("nothing is due while somebody is heard");
                            prop_assert!(now <= end);
                            alone = (action == Some(Action::Dispatch)).then_some((end, dispatches + 1));
                            prop_assert!(dispatches <= waits.redispatches + 1);
                        }
                        now = until;
                    }
                }
                prop_assert_eq!(watch.deadline().is_some(), alone.is_some());
                prop_assert!(watch.deadline().is_none_or(|deadline| alone.is_some_and(|(end, _)| deadline <= end)));
            }
        }
    }
}
