//! Keeps the worker registered: connects, registers, pings, and connects again.

use std::time::Duration;

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use rand::Rng as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{HandshakeError, SocketError, WorkerSocket, handshake};
use super::error::WorkerError;
use super::options::{FirstRegistration, WorkerOptions};
use super::stall::{Deputy, LOOK_EVERY};
use crate::server_url::ServerUrl;

/// How long connecting and registering may take; the server waits as long.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A connection that is silent for this long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// The first wait before connecting again; doubles up to [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Messages that may come between registration and the first pong; a server that sends more has plainly listed the worker.
const EARLY_MAX: usize = 32;

/// A registered connection, and what came on it before that was certain.
struct Registered {
    socket: WorkerSocket,
    worker_id: String,
    early: Vec<FromServer>,
}

/// What the link tells the runner.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// Registered under this id.
    Up(String),
    /// The connection is lost; the link is at work.
    Down,
    /// A message of the server.
    Message(Box<FromServer>),
    /// Registering is hopeless.
    Fatal(WorkerError),
}

/// The task's ends. `outgoing` is emptied while the link is down.
pub(super) struct Link {
    pub(super) url: ServerUrl,
    pub(super) options: WorkerOptions,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) outgoing: mpsc::Receiver<ToServer>,
    pub(super) cancel: CancellationToken,
    pub(super) deputy: Deputy,
}

/// A link that runs. Ends when its `cancel` fires.
pub(super) struct Running(oneshot::Receiver<()>);

impl Running {
    /// Waits for the end; whether it was a good one.
    pub(super) async fn ended(self) -> bool {
        self.0.await.is_ok()
    }
}

impl Link {
    /// Runs on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread, or nothing to wait with.
    pub(super) fn start(self) -> std::io::Result<Running> {
        let (ended, running) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("livekit-worker".into()).spawn(move || {
            runtime.block_on(self.run());
            // Nobody waits any more if the worker was dropped.
            let _ = ended.send(());
        })?;
        Ok(Running(running))
    }

    /// Runs until `cancel` fires or registering is hopeless.
    async fn run(mut self) {
        let cancel = self.cancel.clone();
        let _ = cancel.run_until_cancelled(self.keep_registered()).await;
    }

    async fn keep_registered(&mut self) {
        let (mut ever, mut refusal_told) = (false, false);
        let mut attempt = 0;
        loop {
            match self.register().await {
                Ok(Registered { mut socket, worker_id, early }) => {
                    (ever, refusal_told) = (true, false);
                    let since = Instant::now();
                    while self.outgoing.try_recv().is_ok() {}
                    if self.events.send(LinkEvent::Up(worker_id)).await.is_err() {
                        return;
                    }
                    let error = self.converse(&mut socket, early).await;
                    tracing::warn!(%error, "the worker's connection is lost");
                    // The runner must be able to go on until it hears that we are down.
                    while self.outgoing.try_recv().is_ok() {}
                    socket.close().await;
                    // A server that registers and drops at once is not hammered.
                    attempt = if since.elapsed() > BACKOFF_MAX { 0 } else { attempt + 1 };
                    if self.events.send(LinkEvent::Down).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !ever && self.is_fatal(&error) {
                        let _ = self.events.send(LinkEvent::Fatal(error)).await;
                        return;
                    }
                    complain(&error, attempt, &mut refusal_told);
                    attempt += 1;
                }
            }
            // What the runner sends before it hears that we are down is of no use to anybody.
            let discard = async { while self.outgoing.recv().await.is_some() {} };
            let wait = tokio::time::sleep(backoff(attempt));
            tokio::select! {
                () = wait => {}
                () = discard => return,
            }
        }
    }

    fn is_fatal(&self, error: &WorkerError) -> bool {
        match self.options.first_registration {
            FirstRegistration::FailFast => true,
            FirstRegistration::KeepTrying => matches!(error, WorkerError::Unauthorized { .. }),
        }
    }

    async fn register(&self) -> Result<Registered, WorkerError> {
        let url = self.url.to_string();
        let unreachable = |reason: String| WorkerError::Unreachable { url: url.clone(), reason };
        let registered = tokio::time::timeout(REGISTER_TIMEOUT, async {
            let mut socket = handshake(&self.url, &self.options.credentials).await.map_err(|error| match error {
                HandshakeError::Unauthorized => WorkerError::Unauthorized { url: url.clone() },
                HandshakeError::Status(_) => WorkerError::Refused { url: url.clone(), reason: error.to_string() },
                error => unreachable(error.to_string()),
            })?;
            let (worker_id, early) = self.introduce(&mut socket).await.map_err(|error| unreachable(error.to_string()))?;
            Ok(Registered { socket, worker_id, early })
        });
        registered.await.unwrap_or_else(|_| Err(unreachable("no answer to the registration in time".to_owned())))
    }

