//! A question that is answered by yes or no.

use frontdesk_conversation::ToolError;
use schemars::JsonSchema;
use serde::Deserialize;

use super::collect::{Collect, Field};

/// Asks a question and gives `true` for yes.
pub type Confirm = Collect<YesOrNo>;

/// The answer to a question.
#[derive(Debug, Clone)]
pub struct YesOrNo {
    question: String,
}

impl Confirm {
    /// Asks this question; its answer needs no read-back.
    #[must_use]
    pub fn new(question: impl Into<String>) -> Self {
        Self::of(YesOrNo { question: question.into() }).without_read_back()
    }
}

/// What the model gives.
#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct YesOrNoArguments {
    /// Whether the caller said yes.
    #[garde(skip)]
    yes: bool,
}

impl Field for YesOrNo {
    type Arguments = YesOrNoArguments;
    type Value = bool;

    fn task(&self) -> &'static str {
        "confirm_question"
    }

    fn tool(&self) -> &'static str {
        "give_answer"
    }

    fn what(&self) -> String {
        format!("whether the caller says yes or no to this question: \"{}\"", self.question)
    }

    fn guidance(&self) -> String {
        "Ask exactly that. A hesitation or another question is neither yes nor no: ask again.".into()
    }

    fn check(&self, YesOrNoArguments { yes }: YesOrNoArguments) -> Result<bool, ToolError> {
        Ok(yes)
    }

    fn read_back(&self, _value: &bool) -> Option<String> {
        None
    }
}
