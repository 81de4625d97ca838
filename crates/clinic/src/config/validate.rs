//! What must hold beyond the types.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use chrono::{NaiveTime, Timelike};
use frontdesk_agent::ServiceKind;
use frontdesk_conversation::Config;

use super::conversation::phrases;
use super::error::Problem;
use super::model::{ConsentBy, Tenant};
use super::practice::{Hours, PractitionerConfig, TimeOff};
use super::prompt;
use crate::ids::{DepartmentId, LocationId};

/// Languages in which times and read-backs can be worded.
const LANGUAGES: [&str; 7] = ["en", "en-US", "en-GB", "es", "es-US", "es-MX", "es-ES"];

/// The model has to repeat it.
const TARGET_NAME_MAX: usize = 60;

/// Longest text that is said in one go.
const TEXT_CHARS_MAX: usize = 600;

struct Report<'a> {
    folder: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, file: &str, key: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(Problem { file: self.folder.join(file), line: None, key: key.into(), problem: problem.into() });
    }

    /// A problem of tenant.toml unless the condition holds.
    fn require(&mut self, holds: bool, key: impl Into<String>, problem: impl FnOnce() -> String) {
        if !holds {
            self.add("tenant.toml", key, problem());
        }
    }
}

/// Appends all problems of a tenant that was read from `folder`.
pub(super) fn validate(tenant: &Tenant, folder: &Path, problems: &mut Vec<Problem>) {
    let mut report = Report { folder, problems };
    identity(tenant, &mut report);
    limits(tenant, &mut report);
    recording(tenant, &mut report);
    prices(tenant, &mut report);
    people(tenant, &mut report);
    locations(tenant, &mut report);
    departments(tenant, &mut report);
    practitioners(tenant, &mut report);
    services(tenant, &mut report);
    answers(tenant, &mut report);
    for (key, problem) in tenant.notifications.problems() {
        report.add("tenant.toml", format!("notifications.{key}"), problem);
    }
    for (key, problem) in prompt::problems(&tenant.prompt) {
        report.add("prompt.md", key, problem);
    }
    insurance(tenant, &mut report);
}

fn identity(tenant: &Tenant, report: &mut Report<'_>) {
    let folder_name = report.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    report.require(folder_name == tenant.id.as_str(), "id", || {
        format!("got \"{}\", expected \"{folder_name}\", the name of the folder", tenant.id)
    });
    report.require(!tenant.name.trim().is_empty(), "name", || "got nothing, expected the clinic's name".into());
    report.require(!tenant.greeting.trim().is_empty(), "greeting", || "got nothing, expected the first sentence of a call".into());
    for (key, text) in [("disclaimer", &tenant.disclaimer), ("voice.speech_to_text", &tenant.voice.speech_to_text)]
        .into_iter()
        .chain([("voice.language_model", &tenant.voice.language_model), ("voice.text_to_speech", &tenant.voice.text_to_speech)])
    {
        report.require(text.as_ref().is_none_or(|text| !text.trim().is_empty()), key, || {
            "got nothing, expected words, or no such key".into()
        });
    }
    working_hours(&tenant.opening_hours, "opening_hours", report);
    for (at, hours) in tenant.opening_hours.iter().enumerate() {
        report.require(hours.location.is_none(), format!("opening_hours[{at}].location"), || {
            "got a place, expected none: these are the hours of the practice as a whole".into()
        });
    }
    report.require(LANGUAGES.contains(&tenant.language.as_str()), "language", || {
        format!("got \"{}\", expected one of {}", tenant.language, LANGUAGES.join(", "))
    });
    let is_currency = tenant.currency.len() == 3 && tenant.currency.bytes().all(|byte| byte.is_ascii_uppercase());
    report.require(is_currency, "currency", || format!("got \"{}\", expected an ISO 4217 code like USD", tenant.currency));
    let code = &tenant.country_calling_code;
    let is_code = (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) && !code.starts_with('0');
    report.require(is_code, "country_calling_code", || format!("got \"{code}\", expected 1 to 3 digits like \"1\" or \"44\""));
    report.require(!tenant.dialled_numbers.is_empty(), "dialled_numbers", || "got nothing, expected at least one number".into());
    for (index, number) in tenant.dialled_numbers.iter().enumerate() {
        report.require(is_e164(number), format!("dialled_numbers[{index}]"), || {
            format!("got \"{number}\", expected E.164 like \"+12025550143\"")
        });
    }
}

