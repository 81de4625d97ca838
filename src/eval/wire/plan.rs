//! The steps of a scenario as a caller's plan.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use frontdesk_simulators::caller::{Act, CallerPlan, Cue, Heard};
use tokio::time::Instant;

use super::seen::{Seen, Sights};
use crate::eval::caller::{AFTERMATH, ActKind, PATIENCE, THINKS_S};
use crate::eval::scenario::Step;

/// Later than every call's end.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// When an act is due.
#[derive(Debug, Clone)]
enum Moment {
    /// When the step says.
    Step(Box<Step>),
    /// So long after the piece before it.
    Pause(Duration),
}

/// An act of the caller, and which step it belongs to.
#[derive(Debug, Clone)]
struct Planned {
    moment: Moment,
    deed: Deed,
    number: usize,
    title: String,
}

#[derive(Debug, Clone)]
enum Deed {
    Say(String),
    Press(String),
    Noise(Duration),
    /// Nothing, for so long.
    Silence(Duration),
    HangUp,
}

/// Follows the steps.
pub(super) struct Steps {
    seen: Seen,
    planned: VecDeque<Planned>,
    waiting: Mutex<Waiting>,
    /// Nothing is done before: the caller is silent on purpose.
    silent_until: Option<Instant>,
}

/// How far the moment of the next step has come.
#[derive(Debug, Default)]
struct Waiting {
    /// Since when the words that it waits for have been heard.
    heard_at: Option<Instant>,
    /// When the caller will have thought.
    due_at: Option<Instant>,
}

/// What the caller does that can be heard, in order.
pub(super) fn kinds(steps: &[Step]) -> Vec<ActKind> {
    planned(steps).iter().filter_map(|planned| kind(&planned.deed, &steps[planned.number])).collect()
}

fn kind(deed: &Deed, step: &Step) -> Option<ActKind> {
    match deed {
        Deed::Say(_) if step.backchannel.is_some() => Some(ActKind::Backchannel),
        Deed::Say(_) => Some(ActKind::Speech),
        Deed::Press(_) => Some(ActKind::Keys),
        Deed::Noise(_) => Some(ActKind::Noise),
        Deed::Silence(_) | Deed::HangUp => None,
    }
}

fn planned(steps: &[Step]) -> VecDeque<Planned> {
    let mut all = VecDeque::new();
    for (number, step) in steps.iter().enumerate() {
        let mut moment = Moment::Step(Box::new(step.clone()));
        let mut put = |deed: Deed, next: Moment| {
            let moment = std::mem::replace(&mut moment, next);
            all.push_back(Planned { moment, deed, number, title: step.title() });
        };
        let seconds = Duration::from_secs_f64;
        if let Some(text) = step.say.as_ref().or(step.backchannel.as_ref()) {
            for (piece, pause) in Step::pieces(text) {
                if piece.is_empty() {
                    put(Deed::Silence(seconds(pause)), Moment::Pause(Duration::ZERO));
                } else {
                    put(Deed::Say(piece), Moment::Pause(seconds(pause)));
                }
            }
        } else if let Some(keys) = &step.dtmf {
            put(Deed::Press(keys.clone()), Moment::Pause(Duration::ZERO));
        } else if let Some(length) = step.noise {
            put(Deed::Noise(seconds(length)), Moment::Pause(Duration::ZERO));
        } else if let Some(length) = step.silence {
            put(Deed::Silence(seconds(length)), Moment::Pause(Duration::ZERO));
        } else if step.hang_up {
            put(Deed::HangUp, Moment::Pause(Duration::ZERO));
        }
    }
    all
}

impl Steps {
    pub(super) fn new(steps: &[Step], seen: Seen) -> Self {
        Self { seen, planned: planned(steps), waiting: Mutex::default(), silent_until: None }
    }

