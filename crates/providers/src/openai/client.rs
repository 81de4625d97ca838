//! The client: one POST an answer, server-sent events back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eventsource_stream::Eventsource as _;
use frontdesk_agent::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ProviderError, TokenUsage};
use futures_util::{Stream, StreamExt as _};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::{OpenAiOptions, PROVIDER, request};
use crate::connect::{authorization, clip, from_status};
use crate::timeouts::Stage;

/// Largest answer that is read, in bytes; a telephone answer needs a thousandth of it.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Largest error document that is read, in bytes.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// Wait before the second try, unless the service names a time.
const BACKOFF: Duration = Duration::from_millis(200);
/// A service that wants us to wait longer than this is not asked again: a caller is on the line.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// An unused connection is kept this long for the next turn.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// An OpenAI-compatible service as [`LanguageModel`]. Cheap to clone; connections are shared by all calls.
#[derive(Debug, Clone)]
pub struct OpenAiLlm {
    options: OpenAiOptions,
    http: reqwest::Client,
    headers: HeaderMap,
}

impl OpenAiLlm {
    /// A client. Nothing is connected yet.
    ///
    /// # Errors
    /// `Rejected` when the base URL is no HTTP URL or the key does not fit into a header.
    pub fn new(mut options: OpenAiOptions) -> Result<Self, ProviderError> {
        let rejected = |reason: String| ProviderError::Rejected { provider: PROVIDER, reason };
        while options.base_url.ends_with('/') {
            options.base_url.pop();
        }
        match reqwest::Url::parse(&options.base_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
            _ => return Err(rejected("the base URL is no http:// or https:// URL".into())),
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !options.api_key.is_empty() {
            headers.insert(AUTHORIZATION, authorization(PROVIDER, "Bearer", &options.api_key)?);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(options.timeouts.connect)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            // A redirect would carry what callers said to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| rejected(error.without_url().to_string()))?;
        Ok(Self { options, http, headers })
    }

    /// Sends the request and waits for the head of the answer.
    async fn post(&self, body: Bytes) -> Result<reqwest::Response, ProviderError> {
        let url = format!("{}/chat/completions", self.options.base_url);
        let sent = self.http.post(url).headers(self.headers.clone()).body(body).send();
        let response = match timeout(self.options.timeouts.first_byte, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.typed(error)),
            Err(_) => return Err(self.options.timeouts.expired(PROVIDER, Stage::FirstByte)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let headers = response.headers().clone();
        let code = timeout(self.options.timeouts.close, error_code(response)).await.ok().flatten();
        // A quota that is used up answers 429 too, but waiting does not fill it.
        if code.as_deref() == Some("insufficient_quota") {
            return Err(ProviderError::Rejected { provider: PROVIDER, reason: "insufficient_quota".into() });
        }
        Err(from_status(PROVIDER, status, &headers, code.as_deref()))
    }

    fn typed(&self, error: reqwest::Error) -> ProviderError {
        if error.is_timeout() {
            return self.options.timeouts.expired(PROVIDER, Stage::Connection);
        }
        let connect = error.is_connect();
        // The innermost cause says most; the URL is dropped for the sake of keys in queries.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = clip(&cause.to_string());
        if connect { ProviderError::Connect { provider: PROVIDER, reason } } else { ProviderError::Broken { provider: PROVIDER, reason } }
    }

    fn start(&self, response: reqwest::Response, body: Option<Bytes>, deadline: Instant) -> Running {
        let mut total = 0_usize;
        let bytes = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(|_| Cut::Connection)?;
            total += piece.len();
            if total > MAX_ANSWER_BYTES { Err(Cut::TooLong) } else { Ok(piece) }
        });
        let events = Box::pin(bytes.eventsource().map(|event| match event {
            Ok(event) => Ok(event.data),
            Err(eventsource_stream::EventStreamError::Transport(cut)) => Err(cut),
            Err(_) => Err(Cut::Malformed),
        }));
        Running {
            client: self.clone(),
            events,
            answer: Answer::default(),
            ready: VecDeque::new(),
            retry: body,
            deadline,
            begun: false,
            retrying: None,
        }
    }
}

#[async_trait]
impl LanguageModel for OpenAiLlm {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let wire = request::build(&self.options, request);
        let body = serde_json::to_vec(&wire)
            .map(Bytes::from)
            .map_err(|error| ProviderError::Rejected { provider: PROVIDER, reason: format!("the request is no JSON: {error}") })?;
        let mut deadline = Instant::now() + self.options.timeouts.first_byte;
        let (response, spare) = match self.post(body.clone()).await {
            Ok(response) => (response, Some(body)),
            Err(error) => {
                let Some(wait) = pause_before_retry(&error) else { return Err(error) };
                tracing::debug!(kind = error.kind(), "language model failed before an answer; asking once more");
                tokio::time::sleep(wait).await;
                deadline = Instant::now() + self.options.timeouts.first_byte;
                (self.post(body).await?, None)
            }
        };
        Ok(Box::new(self.start(response, spare, deadline)))
    }

