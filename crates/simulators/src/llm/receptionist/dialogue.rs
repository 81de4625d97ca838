//! A conversation, read from its messages.

use frontdesk_agent::ToolSchema;
use frontdesk_agent::llm::{Message, ToolCallId};
use serde_json::Value;

use super::CONFIRM;
use super::cancelling::Cancelling;
use super::facts::Facts;
use super::names;
use super::numbers;
use super::registering::Registering;
use super::task::{Flow, Heard, Known, Outcome, Reaction, Step, Task};
use super::words::{Intent, intent, is_done, says_goodbye, wants_person, wants_repetition};

/// After so many utterances in a row that could not be used, a message is offered.
const MISSES_MAX: u32 = 2;
/// What the note about repeated misunderstanding says.
const NOT_UNDERSTOOD: &str = "have not understood each other";
/// How the note of a late outcome goes on after the confirmation's id.
const KNOWN_NOW: &str = " is known now: ";

/// Where a conversation stands after its last message.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    pub(super) facts: Facts,
    pub(super) known: Known,
    pub(super) tasks: Vec<Task>,
    /// What is to be said before anything else.
    pub(super) lead: String,
    /// The caller takes leave.
    pub(super) closing: bool,
    /// The caller speaks of an emergency in this turn.
    pub(super) emergency: bool,
    /// The caller asks for a person in this turn.
    pub(super) person: bool,
    /// He and the agent do not understand each other: he is told so at his next words.
    trouble: bool,
    /// What the caller has just said to being recorded.
    pub(super) consent: Option<bool>,
    /// It was noted before.
    has_consented: bool,
    /// Tools that were called since the caller's last words.
    pub(super) calls: Vec<(String, Value)>,
    /// Something was said since the caller's last words.
    pub(super) said: bool,
    /// A task cannot go on.
    stuck: bool,
    /// Utterances in a row that could not be used.
    pub(super) misses: u32,
    /// The outcome of a commit is unknown.
    unknown_outcome: bool,
    /// All that the agent was heard to say.
    spoken: String,
}

impl Dialogue {
    /// Reads the messages from first to last.
    pub(super) fn read(messages: &[Message], tools: &[ToolSchema]) -> Self {
        let mut dialogue = Self { facts: Facts::of(messages).with_tools(tools), ..Self::default() };
        let mut open: Vec<(ToolCallId, String, Value)> = Vec::new();
        for message in messages {
            match message {
                Message::System { text } => dialogue.note(text),
                Message::User { text } => dialogue.hear(text),
                Message::Assistant { text, tool_calls } => {
                    dialogue.lead.clear();
                    dialogue.said |= !text.is_empty();
                    dialogue.spoken.push_str(text);
                    dialogue.spoken.push(' ');
                    open = tool_calls.iter().map(|call| (call.id.clone(), call.name.clone(), call.arguments.clone())).collect();
                }
                Message::Tool { call, content, .. } => {
                    if let Some((_, name, arguments)) = open.iter().find(|(id, ..)| id == call).cloned() {
                        dialogue.settle(name, arguments, content);
                    }
                }
            }
        }
        dialogue
    }

    /// Whether the caller is served in Spanish.
    pub(super) fn is_spanish(&self) -> bool {
        self.tasks.iter().any(|task| match &task.flow {
            Flow::Registering(registering) => registering.is_spanish,
            Flow::Reserving(_) => true,
            _ => false,
        })
    }

    /// The task at hand: the latest that is not finished.
    pub(super) fn current(&self) -> Option<&Task> {
        self.tasks.iter().rev().find(|task| !task.is_finished())
    }

    fn current_mut(&mut self) -> Option<&mut Task> {
        self.tasks.iter_mut().rev().find(|task| !task.is_finished())
    }

    /// What is needed next for the task at hand.
    pub(super) fn step(&self) -> Step {
        self.current().map_or(Step::Done, |task| task.step(&self.known, &self.facts))
    }