pub(super) fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

/// To whom callers may go, and in which voices they are spoken to.
fn people(tenant: &Tenant, report: &mut Report<'_>) {
    let mut names = HashSet::new();
    for (index, target) in tenant.transfer_targets.iter().enumerate() {
        let key = format!("transfer_targets[{index}]");
        let name = target.name.trim();
        report.require(!name.is_empty() && name == target.name && name.len() <= TARGET_NAME_MAX, format!("{key}.name"), || {
            format!("got \"{}\", expected a name of 1 to {TARGET_NAME_MAX} characters without blanks around it", target.name)
        });
        report.require(names.insert(name.to_lowercase()), format!("{key}.name"), || {
            format!("got \"{name}\" a second time, expected another name")
        });
        report.require(is_e164(&target.number), format!("{key}.number"), || {
            format!("got \"{}\", expected E.164 like \"+12025550143\"", target.number)
        });
        report.require(!tenant.dialled_numbers.contains(&target.number), format!("{key}.number"), || {
            format!("got \"{}\", which the agent itself answers, expected the number of a person", target.number)
        });
    }
    let in_trouble = tenant.transfer_targets.iter().filter(|target| target.in_trouble).count();
    report.require(in_trouble <= 1, "transfer_targets", || format!("got in_trouble {in_trouble} times, expected once at most"));
    for (tag, voice) in &tenant.voice.by_language {
        let key = format!("voice.by_language.{tag}");
        report.require(phrases(tag).is_some(), key.clone(), || format!("got \"{tag}\", expected a language of the agent: en, es"));
        report.require(!voice.trim().is_empty(), key, || "got nothing, expected the name of a voice".into());
    }
}

fn limits(tenant: &Tenant, report: &mut Report<'_>) {
    let slot = tenant.slot_minutes;
    report.require((5..=240).contains(&slot) && slot.is_multiple_of(5), "slot_minutes", || {
        format!("got {slot}, expected a multiple of 5 from 5 to 240")
    });
    report.require(tenant.lead_minutes <= 100_000, "lead_minutes", || format!("got {}, expected at most 100000", tenant.lead_minutes));
    report
        .require((1..=1000).contains(&tenant.horizon_days), "horizon_days", || format!("got {}, expected 1 to 1000", tenant.horizon_days));
    let years = tenant.retention.years;
    report.require((1..=100).contains(&years), "retention.years", || format!("got {years}, expected years from 1 to 100"));
    let days = tenant.retention.notice_days;
    report.require((2..=36_500).contains(&days), "retention.notice_days", || format!("got {days}, expected days from 2 to 36500"));
    let counts = [("calls_at_once", tenant.limits.calls_at_once), ("new_calls_per_minute", tenant.limits.new_calls_per_minute)];
    for (key, count) in counts {
        report.require(count.is_none_or(|count| (1..=10_000).contains(&count)), format!("limits.{key}"), || {
            format!("got {}, expected calls from 1 to 10000; leave it out for no limit", count.unwrap_or_default())
        });
    }
    let duration = tenant.limits.call_duration_max_s;
    report.require(duration.is_none_or(|seconds| (30..=86_400).contains(&seconds)), "limits.call_duration_max_s", || {
        format!("got {}, expected seconds from 30 to 86400; leave it out for the worker's", duration.unwrap_or_default())
    });
    report.require(tenant.limits.busy.as_ref().is_none_or(|text| !text.trim().is_empty()), "limits.busy", || {
        "got nothing, expected a sentence; leave it out, and calls beyond the limit are not answered".into()
    });
    let taking = &tenant.turn_taking;
    let seconds = [
        ("min_endpointing_delay", taking.min_endpointing_delay),
        ("max_endpointing_delay", taking.max_endpointing_delay),
        ("min_interruption_duration", taking.min_interruption_duration),
        ("false_interruption_timeout", taking.false_interruption_timeout),
        ("user_away_timeout", taking.user_away_timeout),
    ];
    for (key, value) in seconds {
        report.require(value.is_none_or(|value| (0.0..=120.0).contains(&value)), format!("turn_taking.{key}"), || {
            format!("got {}, expected seconds from 0 to 120", value.unwrap_or_default())
        });
    }
    // What is left out has a default, which the other one must agree with, too.
    let default = Config::default().endpointing;
    let min = taking.min_endpointing_delay.unwrap_or(default.min_delay.as_secs_f64());
    let max = taking.max_endpointing_delay.unwrap_or(default.max_delay.as_secs_f64());
    report.require(min <= max, "turn_taking.max_endpointing_delay", || {
        format!("got {max}, expected at least min_endpointing_delay, which is {min}")
    });
}

