//! A clinic's `[limits]`, in whole calls: over two workers, and with the places free again once callers have hung up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{Act, CallEnd, Reactive, Scripted};
use sqlx::Executor as _;
use tokio::time::{Instant, sleep};

use crate::calls::{UntilTold, farewell};
use crate::clinic;
use crate::desk::{Desk, DeskOptions};
use crate::documents::said;
use crate::people::GOODBYE;
use crate::run;

const ONE_AT_ONCE: &str = "[limits]\ncalls_at_once = 1\nbusy = \"All our lines are busy. Shall I take a message?\"\n";
const ONE_A_MINUTE: &str = "[limits]\nnew_calls_per_minute = 1\n";

/// The first caller is on the line while another worker starts.
const HOLDS_ON: Duration = Duration::from_secs(120);
/// For what the worker writes right after a call.
const SOON: Duration = Duration::from_secs(10);

impl Desk {
    async fn count(&self, query: &'static str) -> i64 {
        let mut connection = self.database.connect().await.expect("the database is there");
        sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a count")
    }

    /// Waits until so many calls have a place.
    async fn until_places_taken(&self, expected: i64) {
        let deadline = Instant::now() + SOON;
        loop {
            let taken = self.count("SELECT count(*) FROM live_calls").await;
            if taken == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{taken} places are taken, expected {expected}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Puts the beginnings that were counted into another minute than that in which they were.
    async fn count_beginnings_at(&self, minute: &str) {
        let mut connection = self.database.connect().await.expect("the database is there");
        let moved = format!("UPDATE call_starts SET minute = date_trunc('minute', now()) + interval '{minute}'");
        connection.execute(sqlx::AssertSqlSafe(moved)).await.expect("moved");
    }
}

#[test]
fn a_call_beyond_the_limit_hears_so_at_whichever_worker_and_the_place_is_free_after_the_hang_up() {
    run(async {
        // One call fills the first worker, so that the next comes to the other.
        let desk = Desk::open(DeskOptions { max_jobs: 1, limits: ONE_AT_ONCE, away_s: 100.0, ..DeskOptions::default() }).await;
        let hang_up = Arc::new(AtomicBool::new(false));
        let mut options = desk.options("+15550220001", UntilTold { inner: Scripted::silent(), hang_up: Arc::clone(&hang_up) });
        options.habits.silence_max = HOLDS_ON;
        let mut first = desk.place_with(options);
        first.until_agent_finished().await;
        desk.until_places_taken(1).await;
        let mut other = desk.hire("other").await;

        let goodbye = || Act::Say(GOODBYE.to_owned());
        let plan = Reactive::new().rule(&["lines are busy"], goodbye(), 2).rule(&["still there"], goodbye(), 2);
        desk.place(plan).hung_up_by_agent().await;
        other.logged("a call beyond the clinic's limit", SOON).await.expect("the other worker had it");
        let beyond = desk.records(1).await.remove(0);
        assert_eq!(beyond.outcome, EndReason::Completed);
        let heard = said(&beyond, Speaker::Agent);
        assert_eq!(heard.first(), Some(&"All our lines are busy. Shall I take a message?"), "{heard:?}");
        desk.until_places_taken(1).await;

        hang_up.store(true, Ordering::Relaxed);
        assert_eq!(first.outcome().await.end, CallEnd::Caller);
        desk.until_places_taken(0).await;
        desk.place(farewell()).hung_up_by_agent().await;
        let served = desk.records(3).await.remove(2);
        assert_eq!(said(&served, Speaker::Agent).first(), Some(&clinic::GREETING), "there is a place again");
        desk.until_places_taken(0).await;
        assert!(other.stop(SOON).await.expect("it ends").success());
        desk.close().await;
    });
}

#[test]
fn more_calls_than_a_minute_takes_are_busy_leave_nothing_and_come_in_the_next_minute() {
    run(async {
        let desk = Desk::open(DeskOptions { limits: ONE_A_MINUTE, ..DeskOptions::default() }).await;
        desk.place(farewell()).hung_up_by_agent().await;
        desk.count_beginnings_at("1 minute").await;
        assert_eq!(desk.place(farewell()).refused().await, 486);
        desk.until_places_taken(0).await;
        assert_eq!(desk.records(1).await.len(), 1, "a call that was not answered has no record");
        let open = "SELECT count(*) FROM call_leases WHERE released_at IS NULL";
        assert_eq!(desk.count(open).await, 0, "nor does it look like one whose worker is gone");
        desk.count_beginnings_at("-1 minute").await;
        desk.place(farewell()).hung_up_by_agent().await;
        assert_eq!(desk.records(2).await[1].outcome, EndReason::Completed);
        desk.close().await;
    });
}
