//! Plays what was synthesised, in order, and knows the truth about what was heard.

use std::collections::VecDeque;
use std::time::Duration;

use frontdesk_conversation::{CallTime, Input, PlayedPos, ReplyId, SpokenWord, UtteranceId};

use super::random::Random;

/// How often the position is reported.
const REPORT: Duration = Duration::from_millis(200);
const RATE_HZ: u32 = 16_000;

/// An utterance as the synthesiser made it.
#[derive(Debug, Clone)]
pub(crate) struct Speech {
    pub(crate) utterance: UtteranceId,
    pub(crate) reply: ReplyId,
    pub(crate) words: Vec<SpokenWord>,
    pub(crate) duration: Duration,
    ready_at: CallTime,
    timed: bool,
}

impl Speech {
    /// The word times as far as the service gives them.
    pub(crate) fn given_words(&self) -> Vec<SpokenWord> {
        if self.timed { self.words.clone() } else { Vec::new() }
    }

    fn heard(&self, played: Duration) -> String {
        self.words.iter().take_while(|word| word.end <= played).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug, Clone)]
struct Playing {
    speech: Speech,
    since: CallTime,
    before: Duration,
    reported: CallTime,
}

impl Playing {
    fn played(&self, now: CallTime) -> Duration {
        (self.before + now.since(self.since)).min(self.speech.duration)
    }
}

/// The player.
#[derive(Debug, Default)]
pub(crate) struct Player {
    queue: VecDeque<Speech>,
    playing: Option<Playing>,
    paused: bool,
    /// The words that were really heard, in order.
    pub(crate) heard: Vec<String>,
    /// Which utterances were heard to their end.
    pub(crate) whole: Vec<UtteranceId>,
    /// Whether the service gives no word times.
    pub(crate) untimed: bool,
    /// How uneven the voice is: the share by which a word may be shorter or longer, in percent.
    pub(crate) uneven_percent: u64,
}

impl Player {
    pub(crate) fn order(&mut self, utterance: UtteranceId, reply: ReplyId, text: &str, ready_at: CallTime, random: &mut Random) -> Speech {
        let mut end = Duration::ZERO;
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let even = (word.chars().count() as u64 + 1) * 66_000;
            let swing = even * self.uneven_percent / 100;
            let micros = even - swing + random.below(2 * swing + 1);
            end += Duration::from_micros(micros);
            words.push(SpokenWord { text: word.into(), end: end - Duration::from_micros(60_000) });
        }
        let speech = Speech { utterance, reply, words, duration: end, ready_at, timed: !self.untimed };
        self.queue.push_back(speech.clone());
        speech
    }

    pub(crate) fn next_at(&self) -> Option<CallTime> {
        if self.paused {
            return None;
        }
        match &self.playing {
            Some(playing) => {
                let end = playing.since + playing.speech.duration.saturating_sub(playing.before);
                Some(end.min(playing.reported + REPORT))
            }
            None => self.queue.front().map(|speech| speech.ready_at),
        }
    }

    /// What the player reports at this time, if anything.
    pub(crate) fn due(&mut self, now: CallTime) -> Option<Input> {
        if self.next_at().is_none_or(|at| at > now) {
            return None;
        }
        let Some(playing) = &mut self.playing else {
            let speech = self.queue.pop_front()?;
            let utterance = speech.utterance;
            self.playing = Some(Playing { speech, since: now, before: Duration::ZERO, reported: now });
            return Some(Input::PlaybackStarted { utterance });
        };
        let (utterance, played) = (playing.speech.utterance, playing.played(now));
        playing.reported = now;
        if played < playing.speech.duration {
            return Some(Input::PlaybackPosition { utterance, played: position(played) });
        }
        self.whole.push(utterance);
        self.stop(now);
        Some(Input::PlaybackFinished { utterance })
    }

    fn stop(&mut self, now: CallTime) -> Option<(UtteranceId, Duration)> {
        let playing = self.playing.take()?;
        let played = if self.paused { playing.before } else { playing.played(now) };
        // By the position that is told: nobody knows it more exactly.
        self.heard.push(playing.speech.heard(position(played).duration()));
        Some((playing.speech.utterance, played))
    }

    pub(crate) fn flush(&mut self, reply: ReplyId, now: CallTime) -> Option<(UtteranceId, PlayedPos)> {
        self.queue.retain(|speech| speech.reply > reply);
        self.playing.as_ref().filter(|playing| playing.speech.reply <= reply)?;
        self.stop(now).map(|(utterance, played)| (utterance, position(played)))
    }

    pub(crate) fn pause(&mut self, now: CallTime) {
        if let Some(playing) = self.playing.as_mut().filter(|_| !self.paused) {
            playing.before = playing.played(now);
        }
        self.paused = true;
    }

    pub(crate) fn resume(&mut self, now: CallTime) {
        if let Some(playing) = self.playing.as_mut().filter(|_| self.paused) {
            playing.since = now;
            playing.reported = now;
        }
        self.paused = false;
    }

    /// The worker is gone, and its audio with it.
    pub(crate) fn reset(&mut self, now: CallTime) {
        self.stop(now);
        self.queue.clear();
        self.paused = false;
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.playing.is_none() || self.paused
    }
}

fn position(played: Duration) -> PlayedPos {
    // Rounded up, so that a position taken at the end of a word has that word.
    let samples = (played.as_micros() * u128::from(RATE_HZ)).div_ceil(1_000_000);
    PlayedPos { samples: u64::try_from(samples).unwrap_or(u64::MAX), rate_hz: RATE_HZ }
}
