//! Whole calls through the real program: `frontdesk sip` and `frontdesk start` as processes of their own, a real LiveKit server, a
//! database of one's own on the project's Postgres, simulated providers, and a caller who dials over SIP and speaks.
//!
//! LiveKit server, providers and the migrated database are shared by the tests that run at the same moment; each test has its own
//! bridge, worker, clinic and database. Calls last as long as they last: these tests take minutes.

mod booking;
mod calls;
mod client;
mod clinic;
mod desk;
mod documents;
mod endings;
mod gate;
mod health;
mod limits;
mod lost;
mod network;
mod nodes;
mod operators;
mod outages;
mod people;
mod playground;
mod privacy;
mod referrals;
mod rescued;
mod rivals;
mod shared;
mod stalled;
mod starts;
mod together;
mod voice;

use std::any::Any;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{OnceCell, RwLock};

/// One runtime for all tests, so that what they share outlives each of them.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));
/// Held for writing by what needs the whole machine.
static MACHINE: RwLock<()> = RwLock::const_new(());
/// Longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs a test beside others.
fn run(test: impl Future<Output = ()>) {
    RUNTIME.block_on(async {
        let _others = MACHINE.read().await;
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends in time");
    });
}

/// Runs a test alone.
fn run_alone(test: impl Future<Output = ()>) {
    RUNTIME.block_on(async {
        let _machine = MACHINE.write().await;
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends in time");
    });
}

/// Scenarios that run at the same moment, because each takes long and little of the machine. They run when the first test asks
/// for one of them.
struct Scenarios<K, T>(OnceCell<HashMap<K, Result<T, String>>>);

impl<K: Copy + Eq + Hash + Send + 'static, T: Send + 'static> Scenarios<K, T> {
    const fn new() -> Self {
        Self(OnceCell::const_new())
    }

    /// What came of a scenario; panics if it did, with its message.
    async fn get<F: Future<Output = T>>(&self, wanted: K, all: &[K], play: impl Fn(K) -> F + Copy + Send + 'static) -> &T {
        let play_all = async || {
            // Each on a thread of its own, as tests are.
            let playing = all.iter().map(|&scenario| (scenario, std::thread::spawn(move || RUNTIME.block_on(play(scenario)))));
            let playing: Vec<_> = playing.collect();
            let mut results = HashMap::new();
            for (scenario, thread) in playing {
                let played = tokio::task::spawn_blocking(move || thread.join()).await.expect("joining does not panic");
                results.insert(scenario, played.map_err(|panic| message(panic.as_ref())));
            }
            results
        };
        match &self.0.get_or_init(play_all).await[&wanted] {
            Ok(result) => result,
            Err(message) => panic!("{message}"),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
