//! Every number that the worker gives to Prometheus: one table, from which the exporter's descriptions and `docs/operations.md` come.

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms' buckets, in seconds: what a caller notices lies between a tenth and a few.
const BUCKETS_S: [f64; 15] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 10.0, 60.0];

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

impl Kind {
    /// Prometheus's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One number.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// As the code names it; Prometheus shows dots as underscores.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, in one line.
    pub meaning: &'static str,
}

const fn counter(name: &'static str, meaning: &'static str) -> Measure {
    Measure { name, kind: Kind::Counter, meaning }
}

const fn gauge(name: &'static str, meaning: &'static str) -> Measure {
    Measure { name, kind: Kind::Gauge, meaning }
}

const fn histogram(name: &'static str, meaning: &'static str) -> Measure {
    Measure { name, kind: Kind::Histogram, meaning }
}

/// All of them.
pub const MEASURES: &[Measure] = &[
    counter("frontdesk.calls", "calls that ended, by `outcome`"),
    gauge("frontdesk.calls_active", "calls under way"),
    counter("frontdesk.calls_stuck", "calls that were ended because their task did not come round for 5 s"),
    counter("frontdesk.calls.beyond_limit", "calls beyond a clinic's `[limits]`, by `limit`"),
    gauge("frontdesk.worker.load", "the load that LiveKit is told, 0 to 1"),
    gauge("frontdesk.worker.jobs", "jobs that run"),
    gauge("frontdesk.worker.jobs_waiting", "jobs that were accepted and are not assigned yet"),
    gauge("frontdesk.worker.jobs_max", "jobs at once, at most"),
    counter("frontdesk.worker.jobs_offered", "jobs that LiveKit has offered"),
    counter(
        "frontdesk.worker.jobs_refused",
        "offers that were refused, by `reason`: `full`, `draining`, `filtered`, `unwanted`, `terminated`, `stalled`",
    ),
    counter("frontdesk.worker.jobs_started", "jobs that were assigned and begun"),
    counter("frontdesk.worker.jobs_ended", "jobs that ended, by `status`: `success`, `failed`"),
    counter("frontdesk.media.stream_drops", "datagrams that a TCP connection of media's was too slow for, by `direction`: `out`, `in`"),
    counter("frontdesk.audio.frames_late", "frames of 20 ms that left at least 20 ms late"),
    histogram("frontdesk.greeting_delay", "from when a call's room is joined to the greeting's first sample"),
    histogram("frontdesk.turn_model.duration", "from the question to the turn model's answer"),
    counter("frontdesk.turns", "turns that were answered"),
    counter("frontdesk.turn.target_misses", "turns of which a `stage` took longer than its target"),
    histogram("lk.agents.turn.transcription_delay", "from the caller's last sound to the final transcript"),
    histogram("lk.agents.turn.end_of_turn_delay", "from the caller's last sound to the decision that the turn is over"),
    histogram("lk.agents.turn.llm_ttft", "from the question to the model's first text or tool call"),
    histogram("frontdesk.turn.time_to_first_clause", "from the model's first text to the first clause for the synthesiser"),
    histogram("lk.agents.turn.tts_ttfb", "from the first clause to its first byte of speech"),
    histogram("frontdesk.turn.playout_delay", "from the first byte of speech to the first sample that left the pacer"),
    histogram("lk.agents.turn.e2e_latency", "from the caller's last sound to the agent's first"),
    histogram("gen_ai.client.operation.duration", "requests to the model, from question to end"),
    histogram("gen_ai.client.operation.time_to_first_chunk", "requests to the model, from question to first piece"),
    histogram("gen_ai.execute_tool.duration", "runs, preparations and commits of tools"),
    gauge("frontdesk.provider.circuit", "the breaker of a provider: 0 closed, 0.5 half open, 1 open"),
    counter("frontdesk.provider.failures", "requests and streams of a provider that failed, by `error.type`"),
    counter("frontdesk.provider.fallbacks", "requests that a secondary served"),
    counter(
        "frontdesk.usage.audio_ms",
        "milliseconds of audio sent to speech-to-text; what is sent again over a new connection counts again",
    ),
    counter("frontdesk.usage.characters", "characters sent to text-to-speech, also those of speech that was dropped"),
    counter("frontdesk.usage.tokens", "tokens by `gen_ai.token.type`, `input` or `output`, as the language model's service reports them"),
    counter("frontdesk.calendar.failures", "requests for the practitioners' own busy times that failed"),
    counter("frontdesk.outbox.sent", "notices that a receiver has taken, by `channel`"),
    histogram("frontdesk.outbox.delay", "from the act to the receiver's yes, by `channel`"),
    counter("frontdesk.outbox.failures", "attempts to send a notice that failed"),
    counter("frontdesk.outbox.dead", "notices that were given up; each wants somebody's eye"),
    counter("frontdesk.outbox.receipts", "receipts of notices, by `outcome`"),
];

/// From here on everything that is measured in this process is kept for Prometheus. `None` if somebody else measures already.
///
/// # Errors
/// [`BuildError`], if the buckets made no sense.
pub fn install() -> Result<Option<PrometheusHandle>, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS_S)?.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        return Ok(None);
    }
    for Measure { name, kind, meaning } in MEASURES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, *meaning),
            Kind::Histogram => metrics::describe_histogram!(*name, Unit::Seconds, *meaning),
        }
    }
    Ok(Some(handle))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Labels, attributes of participants and topics, which are named alike.
    const NO_MEASURES: [&str; 10] = [
        "frontdesk.bridge",
        "frontdesk.pulse",
        "frontdesk.state",
        "frontdesk.tenant",
        "frontdesk.toml",
        "frontdesk.transfer",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.token.type",
        "gen_ai.tool.name",
    ];

    /// Every name in quotation marks that looks like a number's.
    fn named(text: &str, found: &mut BTreeSet<String>) {
        for piece in text.split('"') {
            let looks =
                ["frontdesk.", "lk.agents.turn.", "gen_ai."].iter().any(|prefix| piece.starts_with(prefix) && piece.len() > prefix.len());
            if looks && piece.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c)) {
                found.insert(piece.to_owned());
            }
        }
    }

    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("src/measures.rs") {
                named(&std::fs::read_to_string(&entry).expect("text"), found);
            }
        }
    }

    #[test]
    fn everything_that_is_measured_is_in_the_table_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        walk(&root.join("src"), &mut found);
        for entry in std::fs::read_dir(root.join("crates")).expect("crates").map(|entry| entry.expect("an entry").path()) {
            walk(&entry.join("src"), &mut found);
        }
        NO_MEASURES.iter().for_each(|name| assert!(found.remove(*name), "{name} is named nowhere any more"));
        let listed: BTreeSet<String> = MEASURES.iter().map(|measure| measure.name.to_owned()).collect();
        assert_eq!(listed.len(), MEASURES.len(), "each is listed once");
        assert_eq!(found, listed);
    }

    #[test]
    fn the_documentation_lists_them_as_they_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let text = std::fs::read_to_string(path).expect("docs/operations.md");
        let rows: Vec<&str> =
            text.lines().skip_while(|line| !line.starts_with("| metric |")).skip(2).take_while(|line| line.starts_with('|')).collect();
        let expected: Vec<String> = MEASURES
            .iter()
            .map(|Measure { name, kind, meaning }| format!("| `{}` | {} | {meaning} |", name.replace('.', "_"), kind.as_str()))
            .collect();
        assert_eq!(rows, expected);
    }
}