    /// Whether a step's moment has come. Notes how far it has.
    fn is_due(&self, step: &Step, sights: &Sights, now: Instant) -> bool {
        if let Some(wait) = step.wait {
            return now >= self.since(sights) + Duration::from_secs_f64(wait);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = step.hears.as_ref().is_none_or(|words| sights.has_heard(words));
        if heard && sights.began.is_some() {
            waiting.heard_at.get_or_insert(if step.hears.is_some() { now } else { sights.stretch.unwrap_or(now) });
        }
        let Some(at) = waiting.heard_at else { return false };
        if let Some(into) = step.into {
            return now >= at + Duration::from_secs_f64(into);
        }
        if !sights.is_speaking && sights.state == "listening" {
            // He thinks before he answers, and then answers whatever the agent does.
            waiting.due_at.get_or_insert(now + Duration::from_secs_f64(step.thinks.unwrap_or(THINKS_S)));
        }
        waiting.due_at.is_some_and(|due| now >= due)
    }

    /// The end of the last act.
    fn since(&self, sights: &Sights) -> Instant {
        self.silent_until.map_or(sights.done, |until| until.max(sights.done))
    }

    /// What was waited for in vain, if the caller's patience is over.
    fn in_vain(&self, sights: &Sights, now: Instant) -> Option<String> {
        let waited = now.saturating_duration_since(self.since(sights));
        match self.planned.front() {
            None => (waited >= AFTERMATH).then(|| "the call did not end within 90 s after the last step".to_owned()),
            Some(Planned { moment: Moment::Step(step), number, title, .. }) if step.wait.is_none() && waited >= PATIENCE => {
                let cue = step.hears.as_ref().map_or_else(|| "to speak".to_owned(), |words| format!("to say {words:?}"));
                Some(format!("step {} ({title}) waited for the agent {cue}; it did not come within 60 s", number + 1))
            }
            Some(_) => None,
        }
    }

    /// How long until the next act: nothing, a pause of the caller's own, or longer than the call.
    fn next_in(&self, sights: &Sights, now: Instant) -> Duration {
        if sights.is_acting || self.silent_until.is_some_and(|until| now < until) {
            return NEVER;
        }
        if sights.trouble.is_some() || self.in_vain(sights, now).is_some() {
            return Duration::ZERO;
        }
        match self.planned.front().map(|planned| &planned.moment) {
            Some(Moment::Pause(pause)) => *pause,
            Some(Moment::Step(step)) if self.is_due(step, sights, now) => Duration::ZERO,
            _ => NEVER,
        }
    }
}

impl CallerPlan for Steps {
    fn cue(&self) -> Cue {
        Cue::After(self.next_in(&self.seen.lock(), Instant::now()))
    }

    fn act(&mut self, heard: Heard<'_>) -> Act {
        let now = Instant::now();
        let seen = self.seen.clone();
        let mut sights = seen.lock();
        // Silence alone moves nobody who goes by a script.
        if heard.is_overdue {
            return Act::Listen;
        }
        if let Some(trouble) = self.in_vain(&sights, now) {
            sights.trouble.get_or_insert(trouble);
        }
        if sights.trouble.is_some() {
            return Act::HangUp;
        }
        let Some(planned) = self.planned.pop_front() else { return Act::Listen };
        sights.left = self.planned.front().map(|next| (next.number, next.title.clone()));
        sights.lines.clear();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Waiting::default();
        if let Deed::Silence(length) = planned.deed {
            self.silent_until = Some(now + length);
            sights.began = sights.is_speaking.then_some(now);
            return Act::Listen;
        }
        sights.is_acting = true;
        match planned.deed {
            Deed::Say(text) => Act::Say(text.replace("{code}", sights.code.as_deref().unwrap_or_default())),
            Deed::Press(keys) => Act::Press(keys),
            Deed::Noise(length) => Act::Noise(length),
            Deed::HangUp | Deed::Silence(_) => Act::HangUp,
        }
    }
}

/// The first step of a scenario, as what is left of it at the beginning.
pub(super) fn first(steps: &[Step]) -> Option<(usize, String)> {
    steps.first().map(|step| (0, step.title()))
}

#[cfg(test)]
mod tests {
    use frontdesk_simulators::caller::{CallerEvent, RoomSight, SpokenLine};

