//! Configuration: its layers, and the one clear line that every mistake gives.

use std::collections::BTreeMap;

use frontdesk::config::{Config, ConfigError, SETTINGS, Sources, load};

fn sources(dir: &std::path::Path, env: &[(&str, &str)]) -> Sources {
    let env: BTreeMap<String, String> = env.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Sources { file: None, dir: dir.into(), env, flags: Vec::new() }
}

fn with_env(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    load(&sources(dir.path(), env))
}

fn only_line(result: Result<Config, ConfigError>) -> String {
    let lines = result.expect_err("the configuration must be refused").0;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().expect("one line")
}

#[test]
fn defaults_are_valid() {
    let config = with_env(&[]).unwrap();
    assert_eq!(config.sip.listen.port(), 5060);
    assert!(config.sip.listen.ip().is_loopback(), "nothing listens to the world by default");
    assert!(config.database.url.is_none());
    assert!(!config.calls.record_audio);
}

#[test]
fn each_layer_overrides_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("frontdesk.toml"),
        "[worker]\nmax_jobs = 1\n[sip]\nmax_calls = 1\n[llm]\nmodel = \"toml\"\n[log]\nlevel = \"debug\"\n",
    )
    .unwrap();
    std::fs::write(dir.path().join(".env"), "FRONTDESK_SIP_MAX_CALLS=2\nOPENAI_MODEL=dotenv\nFRONTDESK_LOG=warn\n").unwrap();
    let mut sources = sources(dir.path(), &[("OPENAI_MODEL", "environment"), ("FRONTDESK_LOG", "error")]);
    sources.flags.push(("log.level".into(), "trace".into()));
    let config = load(&sources).unwrap();
    assert_eq!((config.worker.max_jobs, config.sip.max_calls), (1, 2));
    assert_eq!((config.llm.model.as_str(), config.log.level.as_str()), ("environment", "trace"));
}

#[test]
fn lists_may_be_json_or_comma_separated() {
    let expected = ["192.0.2.0/24", "2001:db8::/32"];
    for text in ["192.0.2.0/24, 2001:db8::/32", r#"["192.0.2.0/24", "2001:db8::/32"]"#] {
        assert_eq!(with_env(&[("FRONTDESK_SIP_ALLOWED_NETWORKS", text)]).unwrap().sip.allowed_networks, expected);
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frontdesk.toml"), "[sip]\nallowed_networks = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n").unwrap();
    assert_eq!(load(&sources(dir.path(), &[])).unwrap().sip.allowed_networks, expected);
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_setting() {
    let line = only_line(with_env(&[("FRONTDESK_SIP_MAX_CALL", "5")]));
    assert!(line.contains("FRONTDESK_SIP_MAX_CALL ") && line.contains("FRONTDESK_SIP_MAX_CALLS"), "{line}");
}

#[test]
fn an_unknown_key_in_the_toml_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frontdesk.toml"), "[sip]\nmax_cals = 5\n").unwrap();
    let line = only_line(load(&sources(dir.path(), &[])));
    assert!(line.contains("sip.max_cals"), "{line}");
}

#[test]
fn a_bad_value_names_key_value_and_expectation() {
    for (env, value, key, expectation) in [
        ("FRONTDESK_SIP_MAX_CALLS", "many", "sip.max_calls", "1 to 10000"),
        ("FRONTDESK_SIP_MAX_CALLS", "0", "sip.max_calls", "1 to 10000"),
        ("FRONTDESK_LOAD_THRESHOLD", "1.5", "worker.load_threshold", "up to 1"),
        ("FRONTDESK_SIP_LISTEN", "localhost", "sip.listen", "address and port"),
        ("LIVEKIT_URL", "example.org", "livekit.url", "wss://"),
        ("FRONTDESK_ENVIRONMENT", "prod", "environment", "production"),
    ] {
        let line = only_line(with_env(&[(env, value)]));
        for part in [key, env, value, expectation] {
            assert!(line.contains(part), "{part} is missing in: {line}");
        }
    }
}

#[test]
fn a_secret_is_refused_in_the_toml_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frontdesk.toml"), "[llm]\napi_key = \"sk-canary\"\n").unwrap();
    let line = only_line(load(&sources(dir.path(), &[])));
    assert!(line.contains("llm.api_key") && line.contains("OPENAI_API_KEY_FILE") && !line.contains("canary"), "{line}");

    for (env, value) in [("DATABASE_URL", "mysql://canary"), ("LIVEKIT_API_SECRET", "canary")] {
        let line = only_line(with_env(&[(env, value)]));
        assert!(line.contains(env) && !line.contains("canary"), "{line}");
    }
    let config = with_env(&[("OPENAI_API_KEY", "sk-canary"), ("DEEPGRAM_API_KEY", "12345")]).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    assert_eq!(config.stt.api_key.as_ref().map(|key| key.expose()), Some("12345"), "a key of digits stays text");
    assert_eq!(config.tts.api_key, config.stt.api_key);
}

