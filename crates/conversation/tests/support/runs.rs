//! How much the property tests try, and where chance begins.

use std::hash::{BuildHasher, RandomState};

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// `FRONTDESK_SCHEDULES` sets how many cases a property tries, `FRONTDESK_SEED` where chance begins (a number, or `random`).
///
/// By default a run tries the same cases as the one before, so that it fails for what was changed. A failure prints the seed and
/// the smallest case that shows it.
pub(crate) fn config_of_runs(default: u32) -> ProptestConfig {
    let setting = |name| std::env::var(name).ok();
    let cases = setting("FRONTDESK_SCHEDULES").and_then(|count| count.parse().ok()).unwrap_or(default);
    let seed = match setting("FRONTDESK_SEED").as_deref() {
        Some("random") => RandomState::new().hash_one(cases),
        Some(seed) => seed.parse().expect("FRONTDESK_SEED is a number or `random`"),
        None => 1,
    };
    // Shown when the test fails: the command that repeats it.
    println!("make test-long SEED={seed} SCHEDULES={cases}");
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() }
}
