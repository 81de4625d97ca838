//! What a caller says and does, apart from when and how.

use std::collections::VecDeque;
use std::time::Duration;

/// When the next act is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// When the agent has finished: the polite way.
    AgentFinished,
    /// This long after the agent's first sound since the caller's last act: a barge-in.
    AgentSpeaking(Duration),
    /// This long after the caller's own last sound, or after the answer if he has said nothing, whatever the agent does.
    After(Duration),
}

/// Something a caller does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Says a text.
    Say(String),
    /// Presses keys: `0`–`9`, `*`, `#`, `A`–`D`.
    Press(String),
    /// Makes a noise without words.
    Noise(Duration),
    /// Lets this turn pass.
    Listen,
    /// Hangs up.
    HangUp,
}

/// What a caller decides on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard<'a> {
    /// What the agent has said since the caller's last act, if somebody tells the caller; a caller who only listens has `None`.
    pub text: Option<&'a str>,
    /// Nobody has made a sound for long ([`super::Habits::overdue_after`]), though the cue has not come.
    pub is_overdue: bool,
}

/// Decides what a caller does.
pub trait CallerPlan: Send + Sync {
    /// When the next act is due. Asked every 20 ms.
    fn cue(&self) -> Cue {
        Cue::AgentFinished
    }

    /// The next act; its cue has come, or it is overdue.
    fn act(&mut self, heard: Heard<'_>) -> Act;
}

/// A line of a script: an act and its cue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub cue: Cue,
    /// What.
    pub act: Act,
}

impl Line {
    /// Says a text when the agent has finished.
    pub fn say(text: impl Into<String>) -> Self {
        Self { cue: Cue::AgentFinished, act: Act::Say(text.into()) }
    }

    /// Says a text this long after the agent began, into his words.
    pub fn barge_in(after: Duration, text: impl Into<String>) -> Self {
        Self { cue: Cue::AgentSpeaking(after), act: Act::Say(text.into()) }
    }

    /// Says a text this long after the caller's own last sound: a pause in the middle of a turn.
    pub fn say_after(pause: Duration, text: impl Into<String>) -> Self {
        Self { cue: Cue::After(pause), act: Act::Say(text.into()) }
    }

    /// Presses keys when the agent has finished.
    pub fn press(keys: impl Into<String>) -> Self {
        Self { cue: Cue::AgentFinished, act: Act::Press(keys.into()) }
    }

    /// Lets the agent say one thing more.
    #[must_use]
    pub const fn listen() -> Self {
        Self { cue: Cue::AgentFinished, act: Act::Listen }
    }

    /// Hangs up when the agent has finished.
    #[must_use]
    pub const fn hang_up() -> Self {
        Self { cue: Cue::AgentFinished, act: Act::HangUp }
    }

    /// Hangs up this long after the caller's own last sound, whatever the agent does.
    #[must_use]
    pub const fn hang_up_after(pause: Duration) -> Self {
        Self { cue: Cue::After(pause), act: Act::HangUp }
    }
}

/// Lines in their order; after the last one the caller listens until somebody hangs up.
#[derive(Debug, Clone, Default)]
pub struct Scripted {
    lines: VecDeque<Line>,
}

impl Scripted {
    /// A script.
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        Self { lines: lines.into_iter().collect() }
    }

    /// A script of texts, each said when the agent has finished.
    pub fn saying<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::new(texts.into_iter().map(Line::say))
    }

    /// A caller who says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }
}

impl CallerPlan for Scripted {
    fn cue(&self) -> Cue {
        self.lines.front().map_or(Cue::AgentFinished, |line| line.cue)
    }

    fn act(&mut self, heard: Heard<'_>) -> Act {
        // A script knows nothing better to do about a silent agent than to wait.
        if heard.is_overdue {
            return Act::Listen;
        }
        self.lines.pop_front().map_or(Act::Listen, |line| line.act)
    }
}

/// If the agent's words contain all of these, do that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Parts of what the agent must have said; upper and lower case do not matter. None: anything.
    pub contains: Vec<String>,
    /// The answer.
    pub act: Act,
    /// How often the rule applies.
    pub times: u32,
}

/// How often a caller who is asked to say it again does so.
const REPEATS_MAX: u32 = 3;

/// Answers what the agent says, by rules; the first that fits decides. Who is asked to say it again does, a few times, where no rule
/// fits.
///
/// Words that no rule fits are let pass ("One moment, please."). Where the agent's words are not known at all, or everybody
/// has been silent for long, the acts of [`Reactive::otherwise`] follow in their order.
#[derive(Debug, Clone, Default)]
pub struct Reactive {
    rules: Vec<Rule>,
    otherwise: VecDeque<Act>,
    /// What was said last.
    last: Option<Act>,
    repeats: u32,
}

