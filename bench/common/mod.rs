//! What the benches share: servers and calls, the machine's load, call records, the file of results.

pub(crate) mod calls;
pub(crate) mod clinics;
pub(crate) mod machine;
pub(crate) mod peer;
pub(crate) mod pretend;
pub(crate) mod records;
pub(crate) mod results;
pub(crate) mod services;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_simulators::providers::Latency;

/// Why a bench ends without results.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Delays of the simulated services.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Delays {
    /// From the end of a segment to its final words.
    #[arg(long, default_value_t = 150)]
    pub(crate) stt_final_ms: u64,
    /// From a request to the model's first token.
    #[arg(long, default_value_t = 200)]
    pub(crate) llm_first_token_ms: u64,
    /// From one word of its answer to the next.
    #[arg(long, default_value_t = 20)]
    pub(crate) llm_word_ms: u64,
    /// From a flush to the first byte of speech.
    #[arg(long, default_value_t = 150)]
    pub(crate) tts_first_byte_ms: u64,
}

impl Delays {
    pub(crate) const fn latency(&self) -> Latency {
        Latency {
            stt_final: Duration::from_millis(self.stt_final_ms),
            llm_first_token: Duration::from_millis(self.llm_first_token_ms),
            llm_word: Duration::from_millis(self.llm_word_ms),
            tts_first_byte: Duration::from_millis(self.tts_first_byte_ms),
        }
    }

    /// In words, for a report.
    pub(crate) fn words(&self) -> String {
        let Self { stt_final_ms, llm_first_token_ms, llm_word_ms, tts_first_byte_ms } = self;
        format!(
            "speech-to-text final after {stt_final_ms} ms; model {llm_first_token_ms} ms, then {llm_word_ms} ms a word; speech after {tts_first_byte_ms} ms"
        )
    }
}

/// The checkout, and a fresh folder of a run in it, with `tenants` and `sip` below.
pub(crate) fn folders(dir: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let checkout = std::env::current_dir().map_err(Failure::new)?;
    let dir = checkout.join(dir);
    // What an earlier run left would be taken for this one's.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(Failure::new)?;
    }
    for folder in ["tenants", "sip"] {
        std::fs::create_dir_all(dir.join(folder)).map_err(Failure::new)?;
    }
    Ok((checkout, dir))
}

/// Writes a file and says so.
pub(crate) fn put(path: &Path, text: &str, checkout: &Path) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    println!("written: {}", shown(path, checkout));
    Ok(())
}

/// A path as it is written in the results.
pub(crate) fn shown(path: &Path, checkout: &Path) -> String {
    path.strip_prefix(checkout).unwrap_or(path).display().to_string()
}

/// The value at a percentile by nearest rank; 0 of nothing.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// A line of a table of verdicts.
pub(crate) fn verdict(what: &str, target: &str, measured: &str, is_met: bool) -> String {
    format!("| {what} | {target} | {measured} | {} |\n", if is_met { "pass" } else { "**miss**" })
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How this program was built.
pub(crate) const fn build() -> &'static str {
    if cfg!(debug_assertions) { "**debug build: the figures do not count**" } else { "release build" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<u64> = (1..=20).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 95), percentile(&values, 100)), (10, 19, 20));
        assert_eq!((percentile(&[7], 95), percentile(&[], 50)), (7, 0));
    }
}