/// One price a service and provider, each a sum of money.
fn prices(tenant: &Tenant, report: &mut Report<'_>) {
    let mut known = HashSet::new();
    for (index, price) in tenant.prices.iter().enumerate() {
        let key = format!("prices[{index}]");
        report.require(known.insert((price.service, &price.provider)), key.clone(), || {
            format!("got {} of \"{}\" a second time, expected one entry for each", price.service.as_str(), price.provider)
        });
        report.require(!price.provider.trim().is_empty(), format!("{key}.provider"), || "got nothing, expected a provider's name".into());
        let sums = [
            ("per_minute", price.per_minute, ServiceKind::Stt),
            ("per_1000_characters", price.per_1000_characters, ServiceKind::Tts),
            ("per_million_tokens_in", price.per_million_tokens_in, ServiceKind::Llm),
            ("per_million_tokens_out", price.per_million_tokens_out, ServiceKind::Llm),
        ];
        for (name, sum, service) in sums {
            report.require((0.0..=1e6).contains(&sum), format!("{key}.{name}"), || format!("got {sum}, expected 0 to 1000000"));
            report.require(sum == 0.0 || service == price.service, format!("{key}.{name}"), || {
                format!("got {sum} for {}, expected it for {}", price.service.as_str(), service.as_str())
            });
        }
    }
}

/// A caller who is asked or told must be so by some words.
fn recording(tenant: &Tenant, report: &mut Report<'_>) {
    let Some(recording) = &tenant.recording else { return };
    let words = recording.notice.as_deref().map(str::trim).unwrap_or_default();
    let is_said = words.chars().any(char::is_alphanumeric) && words.chars().count() <= TEXT_CHARS_MAX;
    let is_right = if recording.consent == ConsentBy::Elsewhere { recording.notice.is_none() || is_said } else { is_said };
    report.require(is_right, "recording.notice", || {
        format!("got \"{words}\", expected a sentence of at most {TEXT_CHARS_MAX} characters that tells callers, or asks them")
    });
}

fn practitioners(tenant: &Tenant, report: &mut Report<'_>) {
    report.require(!tenant.practitioners.is_empty(), "practitioners", || "got nothing, expected at least one".into());
    let mut ids = HashSet::new();
    for (index, practitioner) in tenant.practitioners.iter().enumerate() {
        let key = format!("practitioners[{index}]");
        report.require(ids.insert(&practitioner.id), format!("{key}.id"), || {
            format!("got \"{}\" a second time, expected another id", practitioner.id)
        });
        report
            .require(!practitioner.name.trim().is_empty(), format!("{key}.name"), || "got nothing, expected a name as it is spoken".into());
        report.require(!practitioner.hours.is_empty(), format!("{key}.hours"), || "got nothing, expected working hours".into());
        let is_id = practitioner.busy_calendar.as_ref().is_none_or(|id| !id.is_empty() && !id.contains([' ', '/']));
        report.require(is_id, format!("{key}.busy_calendar"), || {
            format!("got \"{}\", expected an id without blanks and slashes", practitioner.busy_calendar.as_deref().unwrap_or_default())
        });
        working_hours(&practitioner.hours, &format!("{key}.hours"), report);
        references(tenant, practitioner, &key, report);
    }
}

