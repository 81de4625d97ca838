//! Pre-emptive generation: the model is asked as soon as the caller falls silent, on words that are not final yet; or as soon as the
//! recogniser takes them for all of it.
//!
//! The answer is kept aside until the turn is committed. If the final words agree it becomes the reply's, else it is dropped and
//! the model is asked anew. Nothing of it is heard and no tool of it runs before the commit (invariant 2); its first words may be
//! synthesised and kept aside.

use crate::backchannel::normalise;
use crate::command::Command;
use crate::ids::GenerationId;
use crate::input::Input;
use crate::machine::Conversation;
use crate::message::Message;
use crate::sentences::SentenceSplitter;
use crate::time::CallTime;
use crate::unfinished::is_unfinished;

/// Drafts of one stretch of speech; a recogniser that changes its mind more often has to be waited for.
const DRAFTS_MAX: u32 = 3;
/// Of these, so many before the detector is sure that the caller has fallen silent, on the recogniser's word alone.
const EARLY_DRAFTS_MAX: u32 = 2;
/// Pieces that are kept of one draft; the final words are never so late.
const PIECES_MAX: usize = 2048;

/// An answer that is being given to words which are not final.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) generation: GenerationId,
    /// What was asked; the caller's words stand last.
    messages: Vec<Message>,
    /// The caller's words in normal form.
    words: String,
    /// What came of it.
    pieces: Vec<Input>,
    /// Finds the first words to be said.
    splitter: SentenceSplitter,
    /// They were ordered ahead.
    is_ahead: bool,
    asked_at: CallTime,
    first_token_at: Option<CallTime>,
}

impl Draft {
    /// Whether it answers these messages: the same history, and the same words but for case and punctuation.
    fn answers(&self, messages: &[Message]) -> bool {
        let (Some((asked, asked_before)), Some((now, now_before))) = (self.messages.split_last(), messages.split_last()) else {
            return false;
        };
        let (Message::User { text: asked }, Message::User { text: now }) = (asked, now) else { return false };
        asked_before == now_before && normalise(asked) == normalise(now)
    }
}

impl Conversation {
    /// The words that a draft would answer: those of a caller who has fallen silent, while nothing else is at work.
    fn words_to_draft(&self) -> Option<String> {
        let state = &self.state;
        let caller = &state.caller;
        let silent = caller.spoke() && !caller.is_held() && caller.has_text() && (!caller.is_speaking() || self.seems_over());
        let free = !state.aside
            && state.reply.is_none()
            && state.playout.flushing.is_none()
            && self.calls_settled()
            && state.keypad.due_at().is_none();
        (self.config.preemptive_generation && silent && free).then(|| caller.text())
    }

    /// Whether the recogniser takes the caller's words for all of them, and they do not want more to follow.
    fn seems_over(&self) -> bool {
        let caller = &self.state.caller;
        caller.seems_over() && !is_unfinished(&caller.text(), &self.config.endpointing.unfinished)
    }

    /// Starts, replaces or drops the draft, as the caller's words demand; whether anything happened.
    pub(crate) fn draft_due(&mut self) -> bool {
        let text = self.words_to_draft();
        if let Some(draft) = &self.state.draft {
            let stands = text.is_some_and(|text| normalise(&text) == draft.words);
            if !stands {
                self.drop_draft();
            }
            return !stands;
        }
        let most = if self.state.caller.is_speaking() { EARLY_DRAFTS_MAX } else { DRAFTS_MAX };
        let Some(text) = text.filter(|text| self.state.drafts < most && self.emergency_in(text).is_none()) else { return false };
        self.state.drafts += 1;
        let generation = GenerationId { reply: self.state.ids.reply(), step: 0 };
        let messages = self.state.history.messages(&self.config.instructions, Some(&text));
        let allow_tools = self.config.max_tool_steps > 0;
        self.push(Command::AskModel { generation, messages: messages.clone(), allow_tools });
        self.state.draft = Some(Draft {
            generation,
            messages,
            words: normalise(&text),
            pieces: Vec::new(),
            splitter: SentenceSplitter::new(true),
            is_ahead: false,
            asked_at: self.state.now,
            first_token_at: None,
        });
        true
    }

    /// Nothing more is wanted of the draft, if there is one.
    pub(crate) fn drop_draft(&mut self) {
        if let Some(draft) = self.state.draft.take() {
            self.push(Command::CancelModel { generation: draft.generation });
            self.drop_ahead(&draft);
        }
    }

    fn drop_ahead(&mut self, draft: &Draft) {
        if draft.is_ahead {
            self.drop_speech_ahead();
        }
    }

    /// Drops the speech that was ordered ahead, unless an order to speak has taken it over.
    fn drop_speech_ahead(&mut self) {
        if std::mem::take(&mut self.state.has_speech_ahead) {
            self.push(Command::DropAhead);
        }
    }

    /// Orders the first words of the draft, once they are whole.
    fn speak_ahead(&mut self, input: &Input) {
        let Some(draft) = self.state.draft.as_mut().filter(|draft| self.config.preemptive_tts && !draft.is_ahead) else { return };
        let first = match input {
            Input::ModelText { text, .. } => draft.splitter.push(text).into_iter().next(),
            Input::ModelDone { .. } => draft.splitter.finish(),
            _ => None,
        };
        if let Some(text) = first {
            draft.is_ahead = true;
            // A reply that took a draft over and never said its words, because they came after their own end, has left them.
            self.drop_speech_ahead();
            self.state.has_speech_ahead = true;
            self.push(Command::SynthesiseAhead { text });
        }
    }

    /// Keeps what came for the draft; gives back what is for something else.
    pub(crate) fn keep_for_draft(&mut self, input: Input) -> Option<Input> {
        let (Input::ModelText { generation, .. }
        | Input::ModelToolCall { generation, .. }
        | Input::ModelDone { generation }
        | Input::ModelFailed { generation, .. }) = &input
        else {
            return Some(input);
        };
        let Some(draft) = self.state.draft.as_mut().filter(|draft| draft.generation == *generation) else { return Some(input) };
        if matches!(input, Input::ModelFailed { .. }) {
            // The caller waits for nothing yet: the reply will ask once more, and deal with a failure.
            if let Some(draft) = self.state.draft.take() {
                self.drop_ahead(&draft);
            }
            self.state.drafts = DRAFTS_MAX;
        } else if draft.pieces.len() < PIECES_MAX {
            if matches!(input, Input::ModelText { .. } | Input::ModelToolCall { .. }) {
                draft.first_token_at.get_or_insert(self.state.now);
            }
            draft.pieces.push(input.clone());
            self.speak_ahead(&input);
        } else {
            self.drop_draft();
        }
        None
    }

    /// Takes the draft if it answers these messages: its generation and what came of it so far. Else it is dropped.
    pub(crate) fn adopt_draft(&mut self, messages: &[Message]) -> Option<(GenerationId, Vec<Input>)> {
        match self.state.draft.take_if(|draft| draft.answers(messages)) {
            Some(draft) => {
                let turn = self.state.reply.as_ref().and_then(|reply| reply.turn);
                if let Some(metrics) = self.state.record.metrics(turn) {
                    (metrics.model_asked, metrics.first_token) = (Some(draft.asked_at), draft.first_token_at);
                }
                Some((draft.generation, draft.pieces))
            }
            None => {
                self.drop_draft();
                None
            }
        }
    }
}
