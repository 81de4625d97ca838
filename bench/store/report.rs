//! Writes what was measured into its section of the results.

use std::fmt::Write as _;
use std::path::Path;

use super::audit::Verification;
use super::{Arguments, Bookings, IN_FLIGHT_MAX, Searches};
use crate::common::machine::{Load, setting};
use crate::common::results::{self, Section};
use crate::common::{Failure, percentile, verdict};

/// Of a search, at the 99th percentile.
const SEARCH_P99_MAX_US: u64 = 10_000;
/// Of a booking, at the 99th percentile.
const BOOKING_P99_MAX_US: u64 = 25_000;
/// Of the audit log's verification.
const ROWS_A_SECOND_MIN: f64 = 50_000.0;

/// What was measured.
type Measured<'a> = (&'a Searches, &'a Bookings, Verification);

pub(super) fn write(arguments: &Arguments, checkout: &Path, measured: Measured<'_>, loads: [Load; 2]) -> Result<(), Failure> {
    let text = section(arguments, measured, loads);
    results::write(&checkout.join(&arguments.out), Section::Store, &text, checkout)?;
    println!("\n{text}");
    Ok(())
}

fn ms(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

fn figures(values: impl Iterator<Item = u64>) -> (Vec<u64>, String) {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    let at = |percent| ms(percentile(&sorted, percent));
    let row = format!("{} | {} | {} | {} | {}", sorted.len(), at(50), at(95), at(99), at(100));
    (sorted, row)
}

fn section(arguments: &Arguments, (searches, bookings, verification): Measured<'_>, [search_load, booking_load]: [Load; 2]) -> String {
    let Arguments { appointments, practitioners, rate, seconds, connections, .. } = arguments;
    let mut text = format!(
        "# The book in Postgres\n\nWritten by `make bench-store`; [README.md](README.md) says what is counted.\n\n{}\
         | book | {appointments} appointments of {practitioners} practitioners over 12 months |\n| pool | {connections} connections |\n\n\
         | what | count | p50 | p95 | p99 | worst |\n|---|---|---|---|---|---|\n",
        setting()
    );
    for (kind, took) in searches {
        let _infallible = writeln!(text, "| search: {kind} | {} |", figures(took.iter().copied()).1);
    }
    let (all, row) = figures(searches.iter().flat_map(|(_, took)| took.iter().copied()));
    let _infallible = writeln!(text, "| search: all | {row} |");
    let (booked, row) = figures(bookings.took.iter().copied());
    let _infallible = writeln!(text, "| booking, {rate} a second for {seconds} s | {row} |");
    text += "\n| what | target | measured | verdict |\n|---|---|---|---|\n";
    let (search, booking) = (percentile(&all, 99), percentile(&booked, 99));
    text += &verdict("search, p99", "≤ 10 ms", &ms(search), search <= SEARCH_P99_MAX_US);
    text += &verdict("booking, p99", "≤ 25 ms", &ms(booking), booking <= BOOKING_P99_MAX_US);
    let wanted = arguments.rate as usize * arguments.seconds as usize;
    text += &verdict("bookings", &format!("{wanted}, none refused"), &booked.len().to_string(), bookings.failed.is_empty());
    let rate = verification.rows_a_second();
    text += &verdict("audit verification", "≥ 50,000 rows/s", &format!("{rate:.0} rows/s"), rate >= ROWS_A_SECOND_MIN);
    if let Some(first) = bookings.failed.first() {
        let _infallible = writeln!(text, "\n{} bookings failed; the first: {first}.", bookings.failed.len());
    }
    let _infallible = writeln!(
        text,
        "\n{} rows of the audit log were verified in {:.1} s. Most bookings under way at once: {} of {IN_FLIGHT_MAX}. Machine busy: {:.0} % while searching, {:.0} % while booking; others used \
         {:.2} and {:.2} cores.",
        verification.rows,
        verification.took.as_secs_f64(),
        bookings.in_flight_max,
        100.0 * search_load.busy_share(),
        100.0 * booking_load.busy_share(),
        search_load.foreign_cores,
        booking_load.foreign_cores,
    );
    text
}