impl Reactive {
    /// No rules yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Once, when the agent's words contain all of `contains`: says `text`.
    #[must_use]
    pub fn when(self, contains: &[&str], text: impl Into<String>) -> Self {
        self.rule(contains, Act::Say(text.into()), 1)
    }

    /// Every time, when the agent's words contain all of `contains`: says `text`.
    #[must_use]
    pub fn whenever(self, contains: &[&str], text: impl Into<String>) -> Self {
        self.rule(contains, Act::Say(text.into()), u32::MAX)
    }

    /// As often as `times`, when the agent's words contain all of `contains`: does `act`.
    #[must_use]
    pub fn rule(mut self, contains: &[&str], act: Act, times: u32) -> Self {
        let contains = contains.iter().map(|part| part.to_lowercase()).collect();
        self.rules.push(Rule { contains, act, times });
        self
    }

    /// What to say in turn where no words are known.
    #[must_use]
    pub fn otherwise<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        self.otherwise.extend(texts.into_iter().map(|text| Act::Say(text.into())));
        self
    }
}

impl CallerPlan for Reactive {
    fn act(&mut self, heard: Heard<'_>) -> Act {
        let words = heard.text.map(str::to_lowercase).filter(|words| !words.is_empty());
        if let Some(words) = &words {
            let fits = |rule: &&mut Rule| rule.times > 0 && rule.contains.iter().all(|part| words.contains(part.as_str()));
            if let Some(rule) = self.rules.iter_mut().find(fits) {
                rule.times -= 1;
                self.last = Some(rule.act.clone()).filter(|act| matches!(act, Act::Say(_)));
                return rule.act.clone();
            }
            if words.contains("say it again")
                && self.repeats < REPEATS_MAX
                && let Some(last) = &self.last
            {
                self.repeats += 1;
                return last.clone();
            }
        }
        if words.is_some() && !heard.is_overdue {
            return Act::Listen;
        }
        self.otherwise.pop_front().unwrap_or(Act::Listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(text: &str) -> Heard<'_> {
        Heard { text: Some(text), is_overdue: false }
    }

    const OVERDUE: Heard<'static> = Heard { text: None, is_overdue: true };

    #[test]
    fn a_script_runs_in_order_and_then_listens() {
        let barge_in = Duration::from_millis(700);
        let mut plan = Scripted::new([Line::say("one"), Line::barge_in(barge_in, "two"), Line::hang_up()]);
        assert_eq!(plan.act(OVERDUE), Act::Listen, "nothing is used up by waiting");
        assert_eq!((plan.cue(), plan.act(hears("a"))), (Cue::AgentFinished, Act::Say("one".into())));
        assert_eq!((plan.cue(), plan.act(hears("b"))), (Cue::AgentSpeaking(barge_in), Act::Say("two".into())));
        assert_eq!(plan.act(Heard::default()), Act::HangUp);
        assert_eq!((plan.cue(), plan.act(hears("c"))), (Cue::AgentFinished, Act::Listen));
    }

    #[test]
    fn who_was_not_heard_says_it_again_a_few_times() {
        let mut plan = Reactive::new().when(&["help"], "A time, please.");
        assert_eq!(plan.act(hears("Could you say it again?")), Act::Listen, "nothing was said yet");
        assert_eq!(plan.act(hears("How can I help?")), Act::Say("A time, please.".into()));
        for _ in 0..REPEATS_MAX {
            assert_eq!(plan.act(hears("I couldn't hear that. Could you say it again?")), Act::Say("A time, please.".into()));
        }
        assert_eq!(plan.act(hears("I couldn't hear that. Could you say it again?")), Act::Listen);
    }

    #[test]
    fn rules_decide_in_order_and_wear_out() {
        let mut plan = Reactive::new()
            .when(&["taken"], "Then the other one.")
            .when(&["Which", "time"], "Nine o'clock.")
            .whenever(&["still there"], "Yes.")
            .otherwise(["Hello?"]);
        assert_eq!(plan.act(hears("One moment, please.")), Act::Listen);
        assert_eq!(plan.act(hears("At which TIME?")), Act::Say("Nine o'clock.".into()));
        assert_eq!(plan.act(hears("At which time? Nine is taken.")), Act::Say("Then the other one.".into()));
        assert_eq!(plan.act(hears("At which time?")), Act::Listen, "worn out");
        assert_eq!(plan.act(hears("Are you still there?")), Act::Say("Yes.".into()));
        assert_eq!(plan.act(hears("Are you still there?")), Act::Say("Yes.".into()));
        assert_eq!(plan.act(OVERDUE), Act::Say("Hello?".into()));
        assert_eq!(plan.act(OVERDUE), Act::Listen);
    }

    #[test]
    fn without_words_the_other_lines_follow_in_order() {
        let mut plan = Reactive::new().when(&["x"], "y").otherwise(["one", "two"]);
        assert_eq!(plan.act(Heard::default()), Act::Say("one".into()));
        assert_eq!(plan.act(hears("")), Act::Say("two".into()));
    }
}
