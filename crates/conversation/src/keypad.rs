//! Keys that the caller presses: digits become a turn after a pause or with `#`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fields::FieldKind;
use crate::machine::Conversation;
use crate::time::CallTime;

/// A pause this long ends the digits.
const PAUSE: Duration = Duration::from_secs(2);
/// More digits than this are not a number that anyone was asked for.
const DIGITS_MAX: usize = 32;

/// Digits that are being keyed in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Keypad {
    digits: String,
    last: CallTime,
}

impl Keypad {
    /// Forgets the digits that were pressed.
    pub(crate) fn clear(&mut self) {
        self.digits.clear();
    }

    /// When the digits end, if there are any.
    pub(crate) fn due_at(&self) -> Option<CallTime> {
        (!self.digits.is_empty()).then(|| self.last + PAUSE)
    }
}

impl Conversation {
    pub(crate) fn key_pressed(&mut self, now: CallTime, digit: char) {
        if self.state.keypad.digits.is_empty() {
            self.note_question();
        }
        let keypad = &mut self.state.keypad;
        match digit {
            '#' => {
                if keypad.digits.is_empty() {
                    keypad.digits.push('#');
                }
                self.end_digits(now);
            }
            '0'..='9' | '*' | 'A'..='D' => {
                keypad.last = now;
                keypad.digits.push(digit);
                let count = keypad.digits.len();
                self.caller_was_active(now);
                let choice = self.config.menu.get(&digit).filter(|_| count == 1 && self.field().is_none()).cloned();
                let is_whole = self.field() == Some(FieldKind::Phone) && count >= self.config.endpointing.phone_digits.max(1);
                if let Some(choice) = choice {
                    self.state.keypad.digits.clear();
                    self.settled_turn(now, &choice);
                } else if is_whole || count >= DIGITS_MAX {
                    self.end_digits(now);
                }
            }
            _ => {}
        }
    }

    /// Ends the digits if their time has come; whether it had.
    pub(crate) fn keypad_due(&mut self, now: CallTime) -> bool {
        let due = self.state.keypad.due_at().is_some_and(|at| at <= now);
        if due {
            self.end_digits(now);
        }
        due
    }

    fn end_digits(&mut self, now: CallTime) {
        let digits = std::mem::take(&mut self.state.keypad.digits);
        self.settled_turn(now, &format!("(keypad) {digits}"));
    }
}
