//! When practitioners are taken by what is not in the clinic's book: their own calendars.
//!
//! What a calendar said is used for five minutes when slots are looked for, and asked anew before one is held. A calendar that does not
//! answer is believed for an hour as it was last; after that it counts as empty, and the log says so: the clinic's own book stays
//! right in any case, and a receptionist who books nothing because a calendar is away helps nobody.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use frontdesk_notify::FreeBusy;
use metrics::counter;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ids::PractitionerId;
use crate::schedule::{Busy, Span};

/// An answer of this age is as good as new for whoever looks for slots.
const FRESH: Duration = Duration::from_secs(300);
/// An answer of this age is better than none.
const STALE: Duration = Duration::from_secs(3600);
/// A caller is on the line.
const ASK_LIMIT: Duration = Duration::from_millis(1500);
/// A calendar that did not answer is not asked again at once.
const REST: Duration = Duration::from_secs(30);
/// Times are asked for in blocks, so that callers with different wishes share an answer.
const BLOCK_DAYS: i64 = 31;
/// Blocks that are kept; a horizon of three months has four.
const BLOCKS_MAX: usize = 64;

/// Requests for busy times that failed.
pub const FAILURES: &str = "frontdesk.calendar.failures";

/// A calendar could not be asked; a code, as of a notice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CalendarError(pub String);

/// Where busy times come from.
#[async_trait]
pub trait CalendarSource: Send + Sync {
    /// The busy times of calendars within a window; a calendar that cannot be read is left out.
    ///
    /// # Errors
    /// [`CalendarError`], when nothing can be said of any.
    async fn busy(&self, calendars: &[String], window: Span) -> Result<HashMap<String, Vec<Span>>, CalendarError>;
}

#[async_trait]
impl CalendarSource for FreeBusy {
    async fn busy(&self, calendars: &[String], window: Span) -> Result<HashMap<String, Vec<Span>>, CalendarError> {
        let taken = self.ask(calendars, window.start, window.end).await.map_err(|error| CalendarError(error.code))?;
        let spans = |taken: Vec<(DateTime<Utc>, DateTime<Utc>)>| taken.into_iter().map(|(start, end)| Span { start, end }).collect();
        Ok(taken.into_iter().map(|(id, taken)| (id, spans(taken))).collect())
    }
}

/// What one block of time holds, by calendar.
type Block = HashMap<String, Vec<Span>>;

#[derive(Default)]
struct Cache {
    blocks: HashMap<i64, (Instant, Block)>,
    rests_until: Option<Instant>,
}

/// The practitioners' own calendars of one clinic; shared by its calls.
pub struct Elsewhere {
    source: Arc<dyn CalendarSource>,
    calendars: HashMap<PractitionerId, String>,
    /// Held while a calendar is asked, so that it is asked once.
    cache: Mutex<Cache>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("calendars", &self.calendars.len()).finish_non_exhaustive()
    }
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// For whoever looks.
    Minutes,
    /// For whoever takes.
    New,
}

impl Elsewhere {
    /// The calendars of those practitioners who have one, read from `source`.
    #[must_use]
    pub fn new(source: Arc<dyn CalendarSource>, calendars: HashMap<PractitionerId, String>) -> Self {
        Self { source, calendars, cache: Mutex::default() }
    }

    /// Adds to `busy` what the calendars hold within the window.
    pub(crate) async fn add_to(&self, busy: &mut Busy, window: Span, age: Age) {
        if self.calendars.is_empty() || window.start >= window.end {
            return;
        }
        let mut cache = self.cache.lock().await;
        for number in block_of(window.start)..=block_of(window.end) {
            let Some(block) = self.block(&mut cache, number, age).await else { continue };
            for (practitioner, calendar) in &self.calendars {
                let taken = block.get(calendar).into_iter().flatten().filter(|span| span.overlaps(window));
                busy.entry(practitioner.clone()).or_default().extend(taken.copied());
            }
        }
    }

    /// A block as it is now, or was lately.
    async fn block<'a>(&self, cache: &'a mut Cache, number: i64, age: Age) -> Option<&'a Block> {
        let now = Instant::now();
        let since = cache.blocks.get(&number).map(|(at, _)| now.duration_since(*at));
        let is_good = age == Age::Minutes && since.is_some_and(|since| since < FRESH);
        let rests = cache.rests_until.is_some_and(|until| now < until);
        if !is_good && !rests {
            let mut calendars: Vec<String> = self.calendars.values().cloned().collect();
            calendars.sort();
            calendars.dedup();
            let asked = tokio::time::timeout(ASK_LIMIT, self.source.busy(&calendars, span_of(number))).await;
            match asked.unwrap_or_else(|_| Err(CalendarError("timeout".into()))) {
                Ok(block) => {
                    let unreadable = calendars.iter().filter(|calendar| !block.contains_key(*calendar)).count();
                    if unreadable > 0 {
                        tracing::warn!(unreadable, "calendars of practitioners cannot be read; they count as empty");
                    }
                    if cache.blocks.len() >= BLOCKS_MAX {
                        cache.blocks.clear();
                    }
                    cache.blocks.insert(number, (now, block));
                }
                Err(error) => {
                    counter!(FAILURES).increment(1);
                    tracing::warn!(%error, "the practitioners' calendars cannot be asked");
                    cache.rests_until = Some(now + REST);
                }
            }
        }
        cache.blocks.get(&number).filter(|(at, _)| now.duration_since(*at) < STALE).map(|(_, block)| block)
    }
}

