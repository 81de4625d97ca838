//! `frontdesk simulate`: jobs without calls, to see whether and how fast LiveKit assigns them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use frontdesk_livekit::api::random_id;
use frontdesk_livekit::worker::{JobContext, Worker, WorkerOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CommandError, livekit_credentials, none_missing};
use crate::cli::Simulate;
use crate::config::Config;

/// As many as the command line allows.
const JOBS_MAX: usize = 50;
/// How long the jobs are waited for; LiveKit gives an assignment up after as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registers a worker under a name of its own, has the server assign it jobs, and prints how long that took. No room is made and
/// nobody is called.
///
/// # Errors
/// The worker could not register, or jobs did not come.
pub(super) async fn run(simulate: Simulate, config: &Config) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    let credentials = livekit_credentials(config, &mut missing);
    none_missing(missing)?;
    let Some(credentials) = credentials else { return Ok(()) };
    let (arrived, mut arrivals) = mpsc::channel(JOBS_MAX);
    let entry = move |_: JobContext| {
        // Whoever has lost patience counts no more jobs.
        let _ = arrived.try_send(Instant::now());
        async { Ok(()) }
    };
    let worker = Worker::new(WorkerOptions::new(&config.livekit.url, credentials, random_id("simulate-")));
    let (simulator, mut health, shutdown) = (worker.simulator(), worker.health(), CancellationToken::new());
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run(Arc::new(entry), shutdown).await }
    });
    // Fails when the worker has ended, which then says why.
    if health.wait_for(|health| health.worker_id.is_some()).await.is_ok() {
        let began = Instant::now();
        let asked = (0..simulate.jobs).filter(|_| simulator.simulate(random_id("simulated-"))).count();
        let mut took = Vec::new();
        let collecting = async {
            while took.len() < asked
                && let Some(at) = arrivals.recv().await
            {
                took.push(at.duration_since(began));
            }
        };
        let _ = tokio::time::timeout(PATIENCE, collecting).await;
        shutdown.cancel();
        running.await.map_err(CommandError::new)?.map_err(CommandError::new)?;
        return report(&took, simulate.jobs);
    }
    running.await.map_err(CommandError::new)?.map_err(CommandError::new)
}

fn report(took: &[Duration], jobs: u32) -> Result<(), CommandError> {
    let (median, last) = (took.get(took.len() / 2), took.last());
    if let (Some(median), Some(last)) = (median, last) {
        println!(
            "{} of {jobs} jobs assigned; half of them within {} ms, all within {} ms",
            took.len(),
            median.as_millis(),
            last.as_millis()
        );
    }
    if took.len() < jobs as usize {
        return Err(CommandError(format!(
            "{} of {jobs} jobs were not assigned within {} s",
            jobs as usize - took.len(),
            PATIENCE.as_secs()
        )));
    }
    Ok(())
}
