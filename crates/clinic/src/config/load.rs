//! Reading a tenant's folder.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ConfigError, Problem};
use super::lines::line_of;
use super::model::Tenant;
use super::practice::CoverageRow;
use super::validate::validate;

/// No file of a configuration is larger; a mistyped path to a recording shall not fill the memory.
const FILE_BYTES_MAX: u64 = 4_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InsuranceFile {
    #[serde(default)]
    coverage: Vec<CoverageRow>,
}

/// Reads and validates the folder of one tenant. Reports every problem of every file.
pub fn load_tenant(folder: &Path) -> Result<Tenant, ConfigError> {
    let mut problems = Vec::new();
    let tenant: Option<Tenant> = keep(read_toml(&folder.join("tenant.toml")), &mut problems);
    let prompt = keep(read(&folder.join("prompt.md")), &mut problems);
    let insurance_file = folder.join("insurance.toml");
    let insurance = if insurance_file.exists() {
        keep(read_toml::<InsuranceFile>(&insurance_file), &mut problems).map(|file| file.coverage)
    } else {
        Some(Vec::new())
    };
    if let Some(mut tenant) = tenant {
        tenant.prompt = prompt.unwrap_or_default();
        tenant.insurance = insurance.unwrap_or_default();
        validate(&tenant, folder, &mut problems);
        if problems.is_empty() {
            return Ok(tenant);
        }
    }
    Err(ConfigError { problems: placed(problems) })
}

/// The same problems, each with the line of its key.
fn placed(mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in problems.iter_mut().filter(|problem| problem.line.is_none() && problem.file.extension().is_some_and(|it| it == "toml")) {
        problem.line = read(&problem.file).ok().and_then(|text| line_of(&text, &problem.key));
    }
    problems
}

fn keep<T>(result: Result<T, ConfigError>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|error| problems.extend(error.problems)).ok()
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: std::io::Error| ConfigError::one(file, "(file)", format!("cannot be read: {error}"));
    if std::fs::metadata(file).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(ConfigError::one(file, "(file)", format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

fn read_toml<T: DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let text = read(file)?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        // The parser tells the place, not the key; the line of the file shows both key and value.
        let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
        let at = |mut error: ConfigError| {
            error.problems.iter_mut().for_each(|problem| problem.line = Some(line));
            error
        };
        let place = format!("`{shown}`");
        let message = error.message().replace('\n', ", ");
        match message.strip_prefix("missing field ").map(|field| field.trim_matches('`')) {
            // The file as a whole lacks it, not what happens to stand in its first line.
            Some(field) if line == 1 => ConfigError::one(file, field, "got nothing, expected a value"),
            Some(field) => at(ConfigError::one(file, place, format!("got no {field}, expected one"))),
            None => at(ConfigError::one(file, place, message)),
        }
    })
}
