//! Tools that are functions: a name, what they do, and a Rust type for the arguments.

use std::marker::PhantomData;

use async_trait::async_trait;
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments;
use crate::tool::{Tool, ToolContext};

/// A tool of one phase that is an async function. The type of its arguments is schema, parser and validator at once; what does not
/// validate goes back to the model, which is told the field. A tool that needs the caller's yes implements [`Tool`] itself.
///
/// ```
/// use frontdesk_agent::{FnTool, Tool as _};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema, garde::Validate)]
/// struct Size {
///     /// Centimetres.
///     #[garde(range(min = 10, max = 80))]
///     frame: u32,
/// }
///
/// let tool = FnTool::read("stock", "Tells how many bicycles of a size are there.", async |_, size: Size| Ok(size.frame % 7));
/// assert_eq!(tool.parameters()["properties"]["frame"]["maximum"], 80);
/// ```
pub struct FnTool<A, F> {
    name: &'static str,
    description: String,
    effect: Effect,
    act: F,
    arguments: PhantomData<fn(A)>,
}

impl<A, F> FnTool<A, F> {
    /// A tool that only looks something up: it may run beside others, for an answer that is never said, and be broken off.
    #[must_use]
    pub fn read<Fut>(name: &'static str, description: impl Into<String>, act: F) -> Self
    where
        F: Fn(ToolContext, A) -> Fut,
    {
        Self { name, description: description.into(), effect: Effect::Read, act, arguments: PhantomData }
    }

    /// A tool that notes something, and that is harmless to repeat under [`ToolContext::tool_call_id`].
    #[must_use]
    pub fn record<Fut>(name: &'static str, description: impl Into<String>, act: F) -> Self
    where
        F: Fn(ToolContext, A) -> Fut,
    {
        Self { effect: Effect::Record, ..Self::read(name, description, act) }
    }
}

#[async_trait]
impl<A, F, Fut, T> Tool for FnTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Validate<Context = ()> + Send + 'static,
    F: Fn(ToolContext, A) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, ToolError>> + Send,
    T: Serialize + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<A>()
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let result = (self.act)(context.clone(), arguments::read::<A>(arguments)?).await?;
        serde_json::to_value(result).map_err(|error| {
            let message = format!("the result of {} is no JSON: {error}", self.name);
            ToolError { code: "bad_result".into(), message, details: None, retryable: false }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, JsonSchema, garde::Validate)]
    struct Count {
        /// How many.
        #[garde(range(min = 1, max = 9))]
        number: u32,
    }

    fn context() -> ToolContext {
        ToolContext {
            call_id: "call".into(),
            tenant_id: "shop".into(),
            tool_call_id: "t1".into(),
            language: "en".into(),
            caller_number: None,
            call: Default::default(),
        }
    }

    #[tokio::test]
    async fn the_type_is_schema_parser_and_validator() {
        let tool = FnTool::record("double", "Doubles.", |context: ToolContext, count: Count| async move {
            Ok((context.tool_call_id, count.number * 2))
        });
        assert_eq!((tool.name(), tool.effect()), ("double", Effect::Record));
        assert_eq!(tool.parameters()["required"], json!(["number"]));
        assert_eq!(tool.run(&context(), json!({ "number": 4 })).await.expect("valid"), json!(["t1", 8]));
        let error = tool.run(&context(), json!({ "number": 12 })).await.expect_err("out of range");
        assert!(error.code == "invalid_arguments" && error.message.contains("number"), "{error:?}");
    }

    #[tokio::test]
    async fn a_failure_of_the_function_is_the_tool_s() {
        let broken = || ToolError { code: "closed".into(), message: "nobody is there".into(), details: None, retryable: true };
        let tool = FnTool::read("look", "Looks.", move |_, _: Count| async move { Err::<(), _>(broken()) });
        assert_eq!(tool.effect(), Effect::Read);
        assert_eq!(tool.run(&context(), json!({ "number": 1 })).await, Err(broken()));
    }
}
