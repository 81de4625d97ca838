//! Rules that span a value's type: ranges, URLs, and what production refuses.

use super::{Config, ConfigError, Environment, SETTINGS};

/// Checks everything and reports every fault.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let mut faults = Vec::new();
    ranges(config, &mut faults);
    urls(config, &mut faults);
    if config.environment == Environment::Production {
        production(config, &mut faults);
    }
    if faults.is_empty() { Ok(()) } else { Err(ConfigError(faults)) }
}

/// One line that names key, variable, value and expectation.
fn fault(key: &str, value: impl std::fmt::Display) -> String {
    let setting = SETTINGS.iter().find(|setting| setting.key == key);
    let (env, help) = setting.map_or(("", ""), |setting| (setting.env, setting.help));
    format!("{key} ({env}) = {value} is not valid; expected: {help}")
}

fn ranges(config: &Config, faults: &mut Vec<String>) {
    let mut within = |key: &str, value: f64, ok: bool| {
        if !ok {
            faults.push(fault(key, value));
        }
    };
    let pool = config.database.max_connections;
    within("database.max_connections", f64::from(pool), (1..=1000).contains(&pool));
    let jobs = config.worker.max_jobs;
    within("worker.max_jobs", f64::from(jobs), (1..=10_000).contains(&jobs));
    let threshold = config.worker.load_threshold;
    within("worker.load_threshold", f64::from(threshold), threshold > 0.0 && threshold <= 1.0);
    let temperature = config.llm.temperature;
    within("llm.temperature", f64::from(temperature), (0.0..=2.0).contains(&temperature));
    let (min, max) = (config.sip.rtp_port_min, config.sip.rtp_port_max);
    within("sip.rtp_port_min", f64::from(min), min >= 1024 && min < max);
    let patience = config.eligibility.timeout_ms;
    within("eligibility.timeout_ms", f64::from(patience), (100..=6000).contains(&patience));
    if !(1..=10_000).contains(&config.sip.max_calls) {
        faults.push(fault("sip.max_calls", config.sip.max_calls));
    }
    let interval = config.health.interval_s;
    if !(1..=3600).contains(&interval) {
        faults.push(fault("health.interval_s", interval));
    }
    if config.health.address().is_none() && config.health.listen != "off" {
        faults.push(fault("health.listen", &config.health.listen));
    }
    let duration = config.calls.duration_max_s;
    if duration != 0 && !(30..=86_400).contains(&duration) {
        faults.push(fault("calls.duration_max_s", duration));
    }
    for pair in config.worker.accept_metadata.iter().filter(|pair| pair.split_once('=').is_none_or(|(key, _)| key.is_empty())) {
        faults.push(fault("worker.accept_metadata", pair));
    }
    if config.tenants.now.is_some() && config.tenants.fixed_now().is_none() {
        faults.push(fault("tenants.now", config.tenants.now.as_deref().unwrap_or_default()));
    }
    if config.calls.record_audio && config.calls.recordings_dir.is_none() && config.calls.dir.is_none() {
        faults.push(
            "calls.record_audio (FRONTDESK_RECORD_AUDIO) = true needs calls.recordings_dir (FRONTDESK_RECORDINGS_DIR): the folder for \
             sealed recordings"
                .into(),
        );
    }
}

/// Key, address and schemes of each service that may be left out, if it is configured.
fn optional_services(config: &Config) -> impl Iterator<Item = (&'static str, &str, [&'static str; 2])> {
    let all = [
        ("eligibility.url", &config.eligibility.url, ["http://", "https://"]),
        ("stt.secondary_base_url", &config.stt.secondary_base_url, ["ws://", "wss://"]),
        ("tts.secondary_base_url", &config.tts.secondary_base_url, ["ws://", "wss://"]),
        ("llm.secondary_base_url", &config.llm.secondary_base_url, ["http://", "https://"]),
    ];
    all.into_iter().filter_map(|(key, url, allowed)| Some((key, url.as_deref()?, allowed)))
}