    /// Whether there is nothing left but to offer a message.
    pub(super) fn offers_message(&self) -> bool {
        // The same call again and again leads nowhere.
        let repeats = match self.step() {
            Step::Call { name, arguments, .. } => {
                self.calls.iter().filter(|(called, with)| called == name && *with == arguments).count() > 1
            }
            _ => false,
        };
        let is_errand = self.current().is_some_and(|task| matches!(task.flow, Flow::Errand(_)));
        (self.stuck || repeats || self.misses >= MISSES_MAX) && !is_errand
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.lead = format!("{} {text}", self.lead).trim().to_owned();
        }
    }

    /// A note of the conversation: the outcome of a commit that came late.
    fn note(&mut self, text: &str) {
        self.trouble |= text.contains(NOT_UNDERSTOOD);
        let Some((before, output)) = text.split_once(KNOWN_NOW) else { return };
        let tool = before.strip_prefix("The outcome of ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let of_tool = |task: &&mut Task| match &task.flow {
            Flow::Booking(booking) => {
                tool == (if booking.moves { "reschedule_appointment" } else { "book_appointment" }) && booking.booked.is_none()
            }
            Flow::Cancelling(cancelling) => tool == "cancel_appointment" && !cancelling.cancelled,
            _ => false,
        };
        let Some(task) = self.tasks.iter_mut().rev().find(of_tool) else { return };
        let outcome = Outcome::read(output);
        let failed = matches!(outcome, Outcome::Failed(_));
        let reaction = task.settle(outcome, &mut self.known);
        // It was given up as unknown; what failed may be tried anew.
        task.over = !failed && task.over;
        self.unknown_outcome = false;
        self.say("I know more now.");
        self.say(&reaction.say);
    }

    /// Takes an utterance of the caller.
    fn hear(&mut self, text: &str) {
        let heard = Heard::new(text);
        let was_offered = self.offers_message();
        self.calls.clear();
        (self.said, self.stuck, self.emergency, self.closing, self.person) = (false, false, false, false, false);
        // News of a late outcome may wait to be told; everything else belonged to an earlier turn.
        if !self.lead.starts_with("I know more") {
            self.lead.clear();
        }
        self.known.changed = false;
        self.consent = None;
        if let Some(name) = names::announced(heard.text) {
            self.known.changed |= self.known.name.replace(name.clone()) != Some(name);
        }
        let wants_words = self.current().is_some_and(|task| match &task.flow {
            Flow::Registering(registering) => registering.wants_words(&self.known),
            _ => false,
        });
        if let Some(phone) = numbers::phone(&heard.words).filter(|_| !wants_words) {
            self.known.changed |= self.known.phone.replace(phone.clone()) != Some(phone);
            self.known.partial.clear();
        }
        let repeat = wants_repetition(&heard.words) && intent(&heard.words, self.current().is_some()).is_none();
        let used = !heard.words.is_empty() && self.use_words(&heard, was_offered);
        if used || repeat {
            self.misses = 0;
        } else {
            self.misses += 1;
        }
        if repeat {
            self.lead.clear();
        } else if !used && self.misses < MISSES_MAX {
            self.say(if self.is_spanish() { "Lo siento, no le he entendido." } else { "I'm sorry, I did not get that." });
        } else if self.known.changed && self.lead.is_empty() && !self.closing {
            self.say("Thank you.");
        }
        if !used && self.misses == MISSES_MAX && self.current().is_none() {
            self.tasks.push(Task { intent: Intent::Other, noted: false, over: true, flow: Flow::Talk });
        }
        self.tell_code(repeat);
        if std::mem::take(&mut self.trouble) && !self.closing && !self.person && !self.emergency {
            self.lead = "I'm sorry, I have trouble understanding you.".into();
            self.stuck = true;
        }
    }

    /// A code that was not heard to its end, or is asked for, is told again.
    fn tell_code(&mut self, repeat: bool) {
        let booked = self.tasks.iter().rev().find_map(|task| match &task.flow {
            Flow::Booking(booking) if !booking.moves => booking.spoken_code().zip(booking.code()),
            _ => None,
        });
        let Some((code, sentence)) = booked else { return };
        let is_told = self.spoken.contains(code) || self.lead.contains(code);
        if !self.closing && (!is_told || (repeat && self.current().is_none())) {
            self.say(&sentence);
        }
    }

    /// Whether an utterance could be used.
    fn use_words(&mut self, heard: &Heard<'_>, was_offered: bool) -> bool {
        let busy = self.current().is_some();
        let wish = intent(&heard.words, busy);
        if wish == Some(Intent::Emergency) {
            self.emergency = true;
            self.open(Intent::Emergency, heard);
            return true;
        }
        let awaits_yes = self.current().and_then(Task::pending).is_some();
        if says_goodbye(&heard.words) && !(awaits_yes && heard.yes == Some(true)) {
            self.closing = true;
            return true;
        }
        if wants_person(&heard.words) {
            self.person = true;
            return true;
        }
        if self.hear_consent(heard, wish) {
            return true;
        }
        if was_offered && let Some(yes) = heard.yes.filter(|_| wish.is_none()) {
            for task in self.tasks.iter_mut().filter(|_| yes) {
                task.over = true;
            }
            if yes {
                self.open(Intent::Message, &Heard::new(""));
            } else if let Some(task) = self.current_mut().filter(|task| task.pending().is_none()) {
                task.over = true;
            }
            return true;
        }
        // What a message is about is no wish of its own.
        let is_new = |wish: &Intent| match self.current() {
            Some(task) => match task.flow {
                // Neither is what a patient is allergic to.
                Flow::Errand(_) | Flow::Registering(_) => false,
                Flow::Cancelling(_) => *wish != Intent::Cancel && *wish != task.intent,
                _ => *wish != task.intent,
            },
            None => true,
        };
        if let Some(wish) = wish.filter(is_new) {
            return self.open(wish, heard);
        }
        let mut reaction = Reaction::default();
        let (known, facts) = (&mut self.known, &self.facts);
        let used = match self.tasks.iter_mut().rev().find(|task| !task.is_finished()) {
            Some(task) => task.hear(heard, known, facts, &mut reaction),
            None => return self.hear_idly(heard),
        };
        self.stuck |= reaction.stuck;
        self.say(&reaction.say);
        used
    }

    /// Whether an utterance was about being recorded, and nothing else.
    fn hear_consent(&mut self, heard: &Heard<'_>, wish: Option<Intent>) -> bool {
        let is_open = self.facts.can_consent && !self.has_consented;
        let is_answer = self.tasks.is_empty() && wish.is_none() && heard.yes.is_some();
        if !is_open || !(is_answer || heard.words.any(&["record", "recorded", "recording"])) {
            return false;
        }
        let refuses = heard.words.any(&["no", "not", "dont", "never", "rather"]);
        self.consent = Some(!refuses && heard.yes == Some(true));
        self.say(if refuses { "All right, nothing is recorded." } else { "Thank you." });
        wish.is_none()
    }

    /// Nothing is under way.
    fn hear_idly(&mut self, heard: &Heard<'_>) -> bool {
        let served = !self.tasks.is_empty();
        if served && (heard.yes == Some(false) || is_done(&heard.words)) {
            self.closing = true;
        } else if heard.words.any(&["thanks", "thank"]) {
            self.say("You are welcome.");
        } else if heard.yes != Some(true) && !wants_repetition(&heard.words) {
            return self.known.changed;
        }
        true
    }

    /// Begins a task, or answers at once; whether the wish was understood.
    fn open(&mut self, wish: Intent, heard: &Heard<'_>) -> bool {
        if self.unknown_outcome && matches!(wish, Intent::Book | Intent::Cancel | Intent::Move) {
            // Nothing may be done twice while nobody knows whether it was done.
            self.say("I am still checking on your appointment.");
            return true;
        }
        let is_possible = match wish {
            Intent::List => self.facts.can_list,
            Intent::Resend => self.facts.can_resend,
            Intent::Register => self.facts.can_register,
            Intent::Queue => self.facts.can_queue,
            _ => true,
        };
        let wish = if is_possible { wish } else { Intent::Question };
        let asks = wish == Intent::Question && self.facts.can_ask && self.answer(heard).is_none();
        let wish = if asks { Intent::Ask } else { wish };
        self.tasks.push(Task::open(wish, heard, &self.facts));
        if wish == Intent::Advice {
            self.stuck = true;
            self.say("I am no clinician and cannot give medical advice.");
        }
        if wish == Intent::Question {
            match self.answer(heard) {
                Some(answer) => self.say(&answer),
                None => {
                    self.stuck = true;
                    self.say("I'm sorry, I do not know that.");
                }
            }
        }
        true
    }

    /// What the instructions answer.
    fn answer(&self, heard: &Heard<'_>) -> Option<String> {
        let (people, services) = (&self.facts.practitioners, &self.facts.services);
        if heard.words.any(&["who", "doctor", "doctors", "practitioners", "works"]) && !people.is_empty() {
            return Some(format!("Here you can see {}.", people.join(" or ")));
        }
        let offers = heard.words.any(&["offer", "services", "service", "treatments"]) && !services.is_empty();
        offers.then(|| format!("We offer {}.", services.join(", ")))
    }

    /// Takes the output of a tool.
    fn settle(&mut self, name: String, arguments: Value, content: &str) {
        let outcome = Outcome::of(&name, content);
        self.unknown_outcome |= outcome == Outcome::Unknown;
        self.calls.push((name.clone(), arguments));
        let reaction = match name.as_str() {
            "note_intent" => {
                if let Some(task) = self.tasks.iter_mut().find(|task| !task.noted) {
                    task.noted = true;
                }
                Reaction::default()
            }
            "end_call" => Reaction::default(),
            super::CONSENT => {
                self.has_consented = true;
                Reaction::default()
            }
            // What was cut off may be asked for again.
            super::TRANSFER => match outcome {
                Outcome::Failed(fault) if !fault.is_passing() => Reaction::stuck("I'm sorry, nobody can take your call right now."),
                _ => Reaction::default(),
            },
            "find_slots"
            | "book_appointment"
            | "reschedule_appointment"
            | "cancel_appointment"
            | "list_appointments"
            | "resend_confirmation"
            | "check_insurance_coverage"
            | "take_message"
            | "identify_patient"
            | "register_patient"
            | "join_waiting_list"
            | "leave_waiting_list"
            | "practice_information"
            | CONFIRM => {
                let done = matches!(outcome, Outcome::Done(_));
                let is_new = name == "identify_patient" && matches!(&outcome, Outcome::Failed(fault) if fault.code == "unknown_patient");
                let known = &mut self.known;
                let Some(task) = self.tasks.iter_mut().rev().find(|task| !task.is_finished()) else { return };
                let reaction = task.settle(outcome, known);
                if is_new && self.facts.can_register {
                    let flow = Flow::Registering(Registering::default());
                    self.tasks.push(Task { intent: Intent::Register, noted: true, over: false, flow });
                    self.say("I do not find you, so I will register you first.");
                    return;
                }
                // The old appointment goes once the new one stands.
                if done && task.intent == Intent::Move && matches!(&task.flow, Flow::Booking(booking) if !booking.moves) {
                    self.tasks.push(Task { intent: Intent::Move, noted: true, over: false, flow: Flow::Cancelling(Cancelling::of_old()) });
                }
                reaction
            }
            _ => Reaction::default(),
        };
        self.stuck |= reaction.stuck;
        if reaction.stuck
            && let Some(task) = self.current_mut().filter(|task| matches!(task.flow, Flow::Errand(_)))
        {
            // There is nothing left to offer.
            task.over = true;
            self.stuck = false;
        }
        self.say(&reaction.say);
    }
}