    use super::*;

    fn steps(yaml: &str) -> Vec<Step> {
        serde_saphyr::from_str(yaml).expect("steps")
    }

    fn says(seen: &Seen, text: &str) {
        let line = SpokenLine { is_agent: true, segment: text.len().to_string(), text: text.into(), is_final: true };
        seen.lock().sight(RoomSight::Line(line));
    }

    fn agent_speaks(seen: &Seen, text: &str) {
        seen.lock().event(&CallerEvent::AgentBegan { gap: None });
        says(seen, text);
    }

    fn agent_listens(seen: &Seen) {
        seen.lock().event(&CallerEvent::AgentFinished);
        seen.lock().sight(RoomSight::AgentState("listening".into()));
    }

    fn is_due(plan: &Steps) -> bool {
        plan.cue() == Cue::After(Duration::ZERO)
    }

    #[tokio::test(start_paused = true)]
    async fn a_polite_caller_waits_for_the_words_and_the_end_of_speech_and_thinks() {
        let seen = Seen::new();
        let mut plan = Steps::new(&steps("[{say: 'One [0.7] two.', hears: name}, {hang_up: true, wait: 2}]"), seen.clone());
        agent_speaks(&seen, "Good day.");
        agent_listens(&seen);
        assert!(!is_due(&plan), "other words");
        agent_speaks(&seen, "Your name, please?");
        assert!(!is_due(&plan), "the agent still speaks");
        agent_listens(&seen);
        assert!(!is_due(&plan), "he thinks");
        tokio::time::advance(Duration::from_millis(250)).await;
        assert!(is_due(&plan));
        assert_eq!(plan.act(Heard::default()), Act::Say("One".into()));
        assert_eq!(plan.cue(), Cue::After(NEVER), "he speaks");
        seen.lock().event(&CallerEvent::Spoke { text: String::new() });
        assert_eq!(plan.cue(), Cue::After(Duration::from_millis(700)));
        assert_eq!(plan.act(Heard::default()), Act::Say("two.".into()));
        seen.lock().event(&CallerEvent::Spoke { text: String::new() });
        assert!(!is_due(&plan));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(is_due(&plan));
        assert_eq!(plan.act(Heard::default()), Act::HangUp);
    }

    #[tokio::test(start_paused = true)]
    async fn into_counts_from_the_words_and_silence_lets_the_agent_speak() {
        let seen = Seen::new();
        let mut plan = Steps::new(&steps("[{silence: 3, wait: 0}, {backchannel: Mm-hm., hears: three, into: 1.2}]"), seen.clone());
        assert_eq!(plan.act(Heard::default()), Act::Listen);
        agent_speaks(&seen, "There are three times.");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(!is_due(&plan));
        tokio::time::advance(Duration::from_millis(1200)).await;
        assert!(is_due(&plan));
        assert_eq!(plan.act(Heard::default()), Act::Say("Mm-hm.".into()));
        assert_eq!(kinds(&steps("[{silence: 3}, {backchannel: Mm-hm.}, {noise: 1}]")), [ActKind::Backchannel, ActKind::Noise]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_told_and_ends_the_call() {
        let seen = Seen::new();
        let mut plan = Steps::new(&steps("[{say: Hello., hears: name}]"), seen.clone());
        tokio::time::advance(PATIENCE).await;
        assert!(is_due(&plan));
        assert_eq!(plan.act(Heard::default()), Act::HangUp);
        let trouble = seen.lock().trouble.clone().unwrap_or_default();
        assert!(trouble.contains("step 1") && trouble.contains("name"), "{trouble}");
    }
}