/// What a practitioner's entry says of places, services and absences.
fn references(tenant: &Tenant, practitioner: &PractitionerConfig, key: &str, report: &mut Report<'_>) {
    for (at, hours) in practitioner.hours.iter().enumerate() {
        let is_known = hours.location.as_ref().is_none_or(|id| tenant.locations.iter().any(|location| location.id == *id));
        report.require(is_known, format!("{key}.hours[{at}].location"), || {
            format!("got \"{}\", expected the id of one of the locations", hours.location.as_ref().map_or("", LocationId::as_str))
        });
    }
    let department = practitioner.department.as_ref();
    report.require(department.is_none_or(|id| tenant.departments.iter().any(|one| one.id == *id)), format!("{key}.department"), || {
        format!("got \"{}\", expected the id of one of the departments", department.map_or("", DepartmentId::as_str))
    });
    for (at, code) in practitioner.services.iter().flatten().enumerate() {
        report.require(tenant.services.iter().any(|service| service.code == *code), format!("{key}.services[{at}]"), || {
            format!("got \"{code}\", expected the code of one of the services")
        });
    }
    for (at, away) in practitioner.time_off.iter().enumerate() {
        report.require(away.span(practitioner.zone.unwrap_or(tenant.zone)).is_some(), format!("{key}.time_off[{at}]"), || {
            let TimeOff { from, until } = away;
            format!("got \"{from}\" to \"{until}\", expected days like \"2026-12-21\" or times like \"2026-12-21T13:00\", in order")
        });
    }
}

/// `list` is the key under which they stand.
fn working_hours(hours: &[Hours], list: &str, report: &mut Report<'_>) {
    let mut by_day: HashMap<_, Vec<(NaiveTime, NaiveTime)>> = HashMap::new();
    for (index, period) in hours.iter().enumerate() {
        let key = format!("{list}[{index}]");
        report.require(!period.days.is_empty(), format!("{key}.days"), || "got nothing, expected days like [\"monday\"]".into());
        for (name, time) in [("opens", period.opens), ("closes", period.closes)] {
            report.require(time.minute().is_multiple_of(5) && time.second() == 0, format!("{key}.{name}"), || {
                format!("got \"{}\", expected a time on a five-minute mark like \"09:00\"", time.format("%H:%M:%S"))
            });
        }
        report.require(period.opens < period.closes, format!("{key}.closes"), || {
            format!("got \"{}\", expected a time after opens (\"{}\")", period.closes.format("%H:%M"), period.opens.format("%H:%M"))
        });
        let mut clashing = Vec::new();
        for day in &period.days {
            let taken = by_day.entry(*day).or_default();
            if taken.iter().any(|(opens, closes)| period.opens < *closes && *opens < period.closes) {
                clashing.push(day.to_string());
            }
            taken.push((period.opens, period.closes));
        }
        report.require(clashing.is_empty(), key, || {
            let (opens, closes) = (period.opens.format("%H:%M"), period.closes.format("%H:%M"));
            format!("got \"{opens}\" to \"{closes}\", expected hours that do not overlap others on {}", clashing.join(", "))
        });
    }
}

fn answers(tenant: &Tenant, report: &mut Report<'_>) {
    let emergency = &tenant.emergency;
    report.require(emergency.phrases.is_empty() == emergency.text.trim().is_empty(), "emergency", || {
        "got phrases or a text alone, expected both or neither".into()
    });
    let is_speakable = |text: &str| text.chars().any(char::is_alphanumeric) && text.chars().count() <= TEXT_CHARS_MAX;
    let expected = || format!("expected words, at most {TEXT_CHARS_MAX} characters");
    for (index, phrase) in emergency.phrases.iter().enumerate() {
        report.require(is_speakable(phrase), format!("emergency.phrases[{index}]"), || format!("got \"{phrase}\", {}", expected()));
    }
    for (tag, text) in &emergency.text_by_language {
        let is_spoken = tenant.voice.by_language.contains_key(tag);
        report.require(is_spoken && is_speakable(text), format!("emergency.text_by_language.{tag}"), || {
            format!("got \"{text}\", {}, in a language of voice.by_language", expected())
        });
    }
    for (index, question) in tenant.questions.iter().enumerate() {
        let key = format!("questions[{index}]");
        report.require(!question.about.is_empty(), format!("{key}.about"), || "got nothing, expected words like [\"parking\"]".into());
        report.require(question.about.iter().all(|about| is_speakable(about)), format!("{key}.about"), || {
            format!("got an empty one, {}", expected())
        });
        report.require(is_speakable(&question.answer), format!("{key}.answer"), || format!("got \"{}\", {}", question.answer, expected()));
    }
}

