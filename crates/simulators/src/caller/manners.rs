//! When a caller acts: not before the agent has finished, unless the plan says so, and not at all while he is speaking himself.

use std::time::Duration;

use super::options::Habits;
use super::plan::{Act, CallerPlan, Cue, Heard};

/// Longest text of the agent that is kept for one decision.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Decides when the plan's acts are due. Times are counted from the answer.
pub(super) struct Manners {
    plan: Box<dyn CallerPlan>,
    habits: Habits,
    /// What the agent said since the last act; `None` if nobody tells.
    text: Option<String>,
    /// The agent's first sound since the last act.
    agent_began: Option<Duration>,
    /// When the agent was found to have finished; taken by the act that follows.
    agent_finished: Option<Duration>,
    agent_speaks: bool,
    is_acting: bool,
    /// Our own last sound, or the answer.
    own_last: Duration,
    /// The last sound of anybody.
    last_sound: Duration,
    /// When the plan was last told that something is overdue, or anybody made a sound.
    overdue_since: Duration,
}

impl Manners {
    pub(super) fn new(plan: Box<dyn CallerPlan>, habits: Habits, is_told_text: bool) -> Self {
        Self {
            plan,
            habits,
            text: is_told_text.then(String::new),
            agent_began: None,
            agent_finished: None,
            agent_speaks: false,
            is_acting: false,
            own_last: Duration::ZERO,
            last_sound: Duration::ZERO,
            overdue_since: Duration::ZERO,
        }
    }

    /// The agent made a sound after silence.
    pub(super) fn agent_began(&mut self, at: Duration) {
        self.agent_began.get_or_insert(at);
        self.agent_finished = None;
        self.agent_speaks = true;
        self.sounded(at);
    }

    /// The agent has finished; told at `now`.
    pub(super) fn agent_finished(&mut self, now: Duration, last_sound: Duration) {
        self.agent_finished = Some(now);
        self.agent_speaks = false;
        self.sounded(last_sound);
    }

    /// Words of the agent.
    pub(super) fn agent_said(&mut self, words: &str) {
        let text = self.text.get_or_insert_default();
        if text.len() + words.len() < TEXT_BYTES_MAX {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(words);
        }
    }

    /// Our act is over; its last sound stood at `last_sound`.
    pub(super) fn act_ended(&mut self, last_sound: Duration) {
        self.is_acting = false;
        self.own_last = last_sound;
        self.sounded(last_sound);
    }

    fn sounded(&mut self, at: Duration) {
        self.last_sound = self.last_sound.max(at);
        self.overdue_since = self.overdue_since.max(at);
    }

