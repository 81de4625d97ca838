//! Identifiers of turns, replies, model requests, utterances and confirmations.
//!
//! Each is minted by the conversation and never used again within a call, so an event that arrives for a dead one can be
//! told apart and dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! counter_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter_id!(
    /// One committed turn of the caller.
    TurnId
);
counter_id!(
    /// One reply of the agent: all that it says and does until the floor goes back to the caller.
    ReplyId
);
counter_id!(
    /// One piece of speech handed to the synthesiser as a whole, usually a sentence.
    UtteranceId
);

/// One request to the language model. A reply with tool calls asks the model once a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationId {
    /// The reply that the request works for.
    pub reply: ReplyId,
    /// Counts from 0 within the reply.
    pub step: u32,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tool call, named by the model and made unique within the call by the conversation.
    ToolCallId
);
text_id!(
    /// What a caller confirms: minted when a `Commit` tool was prepared; with the call's id it is the idempotency key.
    ConfirmationId
);
