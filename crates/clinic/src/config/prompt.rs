//! The instructions of the language model: the tenant's text with its placeholders filled in.

use chrono::{DateTime, Utc};

use super::hours::Open;
use super::model::Tenant;
use crate::local_time;

/// What may stand between double braces in prompt.md.
const PLACEHOLDERS: [&str; 7] = ["clinic", "now", "open", "zone", "departments", "practitioners", "services"];

/// All (key, problem) of a prompt.
pub(super) fn problems(prompt: &str) -> Vec<(String, String)> {
    if prompt.trim().is_empty() {
        return vec![("(text)".into(), "got nothing, expected the instructions of the language model".into())];
    }
    let mut problems: Vec<(String, String)> = placeholders(prompt)
        .filter(|(_, name)| !PLACEHOLDERS.contains(name))
        .map(|(line, name)| {
            (format!("line {line} `{{{{{name}}}}}`"), format!("unknown placeholder, expected one of {}", PLACEHOLDERS.join(", ")))
        })
        .collect();
    if !placeholders(prompt).any(|(_, name)| name == "now") {
        let problem = "got no {{now}}, expected it: the model would not know today's date and book on wrong days";
        problems.push(("(text)".into(), problem.into()));
    }
    problems
}

/// The names between double braces, each with its line.
fn placeholders(prompt: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(prompt.lines()).flat_map(|(number, line)| {
        line.split("{{").skip(1).filter_map(move |rest| rest.split_once("}}").map(|(name, _)| (number, name.trim())))
    })
}

impl Tenant {
    /// The system message of a call that begins at `now`.
    #[must_use]
    pub fn instructions(&self, now: DateTime<Utc>) -> String {
        let mut out = String::with_capacity(self.prompt.len() * 2);
        let mut rest = self.prompt.as_str();
        // One pass: what is filled in is not searched again.
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            out.push_str(before);
            out.push_str(&self.value(name.trim(), now));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str, now: DateTime<Utc>) -> String {
        match name {
            "clinic" => self.name.clone(),
            "now" => {
                let local = local_time::local(now, self.zone);
                format!("{} ({})", local.format("%A, %Y-%m-%dT%H:%M"), self.zone)
            }
            "open" => match self.open_at(now) {
                Open::Until(closes) => format!("The practice is open now, until {}.", closes.format("%H:%M")),
                Open::From(opens) => format!("The practice is closed now; it opens on {}.", opens.format("%A, %Y-%m-%dT%H:%M")),
                Open::No => "The practice is closed now.".into(),
            },
            "zone" => self.zone.to_string(),
            "practitioners" => {
                let of =
                    |one: &super::PractitionerConfig| one.department.as_ref().map(|id| format!(", department `{id}`")).unwrap_or_default();
                let line = |one: &super::PractitionerConfig| format!("- {} (id `{}`{})", one.name, one.id, of(one));
                self.practitioners.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            "departments" => {
                let line = |one: &super::DepartmentConfig| {
                    let about = if one.about.is_empty() { String::new() } else { format!(": {}", one.about.join(", ")) };
                    format!("- {} (id `{}`){about}", one.name, one.id)
                };
                let lines: Vec<String> = self.departments.iter().map(line).collect();
                if lines.is_empty() { "The practice has no departments.".into() } else { lines.join("\n") }
            }
            "services" => {
                let line = |one: &super::ServiceConfig| format!("- {} (code `{}`, {} minutes)", one.name, one.code, one.duration_minutes);
                self.services.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            // Validation lets no other name pass.
            other => format!("{{{{{other}}}}}"),
        }
    }
}