/// Key and address of whoever is told something.
fn receivers(config: &Config) -> impl Iterator<Item = (&'static str, &str)> {
    let settings = &config.notifications;
    let all = [
        ("notifications.public_url", settings.public_url.as_deref()),
        ("notifications.twilio_base_url", Some(settings.twilio_base_url.as_str())),
        ("notifications.google_calendar_base_url", Some(settings.google_calendar_base_url.as_str())),
        ("notifications.google_sheets_base_url", Some(settings.google_sheets_base_url.as_str())),
        ("notifications.gmail_base_url", Some(settings.gmail_base_url.as_str())),
    ];
    all.into_iter().filter_map(|(key, url)| Some((key, url?)))
}

fn urls(config: &Config, faults: &mut Vec<String>) {
    let mut scheme = |key: &str, value: &str, allowed: &[&str]| {
        let host = allowed.iter().find_map(|scheme| value.strip_prefix(scheme));
        if host.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            faults.push(fault(key, value));
        }
    };
    scheme("livekit.url", &config.livekit.url, &["ws://", "wss://", "http://", "https://"]);
    match config.livekit.further() {
        Ok(servers) => {
            for server in servers {
                scheme("livekit.further_servers", &server.url, &["ws://", "wss://", "http://", "https://"]);
            }
        }
        // No scheme is allowed, so that the fault is told as the others are.
        Err(_) => scheme("livekit.further_servers", "{secret}", &[]),
    }
    scheme("stt.base_url", &config.stt.base_url, &["ws://", "wss://"]);
    scheme("tts.base_url", &config.tts.base_url, &["ws://", "wss://"]);
    scheme("llm.base_url", &config.llm.base_url, &["http://", "https://"]);
    for (key, url, allowed) in optional_services(config) {
        scheme(key, url, &allowed);
    }
    for (key, url) in receivers(config) {
        scheme(key, url, &["http://", "https://"]);
    }
    if let Some(url) = &config.database.url {
        let url = url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            faults.push(fault("database.url", "{secret}"));
        }
    }
    if config.livekit.further().is_ok_and(|servers| servers.iter().any(|server| server.api_secret.expose().len() < 32)) {
        faults.push(fault("livekit.further_servers", "{secret}"));
    }
    if let Some(secret) = &config.livekit.api_secret
        && secret.expose().len() < 32
    {
        faults.push(fault("livekit.api_secret", "{secret}"));
    }
}

fn production(config: &Config, faults: &mut Vec<String>) {
    let mut refuse = |key: &str, why: &str| faults.push(format!("{key}: production refuses {why}"));
    if config.livekit.api_key.as_deref() == Some("devkey") {
        refuse("livekit.api_key", "the development key `devkey`");
    }
    let encrypted = |url: &str| url.starts_with("wss://") || url.starts_with("https://");
    if !encrypted(&config.livekit.url) {
        refuse("livekit.url", "a connection without TLS (use wss://)");
    }
    if config.livekit.further().is_ok_and(|servers| servers.iter().any(|server| !encrypted(&server.url))) {
        refuse("livekit.further_servers", "a connection without TLS (use wss://)");
    }
    for (key, url) in
        [("stt.base_url", &config.stt.base_url), ("tts.base_url", &config.tts.base_url), ("llm.base_url", &config.llm.base_url)]
    {
        if !encrypted(url) {
            refuse(key, "a provider without TLS, and so a simulator (use wss:// or https://)");
        }
    }
    for (key, url, _) in optional_services(config) {
        if !encrypted(url) {
            refuse(key, "a provider without TLS, and so a simulator (use wss:// or https://)");
        }
    }
    for (key, url) in receivers(config) {
        if !encrypted(url) {
            refuse(key, "a receiver without TLS, and so a simulator (use https://)");
        }
    }
    if let Some(url) = &config.notifications.smtp_url
        && !url.expose().starts_with("smtps://")
        && !url.expose().contains("tls=required")
    {
        refuse("notifications.smtp_url", "a mail server without TLS (use smtps://, or add ?tls=required)");
    }
    if let Some(url) = &config.database.url {
        let verified = ["sslmode=verify-full", "sslmode=verify-ca"].iter().any(|mode| url.expose().contains(mode));
        if !verified {
            refuse("database.url", "a connection without verified TLS (add ?sslmode=verify-full)");
        }
    }
    if config.tenants.now.is_some() {
        refuse("tenants.now", "a clock that stands still (leave it empty)");
    }
    if config.calls.dir.is_some() {
        refuse("calls.dir", "plain records on disk (leave it empty: they are kept sealed in Postgres)");
    }
}
