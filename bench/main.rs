//! The benches: `make bench-latency`, `make bench-overhead`, `make bench-barge-in`,
//! `make bench-store`, `make bench-density`. See `bench/README.md`.
#![forbid(unsafe_code)]

mod barge_in;
mod common;
mod density;
mod latency;
mod overhead;
mod store;

use clap::{Parser, Subcommand};

use common::Failure;

/// Measures frontdesk with real calls on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum Bench {
    /// The time from a caller's last sound to the agent's first, for frontdesk and for livekit-agents
    Latency(latency::Arguments),
    /// Our own part of an answer's time: all but the providers' delays and chosen waiting
    Overhead(overhead::Arguments),
    /// The time from a barge-in of `min_duration` to the agent's silence at the caller
    BargeIn(barge_in::Arguments),
    /// The time of a search in a full calendar, and of bookings that arrive by the clock
    Store(store::Arguments),
    /// What a call costs in processor time and memory, for frontdesk and for livekit-agents
    Density(density::Arguments),
    /// The worker of a row without LiveKit, which `density` starts
    #[command(hide = true)]
    DensityAlone(density::alone::Arguments),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    match Cli::parse().bench {
        Bench::Latency(arguments) => latency::run(arguments).await,
        Bench::Overhead(arguments) => overhead::run(&arguments).await,
        Bench::BargeIn(arguments) => barge_in::run(&arguments).await,
        Bench::Density(arguments) => density::run(&arguments).await,
        Bench::DensityAlone(arguments) => density::alone::run(&arguments).await,
        Bench::Store(arguments) => store::run(&arguments).await,
    }
}
