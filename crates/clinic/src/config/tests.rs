//! Whole folders, good and bad.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

/// A folder that is deleted at the end.
struct Folder(PathBuf);

impl Folder {
    /// A copy of the demo tenant with one text of one file replaced.
    fn demo_with(file: &str, from: &str, to: &str) -> Self {
        let root = std::env::temp_dir().join(format!("frontdesk-config-{}", uuid::Uuid::now_v7()));
        let folder = root.join("demo");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["tenant.toml", "prompt.md", "insurance.toml"] {
            let mut text = std::fs::read_to_string(demo().join(name)).unwrap();
            if name == file {
                assert!(text.contains(from), "{name} has no {from}");
                text = text.replacen(from, to, 1);
            }
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(root)
    }

    fn problem(&self) -> String {
        let error = load_tenant(&self.0.join("demo")).unwrap_err();
        error.to_string().replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo")
}

#[test]
fn the_demo_tenant_is_valid() {
    let directory = TenantDirectory::load(demo().parent().unwrap()).unwrap();
    let tenant = directory.by_dialled_number("0015550100").unwrap();
    assert_eq!(tenant.id.as_str(), "demo");
    assert_eq!(directory.get("demo").unwrap().practitioners.len(), 2);
    assert!(directory.by_dialled_number("+15550199").is_none());
}

#[test]
fn turns_end_as_the_tenant_says_and_by_the_turn_model_if_it_says_nothing() {
    use frontdesk_conversation::EndpointingMode;
    let mode = |to: &str| {
        let folder = Folder::demo_with("tenant.toml", "turn_detection = \"vad\"", to);
        let config = load_tenant(&folder.0.join("demo")).unwrap().conversation_config(chrono::Utc::now(), Vec::new());
        (config.endpointing.mode, config.preemptive_generation)
    };
    assert_eq!(mode(""), (EndpointingMode::Model, true));
    assert_eq!(mode("turn_detection = \"stt\""), (EndpointingMode::Stt, true));
    let folder = Folder::demo_with("tenant.toml", "preemptive_generation = true", "preemptive_generation = false");
    let config = load_tenant(&folder.0.join("demo")).unwrap().conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!((config.preemptive_generation, config.preemptive_tts), (false, true));
    let folder = Folder::demo_with("tenant.toml", "preemptive_generation = true", "preemptive_tts = false");
    assert!(!load_tenant(&folder.0.join("demo")).unwrap().conversation_config(chrono::Utc::now(), Vec::new()).preemptive_tts);
    let folder = Folder::demo_with("tenant.toml", "turn_detection = \"vad\"", "turn_detection = \"guess\"");
    let problem = folder.problem();
    assert!(problem.contains("turn_detection") && problem.contains("`vad`"), "{problem}");
}

#[test]
fn every_fault_names_file_line_and_key() {
    for (file, from, to, expected) in [
        ("tenant.toml", "zone = \"America/New_York\"", "zone = \"Moon\"", "got \"Moon\", expected an IANA time zone"),
        ("tenant.toml", "[voice]\n", "[retention]\nyears = 0\n[voice]\n", "retention.years: got 0, expected years from 1 to 100"),
        (
            "tenant.toml",
            "[voice]\n",
            "[retention]\nnotice_days = 1\n[voice]\n",
            "retention.notice_days: got 1, expected days from 2 to 36500",
        ),
        (
            "tenant.toml",
            "[voice]\n",
            "[limits]\ncalls_at_once = 0\n[voice]\n",
            "limits.calls_at_once: got 0, expected calls from 1 to 10000",
        ),
        (
            "tenant.toml",
            "[voice]\n",
            "[limits]\ncall_duration_max_s = 29\n[voice]\n",
            "limits.call_duration_max_s: got 29, expected seconds from 30 to 86400",
        ),
        ("tenant.toml", "[voice]\n", "[limits]\nbusy = \" \"\n[voice]\n", "limits.busy: got nothing, expected a sentence"),
        ("tenant.toml", "zone = \"America/New_York\"", "zone = 5", "demo/tenant.toml: `zone = 5"),
        ("tenant.toml", "language = \"en-US\"", "langauge = \"en-US\"", "unknown field `langauge`"),
        ("tenant.toml", "greeting = \"", "#greeting = \"", "demo/tenant.toml: greeting: got nothing, expected a value"),
        ("tenant.toml", "\"en-US\"", "\"tlh\"", "demo/tenant.toml: language: got \"tlh\", expected one of en, en-US, en-GB, es"),
        ("tenant.toml", "id = \"demo\"", "id = \"other\"", "demo/tenant.toml: id: got \"other\", expected \"demo\""),
        ("tenant.toml", "\"+15550100\"", "\"555 0100\"", "demo/tenant.toml: dialled_numbers[0]: got \"555 0100\", expected E.164"),
        ("tenant.toml", "slot_minutes = 30", "slot_minutes = 7", "demo/tenant.toml: slot_minutes: got 7, expected a multiple of 5"),
        ("tenant.toml", "closes = \"12:30\"", "closes = \"08:30\"", "demo/tenant.toml: practitioners[0].hours[0].closes: got \"08:30\""),
        (
            "tenant.toml",
            "opens = \"13:30\"",
            "opens = \"12:00\"",
            "demo/tenant.toml: practitioners[0].hours[1]: got \"12:00\" to \"17:00\", expected hours that do not overlap others on Mon",
        ),
        ("tenant.toml", "opens = \"09:00\"", "opens = \"25:00\"", "got \"25:00\", expected a time of day"),
        ("tenant.toml", "\"2026-12-25\"", "\"25 December\"", "got \"25 December\", expected a day like \"2026-12-25\""),
        ("tenant.toml", "days = [\"monday\", ", "days = [\"montag\", ", "got \"montag\", expected a day of the week like \"monday\""),
        ("tenant.toml", "code = \"vaccination\"\n", "", "`[[services]]`: got no code, expected one"),
        ("tenant.toml", "code = \"vaccination\"", "code = \"Flu shot\"", "\"Flu shot\" is not an id: expected 1 to 63"),
        ("tenant.toml", "horizon_days = 120", "horizon_days = -1", ": `horizon_days = -1"),
        ("tenant.toml", "name = \"check-up\"", "name = \"\"", "services[0].name: got nothing, expected a name"),
        ("insurance.toml", "copay_cents = 2500", "copay_cents = 3000000000", "coverage[0].copay_cents: got 3000000000, expected at most"),
        (
            "tenant.toml",
            "id = \"dr-okafor\"",
            "id = \"dr-lovelace\"",
            "practitioners[1].id: got \"dr-lovelace\" a second time, expected another id",
        ),
        (
            "tenant.toml",
            "max_endpointing_delay = 2.5",
            "max_endpointing_delay = 0.1",
            "turn_taking.max_endpointing_delay: got 0.1, expected at least",
        ),
        (
            "tenant.toml",
            "id = \"dr-okafor\"\n",
            "id = \"dr-okafor\"\ndepartment = \"eyes\"\n",
            "practitioners[1].department: got \"eyes\", expected the id of one of the departments",
        ),
        (
            "tenant.toml",
            "[[services]]\n",
            "[[departments]]\nid = \"eyes\"\nname = \"Eyes\"\nabout = [\"?\"]\n[[services]]\n",
            "departments[0].about[0]: got \"?\", expected a word that callers say",
        ),
        ("tenant.toml", "[voice]\n", "[features]\nbooking = \"no\"\n[voice]\n", ": `booking = \"no\"`"),
        (
            "tenant.toml",
            "[voice]\n",
            "[[opening_hours]]\ndays = [\"monday\"]\nopens = \"09:00\"\ncloses = \"09:00\"\n[voice]\n",
            "opening_hours[0].closes: got \"09:00\", expected a time after opens",
        ),
        ("tenant.toml", "[voice]\n", "[voice]\nlanguage_model = \" \"\n", "voice.language_model: got nothing, expected words"),
        ("prompt.md", "{{zone}}", "{{zoen}}", "demo/prompt.md: line 4 `{{zoen}}`: unknown placeholder"),
        ("prompt.md", "{{now}}", "today", "demo/prompt.md: (text): got no {{now}}"),
        (
            "insurance.toml",
            "plan = \"Bronze\"",
            "plan = \"gold\"",
            "demo/insurance.toml: coverage[2]: got Northwind Health / gold / 99213 a second time, expected one row for each",
        ),
        ("insurance.toml", "covered = true", "covered = \"yes\"", "demo/insurance.toml: `covered = \"yes\"`"),
    ] {
        let problem = Folder::demo_with(file, from, to).problem();
        let (place, rest) = problem.split_once(": ").unwrap();
        let problem = format!("{}: {rest}", place.rsplit_once(':').map_or(place, |(file, _)| file));
        assert!(problem.contains(expected), "{from} -> {to}:\n{problem}");
        assert_eq!(problem.lines().count(), 1, "{problem}");
        assert!(problem.starts_with(&format!("demo/{file}: ")) && problem.contains("expected"), "{problem}");
    }
}

#[test]
fn a_fault_has_the_line_of_its_key() {
    for (file, from, to) in [
        ("tenant.toml", "zone = \"America/New_York\"", "zone = 5"),
        ("tenant.toml", "slot_minutes = 30", "slot_minutes = 7"),
        ("tenant.toml", "closes = \"12:30\"", "closes = \"08:30\""),
        ("tenant.toml", "name = \"check-up\"", "name = \"\""),
        ("tenant.toml", "language = \"en-US\"", "langauge = \"en-US\""),
        ("insurance.toml", "covered = true", "covered = \"yes\""),
    ] {
        let folder = Folder::demo_with(file, from, to);
        let text = std::fs::read_to_string(folder.0.join("demo").join(file)).unwrap();
        let line = text[..text.find(to).unwrap()].matches('\n').count() + 1;
        let problem = folder.problem();
        assert!(problem.starts_with(&format!("demo/{file}:{line}: ")), "line {line}: {problem}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let folder = Folder::demo_with("tenant.toml", "\"en-US\"", "\"tlh\"");
    std::fs::write(folder.0.join("demo/prompt.md"), " ").unwrap();
    std::fs::write(folder.0.join("demo/insurance.toml"), "coverage = 1").unwrap();
    let problem = folder.problem();
    assert_eq!(problem.lines().count(), 3, "{problem}");
}

#[test]
fn two_clinics_cannot_share_a_number() {
    let folder = Folder::demo_with("tenant.toml", "x", "x");
    let other = folder.0.join("other");
    std::fs::create_dir(&other).unwrap();
    for name in ["tenant.toml", "prompt.md"] {
        let text = std::fs::read_to_string(folder.0.join("demo").join(name)).unwrap();
        std::fs::write(other.join(name), text.replacen("id = \"demo\"", "id = \"other\"", 1)).unwrap();
    }
    let error = TenantDirectory::load(&folder.0).unwrap_err().to_string();
    assert!(error.contains("other/tenant.toml: dialled_numbers[0]: got \"+15550100\", which is a number of tenant \"demo\""), "{error}");
}

#[test]
fn the_model_is_told_who_when_and_where() {
    let tenant = load_tenant(&demo().canonicalize().unwrap()).unwrap();
    let text = tenant.instructions("2026-12-01T14:05:00Z".parse().unwrap());
    for expected in ["Lakeside Family Clinic", "Tuesday, 2026-12-01T09:05 (America/New_York)", "`dr-okafor`", "`checkup`, 30 minutes"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(!text.contains("{{"));
    let config = tenant.conversation_config("2026-12-01T14:05:00Z".parse().unwrap(), Vec::new());
    assert_eq!(config.endpointing.max_delay, std::time::Duration::from_millis(2500));
    assert_eq!(config.greeting, tenant.greeting);
}

#[test]
fn transfer_targets_and_voices_are_validated_together() {
    let problem = |from: &str, to: &str| Folder::demo_with("tenant.toml", from, to).problem();
    let number = problem("number = \"+15550188\"", "number = \"5550188\"");
    assert!(number.contains("transfer_targets[0].number: got \"5550188\", expected E.164"), "{number}");
    let own = problem("number = \"+15550188\"", "number = \"+15550100\"");
    assert!(own.contains("which the agent itself answers"), "{own}");
    let twice = "name = \"front office\"\nnumber = \"+15550189\"\nin_trouble = true\n\n[[transfer_targets]]\nin_trouble = true\nname = \"front office\"";
    let twice = problem("name = \"front office\"", twice);
    assert!(twice.contains("a second time") && twice.contains("in_trouble 2 times"), "{twice}");
    let voice = problem("es = \"aura-2-celeste-es\"", "xx = \"aura-2-celeste-es\"");
    assert!(voice.contains("voice.by_language.xx"), "{voice}");
}

#[test]
fn the_demo_tenant_speaks_spanish_too_and_has_somebody_to_go_to() {
    let tenant = load_tenant(&demo()).unwrap();
    let config = tenant.conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!((config.language.as_str(), config.trouble_transfer), ("en", None));
    assert_eq!(config.languages.keys().collect::<Vec<_>>(), ["es"]);
    let recognised = tenant.recognised();
    assert_eq!((recognised.language.as_deref(), recognised.model.as_deref()), (Some("multi"), Some("nova-3")));
    assert_eq!(tenant.transfer_numbers()["front office"], "+15550188");
    let folder = Folder::demo_with("tenant.toml", "# in_trouble = true", "in_trouble = true");
    let tenant = load_tenant(&folder.0.join("demo")).unwrap();
    assert_eq!(tenant.conversation_config(chrono::Utc::now(), Vec::new()).trouble_transfer.as_deref(), Some("front office"));
}

#[test]
fn what_the_agent_says_by_itself_is_in_the_clinics_language_and_an_emergency_is_answered_in_all() {
    let spanish = load_tenant(&Folder::demo_with("tenant.toml", "language = \"en-US\"", "language = \"es-US\"").0.join("demo")).unwrap();
    let config = spanish.conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!((config.language.as_str(), config.phrases.filler.as_str()), ("es", "Un momento, por favor."));
    assert_eq!(config.phrases.emergency, spanish.emergency.text_by_language["es"], "where there is one in its language");
    let tenant = load_tenant(&demo()).unwrap();
    let config = tenant.conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!((config.phrases.filler.as_str(), &config.phrases.emergency), ("One moment, please.", &tenant.emergency.text));
    assert_eq!(config.languages["es"].emergency, tenant.emergency.text_by_language["es"]);
    let without = Tenant { emergency: Emergency { text_by_language: BTreeMap::new(), ..tenant.emergency.clone() }, ..tenant };
    let config = without.conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!(config.languages["es"].emergency, without.emergency.text, "better in another language than not at all");
    let problem = Folder::demo_with("tenant.toml", "[emergency]\n", "[emergency]\ntext_by_language.fr = \"Raccrochez.\"\n").problem();
    assert!(problem.contains("emergency.text_by_language.fr"), "{problem}");
}

#[test]
fn what_the_law_wants_said_is_said_before_the_greeting_and_to_its_end() {
    let demo = load_tenant(&demo()).unwrap();
    let notice = |consent| Some(RecordingConfig { consent, notice: Some("This call is recorded.".into()) });
    let told = |consent| {
        let tenant = Tenant { disclaimer: Some("I am a computer.".into()), recording: notice(consent), ..demo.clone() };
        let mut config = tenant.conversation_config(chrono::Utc::now(), Vec::new());
        tenant.tell_recorded(&mut config);
        (config.disclaimer, config.greeting)
    };
    let greeting = demo.greeting.clone();
    assert_eq!(told(ConsentBy::Notice), ("I am a computer. This call is recorded.".into(), greeting.clone()));
    // A question may be answered before it is out.
    assert_eq!(told(ConsentBy::Ask), ("I am a computer.".into(), format!("This call is recorded. {greeting}")));
    let config = demo.conversation_config(chrono::Utc::now(), Vec::new());
    assert_eq!((config.disclaimer.as_str(), config.greeting), ("", greeting));
}

#[test]
fn the_model_is_told_whether_the_practice_is_open() {
    let demo = load_tenant(&demo()).unwrap();
    let own = |hours: &str| {
        let own: Tenant = Tenant {
            opening_hours: toml::from_str::<BTreeMap<String, Vec<Hours>>>(hours).unwrap().remove("hours").unwrap(),
            ..demo.clone()
        };
        own
    };
    let told = |tenant: &Tenant, now: &str| {
        let instructions = tenant.instructions(now.parse().unwrap());
        let line = instructions.lines().find(|line| line.starts_with("It is now")).unwrap().to_owned();
        line.split_once(". ").unwrap().1.split_once('.').unwrap().0.to_owned()
    };
    // Five hours behind: half past nine on a Tuesday, then its lunch hour, and night before a Friday that is a holiday.
    assert_eq!(told(&demo, "2026-12-01T14:30:00Z"), "The practice is open now, until 12:30");
    assert_eq!(told(&demo, "2026-12-01T18:00:00Z"), "The practice is closed now; it opens on Tuesday, 2026-12-01T13:30");
    assert_eq!(told(&demo, "2026-12-25T14:30:00Z"), "The practice is closed now; it opens on Monday, 2026-12-28T08:00");
    let own = own("[[hours]]\ndays = [\"saturday\"]\nopens = \"10:00\"\ncloses = \"11:00\"\n");
    assert_eq!(told(&own, "2026-12-01T14:30:00Z"), "The practice is closed now; it opens on Saturday, 2026-12-05T10:00");
    assert_eq!(
        own.open_at("2026-12-05T15:59:00Z".parse().unwrap()),
        hours::Open::Until(chrono::NaiveTime::from_hms_opt(11, 0, 0).unwrap())
    );
    let never = Tenant { closed_days: chrono::NaiveDate::from_ymd_opt(2026, 12, 1).unwrap().iter_days().take(70).collect(), ..own };
    assert_eq!(told(&never, "2026-12-01T14:30:00Z"), "The practice is closed now");
}