#[test]
fn a_malformed_dotenv_names_its_entry_but_quotes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "A=1\nOPENAI_API_KEY canary\n").unwrap();
    let line = only_line(load(&sources(dir.path(), &[])));
    assert!(line.contains("entry 2") && !line.contains("canary"), "{line}");
}

#[test]
fn a_secret_may_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "from-file\n").unwrap();
    let path = path.to_str().unwrap();
    let config = load(&sources(dir.path(), &[("OPENAI_API_KEY_FILE", path)])).unwrap();
    assert_eq!(config.llm.api_key.map(|key| key.expose().to_owned()), Some("from-file".into()));
    let both = only_line(load(&sources(dir.path(), &[("OPENAI_API_KEY", "x"), ("OPENAI_API_KEY_FILE", path)])));
    assert!(both.contains("both set"), "{both}");
    let missing = only_line(load(&sources(dir.path(), &[("OPENAI_API_KEY_FILE", "/nowhere/key")])));
    assert!(missing.contains("/nowhere/key"), "{missing}");
}

#[test]
fn production_refuses_development_keys_and_plain_connections() {
    let lines = with_env(&[
        ("FRONTDESK_ENVIRONMENT", "production"),
        ("LIVEKIT_API_KEY", "devkey"),
        ("DATABASE_URL", "postgres://db/x"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ("FRONTDESK_CALLS_DIR", "var/calls"),
        ("TWILIO_BASE_URL", "http://127.0.0.1:2"),
        ("SMTP_URL", "smtp://mail.example"),
    ])
    .unwrap_err()
    .0;
    for key in [
        "livekit.api_key",
        "livekit.url",
        "database.url",
        "llm.base_url",
        "calls.dir",
        "notifications.twilio_base_url",
        "notifications.smtp_url",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(key)), "{key} is missing in {lines:?}");
    }
}

#[test]
fn the_example_names_every_variable() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let named: Vec<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().split_once('=').map(|(name, _)| name))
        .filter(is_name)
        .collect();
    for setting in SETTINGS {
        assert!(named.contains(&setting.env), "{} is missing in .env.example", setting.env);
    }
    for name in named {
        assert!(SETTINGS.iter().any(|setting| setting.env == name), "{name} in .env.example is not a setting");
    }
}

#[test]
fn a_worker_may_serve_further_servers_and_pick_its_calls() {
    const SECRET: &str = "a-secret-of-thirty-two-characters-or-more";
    let servers = format!(r#"[{{"url": "wss://north.example", "api_key": "north", "api_secret": "{SECRET}", "tenant": "north"}}]"#);
    let config = with_env(&[
        ("FRONTDESK_LIVEKIT_FURTHER_SERVERS", &servers),
        ("FRONTDESK_ACCEPT_ROOMS", "call_*, test-?"),
        ("FRONTDESK_ACCEPT_METADATA", "campaign=recall"),
    ])
    .unwrap();
    let further = config.livekit.further().unwrap();
    assert_eq!((further.len(), further[0].url.as_str(), further[0].tenant.as_deref()), (1, "wss://north.example", Some("north")));
    assert!(!format!("{config:?}").contains(SECRET));
    let filter = config.worker.filter();
    assert!(filter.rooms[0].matches("call_x") && !filter.rooms[1].matches("test-12"));
    assert_eq!(filter.metadata.get("campaign").map(String::as_str), Some("recall"));
    for wrong in [format!("[{{\"url\": \"{SECRET}\"}}]"), servers.replace("wss://", "north "), servers.replace(SECRET, "short")] {
        let line = only_line(with_env(&[("FRONTDESK_LIVEKIT_FURTHER_SERVERS", &wrong)]));
        assert!(line.contains("livekit.further_servers") && !line.contains(SECRET), "{line}");
    }
    assert!(only_line(with_env(&[("FRONTDESK_ACCEPT_METADATA", "campaign")])).contains("key=value"));
}

#[test]
fn health_pages_are_for_this_machine_unless_told_otherwise() {
    let address = with_env(&[]).unwrap().health.address().expect("there are some");
    assert!(address.ip().is_loopback() && address.port() == 8081);
    assert_eq!(with_env(&[("FRONTDESK_HEALTH_LISTEN", "off")]).unwrap().health.address(), None);
    assert!(only_line(with_env(&[("FRONTDESK_HEALTH_LISTEN", "everywhere")])).contains("or off"));
    assert!(only_line(with_env(&[("FRONTDESK_CALL_DURATION_MAX_S", "5")])).contains("30 to 86400"));
}
