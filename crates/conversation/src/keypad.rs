//! Keys that the caller presses: digits become a turn after a pause or with `#`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// When the digits end, if there are any.
    pub(crate) fn due_at(&self) -> Option<CallTime> {
        (!self.digits.is_empty()).then(|| self.last + PAUSE)
    }
}

impl Conversation {
    pub(crate) fn key_pressed(&mut self, now: CallTime, digit: char) {
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
                let full = keypad.digits.len() >= DIGITS_MAX;
                self.caller_was_active(now);
                if full {
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