    /// What to do now; never [`Act::Listen`]. After `Say` and `Press` nothing comes before [`Self::act_ended`].
    pub(super) fn next(&mut self, now: Duration) -> Option<Act> {
        if self.is_acting {
            return None;
        }
        let is_quiet = !self.agent_speaks && now >= self.last_sound + self.habits.silence_max;
        if is_quiet || now >= self.habits.duration_max {
            return Some(Act::HangUp);
        }
        let is_overdue = !self.agent_speaks && now >= self.overdue_since + self.habits.overdue_after;
        if !self.is_due(now) {
            if !is_overdue {
                return None;
            }
            self.overdue_since = now;
        }
        let is_overdue = is_overdue && !self.is_due(now);
        let act = self.plan.act(Heard { text: self.text.as_deref(), is_overdue });
        self.agent_finished = None;
        match act {
            Act::Listen => None,
            act => {
                self.agent_began = None;
                if let Some(text) = &mut self.text {
                    text.clear();
                }
                self.is_acting = true;
                Some(act)
            }
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        match self.plan.cue() {
            Cue::AgentFinished => self.agent_finished.is_some_and(|at| {
                // Words come over another way than sound, and may come later.
                let knows_words = self.text.as_ref().is_none_or(|text| !text.is_empty());
                knows_words || now >= at + self.habits.text_grace
            }),
            Cue::AgentSpeaking(after) => self.agent_began.is_some_and(|at| now >= at + after),
            Cue::After(pause) => now >= self.own_last + pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Line, Reactive, Scripted};
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn say(text: &str) -> Option<Act> {
        Some(Act::Say(text.into()))
    }

    fn manners(plan: impl CallerPlan + 'static, told: bool) -> Manners {
        Manners::new(Box::new(plan), Habits::default(), told)
    }

    #[test]
    fn the_caller_waits_until_the_agent_has_finished_and_until_his_own_line_is_over() {
        let mut manners = manners(Scripted::saying(["one", "two"]), false);
        assert_eq!(manners.next(ms(20)), None);
        manners.agent_began(ms(100));
        assert_eq!(manners.next(ms(3000)), None);
        manners.agent_finished(ms(3800), ms(3000));
        assert_eq!(manners.next(ms(3800)), say("one"));
        manners.agent_finished(ms(3900), ms(3100));
        assert_eq!(manners.next(ms(3900)), None, "he speaks himself");
        manners.act_ended(ms(5000));
        manners.agent_began(ms(5500));
        assert_eq!(manners.next(ms(5500)), None, "the agent has gone on meanwhile");
        manners.agent_finished(ms(7000), ms(6200));
        assert_eq!(manners.next(ms(7000)), say("two"));
    }

    #[test]
    fn barge_in_and_hang_up_come_at_their_moment() {
        let plan = Scripted::new([Line::barge_in(ms(700), "stop"), Line::hang_up_after(ms(300))]);
        let mut manners = manners(plan, false);
        manners.agent_began(ms(1000));
        assert_eq!(manners.next(ms(1699)), None);
        assert_eq!(manners.next(ms(1700)), say("stop"));
        manners.act_ended(ms(2100));
        assert_eq!(manners.next(ms(2399)), None);
        assert_eq!(manners.next(ms(2400)), Some(Act::HangUp));
    }

    #[test]
    fn words_are_waited_for_a_little_and_forgotten_after_the_answer() {
        let plan = Reactive::new().when(&["time"], "Nine.").when(&["name"], "Jane.").otherwise(["Hello?"]);
        let mut manners = manners(plan, true);
        manners.agent_began(ms(100));
        manners.agent_finished(ms(2000), ms(1200));
        assert_eq!(manners.next(ms(2000)), None, "the words may still come");
        manners.agent_said("At what time?");
        manners.agent_said("Nine or ten?");
        assert_eq!(manners.next(ms(2100)), say("Nine."));
        manners.act_ended(ms(3000));
        manners.agent_began(ms(3500));
        manners.agent_said("Your name?");
        manners.agent_finished(ms(5000), ms(4200));
        assert_eq!(manners.next(ms(5000)), say("Jane."));
        manners.act_ended(ms(6000));
        manners.agent_began(ms(6500));
        manners.agent_finished(ms(8000), ms(7200));
        assert_eq!(manners.next(ms(8000) + Habits::default().text_grace), say("Hello?"), "no words came");
    }

    #[test]
    fn nobody_waits_without_end() {
        let habits = Habits::default();
        let mut manners = manners(Reactive::new().otherwise(["Hello?"]), false);
        assert_eq!(manners.next(habits.overdue_after - ms(1)), None);
        assert_eq!(manners.next(habits.overdue_after), say("Hello?"));
        let spoken = habits.overdue_after + ms(500);
        manners.act_ended(spoken);
        assert_eq!(manners.next(spoken + habits.silence_max - ms(1)), None);
        assert_eq!(manners.next(spoken + habits.silence_max), Some(Act::HangUp));
        manners.is_acting = false;
        manners.agent_began(habits.duration_max - ms(5));
        assert_eq!(manners.next(habits.duration_max), Some(Act::HangUp));
    }
}
