//! Whether an agent's frames leave evenly.

use std::time::Duration;

use frontdesk_audio::FRAME_MS;
use tokio::time::Instant;

const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// A frame that leaves later than this is late.
const LATE: Duration = Duration::from_millis(10);

/// Counts frames and those that were late: later by more than 10 ms than the schedule of one each 20 ms that the most punctual of
/// them keep. A frame that was left out, because its successor was due as well, counts as late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// When the next frame is due.
    due: Option<Instant>,
    /// Frames that left or should have.
    pub frames: u64,
    /// Those that were late.
    pub late: u64,
}

impl Pace {
    /// A frame leaves.
    pub(super) fn frame(&mut self, at: Instant) {
        let due = self.due.map_or(at, |due| due.min(at));
        let lateness = at.duration_since(due);
        let missed = u32::try_from(lateness.as_nanos() / FRAME.as_nanos()).unwrap_or(u32::MAX);
        let rest = lateness.saturating_sub(FRAME * missed);
        self.frames += 1 + u64::from(missed);
        self.late += u64::from(missed) + u64::from(missed == 0 && rest > LATE);
        self.due = Some(due + FRAME * (missed + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames at these times in milliseconds.
    fn counted(times: &[u64]) -> (u64, u64) {
        let (start, mut pace) = (Instant::now(), Pace::default());
        times.iter().for_each(|ms| pace.frame(start + Duration::from_millis(*ms)));
        (pace.frames, pace.late)
    }

    #[test]
    fn frames_are_late_by_the_schedule_of_the_punctual_ones() {
        assert_eq!(counted(&[0, 20, 40, 60]), (4, 0));
        assert_eq!(counted(&[0, 29, 41, 75, 80]), (5, 1));
        assert_eq!(counted(&[15, 20, 45, 55]), (4, 0), "the first was late itself");
        // Stalled for 65 ms: three left out, and the next one punctual again.
        assert_eq!(counted(&[0, 20, 105, 120]), (7, 3));
    }
}