    async fn warm_up(&self) {
        // Whatever the answer, the connection stays in the pool.
        let url = format!("{}/models", self.options.base_url);
        let head = self.http.head(url).headers(self.headers.clone()).send();
        let outcome = timeout(self.options.timeouts.connect, head).await;
        tracing::debug!(reached = matches!(outcome, Ok(Ok(_))), "language model warmed up");
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

/// How long to wait before the one further try; `None` for none.
fn pause_before_retry(error: &ProviderError) -> Option<Duration> {
    match error {
        ProviderError::Connect { .. } | ProviderError::Broken { .. } => Some(BACKOFF),
        ProviderError::RateLimited { retry_after, .. } => Some(retry_after.unwrap_or(BACKOFF)).filter(|wait| *wait <= MAX_BACKOFF),
        // After a time-out the caller has waited long enough: a fallback is better than a second wait.
        _ => None,
    }
}

/// The `code` or `type` of an error document: short machine words, unlike its `message`.
async fn error_code(mut response: reqwest::Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ERROR_BYTES {
            return None;
        }
    }
    let document: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let error = document.get("error")?;
    ["code", "type"].iter().find_map(|key| error.get(*key)?.as_str()).map(clip)
}

/// Why the bytes stopped.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Connection,
    TooLong,
    Malformed,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connection => "the connection broke",
            Self::TooLong => "the answer is longer than is allowed",
            Self::Malformed => "malformed event stream",
        })
    }
}

impl std::error::Error for Cut {}

type Retrying = Pin<Box<dyn Future<Output = Result<Running, ProviderError>> + Send>>;
type Events = Pin<Box<dyn Stream<Item = Result<String, Cut>> + Send>>;

/// A running answer. Dropping it drops the connection, which tells the service to stop.
struct Running {
    client: OpenAiLlm,
    events: Events,
    answer: Answer,
    ready: VecDeque<ModelEvent>,
    /// The request, while it may be sent once more: taken by the retry and by the first event.
    retry: Option<Bytes>,
    deadline: Instant,
    /// Whether anything of the answer came.
    begun: bool,
    /// The second try under way, kept here so that `next_event` stays cancel-safe.
    retrying: Option<Retrying>,
}

impl Running {
    /// What the next server-sent event completes.
    async fn advance(&mut self) -> Result<(), ProviderError> {
        let item = match timeout_at(self.deadline, self.events.next()).await {
            Ok(item) => item,
            Err(_) => {
                let stage = if self.begun { Stage::FurtherData } else { Stage::FirstByte };
                return Err(self.client.options.timeouts.expired(PROVIDER, stage));
            }
        };
        let data = match item {
            Some(Ok(data)) => data,
            Some(Err(cut)) => return Err(ProviderError::Broken { provider: PROVIDER, reason: cut.to_string() }),
            None => return Err(ProviderError::Broken { provider: PROVIDER, reason: "the answer ended early".into() }),
        };
        let events = self.answer.take(&data)?;
        // The first chunk carries only the role; it is a sign of life, not yet an answer.
        self.begun |= !events.is_empty();
        if self.begun {
            self.retry = None;
            self.deadline = Instant::now() + self.client.options.timeouts.idle;
        }
        self.ready.extend(events);
        Ok(())
    }

    /// Begins the second try if it is safe; gives the error back otherwise.
    fn ask_again(&mut self, error: ProviderError) -> Result<(), ProviderError> {
        let (Some(wait), Some(body)) = (pause_before_retry(&error), self.retry.take()) else { return Err(error) };
        tracing::debug!(kind = error.kind(), "language model failed before an answer; asking once more");
        let client = self.client.clone();
        self.retrying = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let deadline = Instant::now() + client.options.timeouts.first_byte;
            let response = client.post(body).await?;
            Ok(client.start(response, None, deadline))
        }));
        Ok(())
    }
}

#[async_trait]
impl ModelStream for Running {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.answer.is_finished() {
                return Ok(None);
            }
            if let Some(retrying) = self.retrying.as_mut() {
                let result = retrying.await;
                self.retrying = None;
                *self = result?;
            }
            if let Err(error) = self.advance().await {
                self.ask_again(error)?;
            }
        }
    }

    /// The count follows the answer in a chunk of its own.
    async fn usage(&mut self) -> Option<TokenUsage> {
        while self.client.options.report_usage && self.answer.is_finished() && self.answer.usage().is_none() && !self.answer.has_ended() {
            match self.events.next().await {
                Some(Ok(data)) => drop(self.answer.take(&data).ok()?),
                Some(Err(_)) | None => return None,
            }
        }
        self.answer.usage()
    }
}
