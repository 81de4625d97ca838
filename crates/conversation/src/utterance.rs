//! One piece of speech on its way: what is known of its synthesis, and how far it has been played.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::heard::{estimated_duration, heard_words};
use crate::history::EntryId;
use crate::ids::{ConfirmationId, ReplyId, UtteranceId};
use crate::input::SpokenWord;
use crate::time::{CallTime, PlayedPos};

/// An utterance that should have ended this long ago has: its `PlaybackFinished` was lost.
const FINISH_GRACE: Duration = Duration::from_millis(1500);
/// The same when its length is only a guess.
const FINISH_GRACE_UNKNOWN: Duration = Duration::from_secs(4);

/// What an utterance is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Words of the model, or a phrase from the configuration.
    Said,
    /// Bridges a wait.
    Filler,
    /// A legal notice: never cut off.
    Notice,
    /// States what a `Commit` tool will do.
    ReadBack(ConfirmationId),
}

/// Where an utterance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Playback {
    /// Not begun.
    Queued,
    /// The synthesiser failed before it began; it may be tried again.
    Failed,
    /// Begun.
    Playing,
    /// Played to its end.
    Finished,
    /// Will never be played.
    Dropped,
}

/// One piece of speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Utterance {
    pub(crate) id: UtteranceId,
    /// The line of the history that it belongs to.
    pub(crate) entry: EntryId,
    pub(crate) role: Role,
    pub(crate) text: String,
    pub(crate) playback: Playback,
    pub(crate) asked_at: CallTime,
    pub(crate) started_at: Option<CallTime>,
    pub(crate) ended_at: Option<CallTime>,
    /// Whether the synthesiser has begun to deliver.
    pub(crate) synthesised: bool,
    /// Whether the synthesiser broke off in the middle.
    pub(crate) partial: bool,
    /// Whether this is already the second attempt.
    pub(crate) is_retry: bool,
    /// Whether the caller may cut it off.
    #[serde(default = "yes")]
    pub(crate) is_interruptible: bool,
    pub(crate) duration: Option<Duration>,
    pub(crate) words: Vec<SpokenWord>,
    pub(crate) position: Duration,
    pub(crate) position_at: CallTime,
}

const fn yes() -> bool {
    true
}

impl Utterance {
    pub(crate) const fn new(id: UtteranceId, entry: EntryId, role: Role, text: String, now: CallTime) -> Self {
        Self {
            id,
            entry,
            role,
            text,
            playback: Playback::Queued,
            asked_at: now,
            started_at: None,
            ended_at: None,
            synthesised: false,
            partial: false,
            is_retry: false,
            is_interruptible: true,
            duration: None,
            words: Vec::new(),
            position: Duration::ZERO,
            position_at: CallTime::ZERO,
        }
    }

    /// Whether something of it may still be played.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.playback, Playback::Queued | Playback::Failed | Playback::Playing)
    }

    /// The position that the reports let expect at a time.
    pub(crate) fn position_at(&self, at: CallTime) -> Duration {
        let expected = self.position.saturating_add(at.since(self.position_at));
        self.duration.map_or(expected, |duration| expected.min(duration))
    }

    /// The words that were heard of it.
    pub(crate) fn heard(&self) -> String {
        match self.playback {
            Playback::Finished if !self.partial => self.text.clone(),
            Playback::Finished | Playback::Playing => heard_words(&self.text, self.position, self.duration, &self.words),
            Playback::Queued | Playback::Failed | Playback::Dropped => String::new(),
        }
    }

    /// When its end must have been played, whatever was reported.
    pub(crate) fn overdue_at(&self) -> CallTime {
        let (duration, grace) = match self.duration {
            Some(duration) => (duration, FINISH_GRACE),
            None => (estimated_duration(&self.text).saturating_mul(2), FINISH_GRACE_UNKNOWN),
        };
        self.position_at + duration.saturating_sub(self.position) + grace
    }
}

/// A reply that was flushed and whose played position is not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flushing {
    pub(crate) reply: ReplyId,
    pub(crate) asked_at: CallTime,
    pub(crate) deadline: CallTime,
    pub(crate) utterances: Vec<Utterance>,
}

impl Flushing {
    /// Settles what was heard: by the transport's answer, or by the last reports when none came.
    pub(crate) fn settle(&mut self, cut: Option<Option<(UtteranceId, PlayedPos)>>, now: CallTime) {
        let mut before_cut = matches!(cut, Some(Some(_)));
        for utterance in &mut self.utterances {
            match cut {
                Some(Some((id, played))) if id == utterance.id => {
                    utterance.position = played.duration();
                    utterance.playback = Playback::Playing;
                    utterance.started_at.get_or_insert(self.asked_at);
                    before_cut = false;
                }
                // What stands before the one that was cut has been played to its end, and so has all that began when none was cut.
                Some(Some(_)) if before_cut && utterance.playback == Playback::Playing => utterance.playback = Playback::Finished,
                Some(None) if utterance.playback == Playback::Playing => utterance.playback = Playback::Finished,
                None if utterance.playback == Playback::Playing => utterance.position = utterance.position_at(self.asked_at),
                _ => {}
            }
            if utterance.started_at.is_some() {
                utterance.ended_at.get_or_insert(now);
            }
        }
    }
}