    /// Registers, and pings: the server answers a registration before it lists the worker, but a ping only afterwards, so
    /// that whoever dispatches once we say that we are registered does find us.
    async fn introduce(&self, socket: &mut WorkerSocket) -> Result<(String, Vec<FromServer>), SocketError> {
        socket.send(ToServer::Register(self.registration())).await?;
        let worker_id = loop {
            if let FromServer::Register(registered) = socket.next().await? {
                break registered.worker_id;
            }
        };
        socket.send(ToServer::Ping(proto::WorkerPing { timestamp: unix_ms() })).await?;
        let mut early = Vec::new();
        loop {
            match socket.next().await? {
                FromServer::Pong(_) => return Ok((worker_id, early)),
                message => early.push(message),
            }
            if early.len() == EARLY_MAX {
                return Ok((worker_id, early));
            }
        }
    }

    fn registration(&self) -> proto::RegisterWorkerRequest {
        proto::RegisterWorkerRequest {
            r#type: self.options.kind.to_proto() as i32,
            agent_name: self.options.agent_name.clone(),
            version: self.options.version.clone(),
            ping_interval: u32::try_from(PING_INTERVAL.as_secs()).unwrap_or(10),
            namespace: self.options.namespace.clone(),
            allowed_permissions: Some(self.options.permissions.to_proto()),
            ..Default::default()
        }
    }

    /// The refusal of an offer that the runner is not able to answer.
    fn refusal(&mut self, message: &FromServer) -> Option<ToServer> {
        let FromServer::Availability(offer) = message else { return None };
        self.deputy.offered(&offer.job.as_ref()?.id, std::time::Instant::now())
    }

    /// Gives the runner a message of the server, or answers in its place.
    async fn take(&mut self, socket: &mut WorkerSocket, message: FromServer) -> Result<(), SocketError> {
        if let Some(refusal) = self.refusal(&message) {
            return socket.send(refusal).await;
        }
        self.events.send(LinkEvent::Message(Box::new(message))).await.map_err(|_| SocketError::Closed)
    }

    /// Passes messages both ways until the connection fails; `early` came while it was registered.
    async fn converse(&mut self, socket: &mut WorkerSocket, early: Vec<FromServer>) -> SocketError {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut heard = Instant::now();
        self.deputy.begin();
        for message in early {
            if let Err(error) = self.take(socket, message).await {
                return error;
            }
        }
        loop {
            let sent = tokio::select! {
                message = socket.next() => {
                    heard = Instant::now();
                    match message {
                        Err(error) => return error,
                        Ok(FromServer::Pong(_)) => Ok(()),
                        Ok(message) => self.take(socket, message).await,
                    }
                }
                Some(message) = self.outgoing.recv() => {
                    if self.deputy.passes(&message) { socket.send(message).await } else { Ok(()) }
                }
                _ = look.tick() => send_all(socket, self.deputy.look(std::time::Instant::now())).await,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return SocketError::Stuck;
                    }
                    socket.send(ToServer::Ping(proto::WorkerPing { timestamp: unix_ms() })).await
                }
            };
            if let Err(error) = sent {
                return error;
            }
        }
    }
}

async fn send_all(socket: &mut WorkerSocket, messages: Vec<ToServer>) -> Result<(), SocketError> {
    for message in messages {
        socket.send(message).await?;
    }
    Ok(())
}

/// Says why there is no registration yet. What only the operator can mend is an error, told once an outage.
fn complain(error: &WorkerError, attempt: u32, refusal_told: &mut bool) {
    match error {
        WorkerError::Unauthorized { .. } if !std::mem::replace(refusal_told, true) => {
            tracing::error!(%error, "registering with LiveKit failed; it is tried again");
        }
        WorkerError::Unauthorized { .. } => tracing::debug!(%error, attempt, "registering with LiveKit failed again"),
        _ => tracing::warn!(%error, attempt, "registering with LiveKit failed; it is tried again"),
    }
}

/// Wait before attempt number `attempt`, with a quarter of jitter so that many workers do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let wait = BACKOFF_FIRST.saturating_mul(1 << attempt.min(10)).min(BACKOFF_MAX);
    wait.mul_f64(rand::rng().random_range(0.75..=1.0))
}

fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_refusal_is_told_once_and_says_what_to_do() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(writer)).finish();
        // With only one dispatcher, a log site that another thread reaches first would be judged by that thread's, which is none.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(subscriber, || {
            let (error, mut told) = (WorkerError::Unauthorized { url: "ws://server".into() }, false);
            (0..5).for_each(|attempt| complain(&error, attempt, &mut told));
        });
        let log = std::io::read_to_string(reader).expect("text");
        assert_eq!(log.lines().count(), 1, "{log}");
        for word in ["ERROR", "ws://server", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] {
            assert!(log.contains(word), "{log}");
        }
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        for attempt in 0..40 {
            let wait = backoff(attempt);
            assert!(wait <= BACKOFF_MAX && wait >= BACKOFF_FIRST.mul_f64(0.75), "{attempt}: {wait:?}");
        }
    }
}
