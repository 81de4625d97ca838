//! Faults that a call lives through, for its record.

use std::sync::{Arc, Mutex, PoisonError};

/// Kinds of incident that one call's record holds at most.
const INCIDENTS_MAX: usize = 64;

/// A bounded list shared by a call's tasks. A repeated incident is counted, not listed anew. Holds no personal data.
#[derive(Clone, Default)]
pub(crate) struct Incidents {
    list: Arc<Mutex<Vec<(String, u32)>>>,
}

impl Incidents {
    /// Notes an incident and logs it.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(incident = %what, "the call lives through a fault");
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = list.iter_mut().find(|(known, _)| *known == what) {
            *count = count.saturating_add(1);
        } else if list.len() < INCIDENTS_MAX {
            list.push((what, 1));
        }
    }

    /// The list for the record.
    #[must_use]
    pub(crate) fn list(&self) -> Vec<String> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|(what, count)| if *count == 1 { what.clone() } else { format!("{what} ({count} times)") }).collect()
    }
}
