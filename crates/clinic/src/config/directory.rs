//! All tenants of an installation.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::error::ConfigError;
use super::load::load_tenant;
use super::model::Tenant;
use crate::ids::TenantId;

/// All tenants, found by id or by the number that was dialled. Lives in memory: a call is answered even while Postgres is away.
#[derive(Debug, Clone, Default)]
pub struct TenantDirectory {
    tenants: Vec<Arc<Tenant>>,
    by_number: HashMap<String, usize>,
}

impl TenantDirectory {
    /// Reads every folder below `root` (`agent-config/`). Reports the problems of all tenants together.
    pub fn load(root: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::one(root, "(folder)", format!("cannot be read: {error}"));
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(root).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !is_hidden {
                folders.push(path);
            }
        }
        if folders.is_empty() {
            return Err(ConfigError::one(root, "(folder)", "got no tenant, expected one folder a clinic, with tenant.toml and prompt.md"));
        }
        folders.sort();
        let mut directory = Self::default();
        let mut problems = Vec::new();
        for folder in folders {
            match load_tenant(&folder) {
                Ok(tenant) => directory.add(tenant, &folder, &mut problems),
                Err(error) => problems.extend(error.problems),
            }
        }
        if problems.is_empty() { Ok(directory) } else { Err(ConfigError { problems }) }
    }

    fn add(&mut self, tenant: Tenant, folder: &Path, problems: &mut Vec<super::Problem>) {
        for (index, number) in tenant.dialled_numbers.iter().enumerate() {
            if let Some(other) = self.by_number.insert(digits(number), self.tenants.len()) {
                let other = self.tenants.get(other).map_or(&tenant.id, |other| &other.id);
                let key = format!("dialled_numbers[{index}]");
                let problem = format!("got \"{number}\", which is a number of tenant \"{other}\", expected a number of this one alone");
                let error = ConfigError::one(&folder.join("tenant.toml"), key, problem);
                problems.extend(error.problems);
            }
        }
        self.tenants.push(Arc::new(tenant));
    }

    /// The tenant of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.tenants.iter().find(|tenant| tenant.id.as_str() == id)
    }

    /// The tenant that is called under a number; with or without `+`, `00` and separators.
    #[must_use]
    pub fn by_dialled_number(&self, number: &str) -> Option<&Arc<Tenant>> {
        self.by_number.get(&digits(number)).and_then(|index| self.tenants.get(*index))
    }

    /// All tenants, ordered by folder.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.iter()
    }

    /// Their ids.
    #[must_use]
    pub fn ids(&self) -> Vec<&TenantId> {
        self.tenants.iter().map(|tenant| &tenant.id).collect()
    }
}

fn digits(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.strip_prefix("00").map_or_else(|| digits.clone(), String::from)
}
