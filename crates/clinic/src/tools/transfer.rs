//! `transfer_call`: a person instead of the agent.

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{arguments, errors, result};
use crate::config::{Tenant, TransferTarget};

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct TransferArguments {
    /// To whom.
    #[garde(skip)]
    target: String,
}

#[derive(Debug, Serialize, Validate)]
struct TransferResult {
    #[garde(length(min = 1))]
    target: String,
}

/// Names a target of the tenant's; the transport knows its number, the model never does.
pub(super) struct TransferCall(Arc<Tenant>);

impl TransferCall {
    /// Offered only if there is somebody to go to.
    pub(super) fn of(tenant: &Arc<Tenant>) -> Option<Self> {
        (!tenant.transfer_targets.is_empty()).then(|| Self(Arc::clone(tenant)))
    }

    fn names(&self) -> Vec<&str> {
        self.0.transfer_targets.iter().map(|target| target.name.as_str()).collect()
    }
}

#[async_trait]
impl Tool for TransferCall {
    fn name(&self) -> &'static str {
        "transfer_call"
    }

    fn description(&self) -> String {
        let with_reason = |target: &TransferTarget| target.when.as_ref().map(|when| format!("`{}` when {when}", target.name));
        let reasons: Vec<String> = self.0.transfer_targets.iter().filter_map(with_reason).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" {}.", reasons.join("; ")) };
        format!(
            "Puts the caller through to a person, after what you are saying has been heard. Call it when the caller asks for a person or \
             agrees to be put through; say so in the same answer. If nobody takes the call, you are told why, and the caller is still \
             with you.{reasons}"
        )
    }

    fn parameters(&self) -> Value {
        let mut schema = arguments::schema::<TransferArguments>();
        if let Some(target) = schema.pointer_mut("/properties/target").and_then(Value::as_object_mut) {
            target.insert("enum".into(), json!(self.names()));
        }
        schema
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    fn transfers_call(&self) -> bool {
        true
    }

    async fn run(&self, _context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let TransferArguments { target } = arguments::read(arguments)?;
        let Some(known) = self.0.transfer_targets.iter().find(|known| known.name.eq_ignore_ascii_case(target.trim())) else {
            let names = self.names();
            let example = names.first().map(|name| json!(name));
            return Err(errors::Fault::new("target", target, format!("one of {}", names.join(", ")), example).into());
        };
        result::write(self.name(), &TransferResult { target: known.name.clone() })
    }
}
