//! Keys as events: telephone-event, RFC 4733.

use std::fmt;
use std::time::Duration;

/// An event that got no more packets for this long is over, though its end was lost.
const EVENT_SILENCE_MAX: Duration = Duration::from_millis(150);

/// A key of a telephone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The key `0`–`9`, `*`, `#` or `A`–`D` (either case).
    #[must_use]
    pub fn new(key: char) -> Option<Self> {
        let key = u8::try_from(key.to_ascii_uppercase()).ok()?;
        let code = KEYS.iter().position(|known| *known == key)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The key of an event code, 0 to 15 (RFC 4733 §3.2).
    #[must_use]
    pub const fn from_event(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// The event code.
    #[must_use]
    pub const fn event(self) -> u8 {
        self.0
    }

    /// The key as a character.
    #[must_use]
    pub fn key(self) -> char {
        char::from(KEYS[usize::from(self.0)])
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_char(f, self.key())
    }
}

/// The payload of an event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) code: u8,
    pub(super) end: bool,
    /// In units of the 8 kHz clock.
    pub(super) duration: u16,
}

/// Power of the tones that the events stand for, in dBm0 below zero.
const VOLUME: u8 = 10;

impl Event {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, high, low] = payload.first_chunk()?;
        Some(Self { code, end: flags & 0x80 != 0, duration: u16::from_be_bytes([high, low]) })
    }

    pub(super) fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | VOLUME, high, low]
    }
}

/// Makes one key press of the many packets that tell of it.
///
/// All packets of an event carry its first timestamp, so copies, retransmitted ends and reordered packets fall
/// together. Any part suffices: if every end is lost, silence or the next event ends it.
#[derive(Debug, Default)]
pub(super) struct DtmfReceiver {
    current: Option<Current>,
    /// Timestamp of the event told last.
    told: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    timestamp: u32,
    digit: Digit,
    duration: u16,
    heard: Duration,
}

impl DtmfReceiver {
    /// Takes an event packet; returns a key press that is over by it.
    pub(super) fn receive(&mut self, now: Duration, timestamp: u32, event: Event) -> Option<(Digit, u32)> {
        let digit = Digit::from_event(event.code)?;
        let is_old = |of: u32| timestamp.wrapping_sub(of) > u32::MAX / 2;
        if self.told.is_some_and(|told| told == timestamp || is_old(told)) {
            return None;
        }
        let before = match self.current {
            Some(current) if current.timestamp == timestamp => None,
            Some(current) if is_old(current.timestamp) => return None,
            _ => self.finish(),
        };
        let duration = self.current.map_or(0, |current| current.duration).max(event.duration);
        self.current = Some(Current { timestamp, digit, duration, heard: now });
        // At most one of the two can be: an event that ends by its own end packet has nothing before it, unless
        // that lost all its ends. Then the earlier one is told now and this one at the next packet or tick.
        match (before, event.end) {
            (Some(before), _) => Some(before),
            (None, true) => self.finish(),
            (None, false) => None,
        }
    }

    /// Lets time pass; returns a key press whose end was lost.
    pub(super) fn tick(&mut self, now: Duration) -> Option<(Digit, u32)> {
        let current = self.current?;
        (now.saturating_sub(current.heard) >= EVENT_SILENCE_MAX).then(|| self.finish()).flatten()
    }

    fn finish(&mut self) -> Option<(Digit, u32)> {
        let current = self.current.take()?;
        self.told = Some(current.timestamp);
        Some((current.digit, u32::from(current.duration) / 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: u8, duration: u16, end: bool) -> Event {
        Event { code, end, duration }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn keys_and_codes() {
        for (key, code) in [('0', 0), ('9', 9), ('*', 10), ('#', 11), ('a', 12), ('D', 15)] {
            let digit = Digit::new(key).unwrap();
            assert_eq!(digit.event(), code);
            assert_eq!(Digit::from_event(code), Some(digit));
        }
        assert_eq!(Digit::new('x'), None);
        assert_eq!(Digit::from_event(16), None);
    }

    #[test]
    fn one_press_however_many_packets() {
        let mut receiver = DtmfReceiver::default();
        for n in 1..=5 {
            assert_eq!(receiver.receive(ms(n * 20), 1000, event(5, (n * 160) as u16, false)), None);
        }
        let five = Digit::new('5').unwrap();
        assert_eq!(receiver.receive(ms(120), 1000, event(5, 960, true)), Some((five, 120)));
        for _ in 0..2 {
            assert_eq!(receiver.receive(ms(130), 1000, event(5, 960, true)), None);
        }
        assert_eq!(receiver.receive(ms(140), 1000, event(5, 160, false)), None, "reordered");
        assert_eq!(receiver.tick(ms(1000)), None);
    }

    #[test]
    fn lost_ends_are_made_up_for() {
        let mut receiver = DtmfReceiver::default();
        assert_eq!(receiver.receive(ms(0), 1000, event(1, 160, false)), None);
        assert_eq!(receiver.receive(ms(40), 1800, event(2, 160, false)), Some((Digit(1), 20)));
        assert_eq!(receiver.tick(ms(100)), None);
        assert_eq!(receiver.tick(ms(190)), Some((Digit(2), 20)));
        assert_eq!(receiver.receive(ms(200), 1800, event(2, 320, true)), None, "told already");
        assert_eq!(receiver.receive(ms(260), 4000, event(2, 320, true)), Some((Digit(2), 40)), "only the end came");
    }

    #[test]
    fn flash_and_other_events_are_no_keys() {
        let mut receiver = DtmfReceiver::default();
        assert_eq!(receiver.receive(ms(0), 1, event(16, 800, true)), None);
        assert_eq!(Event::parse(&[1, 2, 3]), None);
    }
}