fn locations(tenant: &Tenant, report: &mut Report<'_>) {
    let mut ids = HashSet::new();
    for (index, location) in tenant.locations.iter().enumerate() {
        let key = format!("locations[{index}]");
        report.require(ids.insert(&location.id), format!("{key}.id"), || {
            format!("got \"{}\" a second time, expected another id", location.id)
        });
        report.require(!location.name.trim().is_empty(), format!("{key}.name"), || "got nothing, expected a name as it is spoken".into());
    }
}

fn departments(tenant: &Tenant, report: &mut Report<'_>) {
    let mut ids = HashSet::new();
    for (index, department) in tenant.departments.iter().enumerate() {
        let key = format!("departments[{index}]");
        report.require(ids.insert(&department.id), format!("{key}.id"), || {
            format!("got \"{}\" a second time, expected another id", department.id)
        });
        report.require(!department.name.trim().is_empty(), format!("{key}.name"), || "got nothing, expected a name as it is spoken".into());
        for (at, about) in department.about.iter().enumerate() {
            report.require(about.chars().any(char::is_alphanumeric), format!("{key}.about[{at}]"), || {
                format!("got \"{about}\", expected a word that callers say")
            });
        }
    }
}

fn services(tenant: &Tenant, report: &mut Report<'_>) {
    let mut codes = HashSet::new();
    for (index, service) in tenant.services.iter().enumerate() {
        let key = format!("services[{index}]");
        report.require(codes.insert(&service.code), format!("{key}.code"), || {
            format!("got \"{}\" a second time, expected another code", service.code)
        });
        report.require(!service.name.trim().is_empty(), format!("{key}.name"), || "got nothing, expected a name as it is spoken".into());
        let minutes = service.duration_minutes;
        report.require((5..=480).contains(&minutes), format!("{key}.duration_minutes"), || format!("got {minutes}, expected 5 to 480"));
        for (name, minutes) in
            [("buffer_before_minutes", service.buffer_before_minutes), ("buffer_after_minutes", service.buffer_after_minutes)]
        {
            report.require(minutes <= 240, format!("{key}.{name}"), || format!("got {minutes}, expected at most 240"));
        }
    }
}

fn insurance(tenant: &Tenant, report: &mut Report<'_>) {
    let mut keys = HashSet::new();
    for (index, row) in tenant.insurance.iter().enumerate() {
        let key = format!("coverage[{index}]");
        for (name, value) in [("payer", &row.payer), ("plan", &row.plan), ("procedure_code", &row.procedure_code)] {
            if value.trim().is_empty() || value.trim() != value {
                report.add("insurance.toml", format!("{key}.{name}"), format!("got \"{value}\", expected a name without blanks around it"));
            }
        }
        if let Some(cents) = row.copay_cents.filter(|cents| i32::try_from(*cents).is_err()) {
            report.add("insurance.toml", format!("{key}.copay_cents"), format!("got {cents}, expected at most {}", i32::MAX));
        }
        let folded = [&row.payer, &row.plan, &row.procedure_code].map(|text| text.to_lowercase());
        if !keys.insert(folded) {
            report.add(
                "insurance.toml",
                key,
                format!("got {} / {} / {} a second time, expected one row for each", row.payer, row.plan, row.procedure_code),
            );
        }
    }
}