fn block_of(moment: DateTime<Utc>) -> i64 {
    moment.timestamp().div_euclid(BLOCK_DAYS * 86_400)
}

fn span_of(block: i64) -> Span {
    let start = DateTime::from_timestamp(block * BLOCK_DAYS * 86_400, 0).unwrap_or_default();
    Span { start, end: start + TimeDelta::days(BLOCK_DAYS) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;

    /// Answers as it is told, and counts.
    #[derive(Default)]
    struct Fake {
        taken: StdMutex<Vec<Span>>,
        fails: StdMutex<bool>,
        asked: StdMutex<Vec<Span>>,
    }

    #[async_trait]
    impl CalendarSource for Fake {
        async fn busy(&self, calendars: &[String], window: Span) -> Result<Block, CalendarError> {
            self.asked.lock().unwrap().push(window);
            if *self.fails.lock().unwrap() {
                return std::future::pending().await;
            }
            let taken: Vec<Span> = self.taken.lock().unwrap().iter().filter(|span| span.overlaps(window)).copied().collect();
            Ok(calendars.iter().map(|calendar| (calendar.clone(), taken.clone())).collect())
        }
    }

    fn span(start: &str, end: &str) -> Span {
        Span { start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    fn day() -> Span {
        span("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z")
    }

    fn ada() -> PractitionerId {
        PractitionerId::new("dr-lovelace").unwrap()
    }

    fn elsewhere() -> (Arc<Fake>, Elsewhere) {
        let fake = Arc::new(Fake::default());
        fake.taken.lock().unwrap().push(span("2026-12-01T14:00:00Z", "2026-12-01T15:00:00Z"));
        let calendars = HashMap::from([(ada(), "ada@lake.example".to_owned())]);
        (Arc::clone(&fake), Elsewhere::new(fake, calendars))
    }

    async fn found(elsewhere: &Elsewhere, window: Span, age: Age) -> usize {
        let mut busy = Busy::new();
        elsewhere.add_to(&mut busy, window, age).await;
        busy.get(&ada()).map_or(0, Vec::len)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_serves_five_minutes_whoever_looks_and_nobody_who_takes() {
        let (fake, elsewhere) = elsewhere();
        let asked = || fake.asked.lock().unwrap().len();
        for _ in 0..3 {
            assert_eq!(found(&elsewhere, day(), Age::Minutes).await, 1);
        }
        assert_eq!(asked(), 1);
        assert_eq!(found(&elsewhere, day(), Age::New).await, 1);
        assert_eq!(asked(), 2);
        tokio::time::advance(FRESH).await;
        fake.taken.lock().unwrap().clear();
        assert_eq!((found(&elsewhere, day(), Age::Minutes).await, asked()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_calendar_that_is_away_is_believed_for_an_hour_and_not_asked_again_at_once() {
        let (fake, elsewhere) = elsewhere();
        let asked = || fake.asked.lock().unwrap().len();
        assert_eq!(found(&elsewhere, day(), Age::New).await, 1);
        *fake.fails.lock().unwrap() = true;
        let before = Instant::now();
        assert_eq!(found(&elsewhere, day(), Age::New).await, 1);
        assert_eq!(before.elapsed(), ASK_LIMIT);
        assert_eq!((found(&elsewhere, day(), Age::New).await, asked()), (1, 2));
        tokio::time::advance(STALE).await;
        assert_eq!((found(&elsewhere, day(), Age::New).await, asked()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn long_windows_are_asked_for_in_blocks_without_a_gap() {
        let (fake, elsewhere) = elsewhere();
        let long = span("2026-11-15T00:00:00Z", "2027-02-15T00:00:00Z");
        assert_eq!(found(&elsewhere, long, Age::Minutes).await, 1);
        let asked = fake.asked.lock().unwrap().clone();
        assert!(asked[0].start <= long.start && asked.last().unwrap().end > long.end, "{asked:?}");
        assert!(asked.windows(2).all(|pair| pair[0].end == pair[1].start), "{asked:?}");
        assert_eq!(found(&elsewhere, span("2026-12-02T00:00:00Z", "2026-12-03T00:00:00Z"), Age::Minutes).await, 0, "another day");
    }
}
