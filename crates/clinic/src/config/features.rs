//! What the agent does for the callers of a clinic, and what it leaves to people.

use schemars::JsonSchema;
use serde::Deserialize;

/// What the agent does for callers; what is left out, it does. Whatever is switched off, the model has no tool for and is told so. Taking
/// messages cannot be switched off: it is what remains when nothing else can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Features {
    /// Find times and book them.
    pub booking: bool,
    /// Move an appointment.
    pub rescheduling: bool,
    /// Cancel an appointment.
    pub cancelling: bool,
    /// Put callers on the waiting list, and take them off it.
    pub waiting_list: bool,
    /// Register new patients.
    pub registration: bool,
    /// Tell what insurance covers.
    pub insurance: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { booking: true, rescheduling: true, cancelling: true, waiting_list: true, registration: true, insurance: true }
    }
}

impl Features {
    /// What is switched off, as the model is told; nothing, if nothing is.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let all = [
            (self.booking, "book appointments"),
            (self.rescheduling, "move appointments"),
            (self.cancelling, "cancel appointments"),
            (self.waiting_list, "use the waiting list"),
            (self.registration, "register patients"),
            (self.insurance, "say what insurance covers"),
        ];
        let off: Vec<&str> = all.into_iter().filter(|(is_on, _)| !is_on).map(|(_, what)| what).collect();
        (!off.is_empty()).then(|| {
            format!(
                "\n\nAt this practice you do not {}: people do that. Whoever asks for it is told so, and offered a message.\n",
                off.join(", nor ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_is_told() {
        assert_eq!(Features::default().left_out(), None);
        let features = Features { booking: false, insurance: false, ..Features::default() };
        let told = features.left_out().unwrap();
        assert!(told.contains("you do not book appointments, nor say what insurance covers: people"), "{told}");
    }
}
