//! A LiveKit server's side of the worker protocol, for what a real server does not do on demand.

use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::within;

pub struct Endpoint(TcpListener);

/// A worker that has registered.
pub struct Registered {
    socket: WebSocketStream<TcpStream>,
    pub registration: proto::RegisterWorkerRequest,
}

impl Endpoint {
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.0.local_addr().expect("an address"))
    }

    /// The next worker that registers.
    pub async fn registered(&self) -> Registered {
        within("a worker's registration", async {
            let (stream, _) = self.0.accept().await.expect("a connection");
            let socket = tokio_tungstenite::accept_async(stream).await.expect("a handshake");
            let mut registered = Registered { socket, registration: proto::RegisterWorkerRequest::default() };
            let ToServer::Register(registration) = registered.receive().await else { panic!("registering comes first") };
            registered.registration = registration;
            registered.send(FromServer::Register(proto::RegisterWorkerResponse { worker_id: "AW_1".into(), ..Default::default() })).await;
            registered
        })
        .await
    }
}

impl Registered {
    async fn receive(&mut self) -> ToServer {
        loop {
            let frame = self.socket.next().await.expect("the worker is there").expect("a frame");
            let Message::Binary(bytes) = frame else { continue };
            return proto::WorkerMessage::decode(&bytes[..]).expect("a message").message.expect("not empty");
        }
    }

    /// The next message but pings, which are answered.
    pub async fn next(&mut self) -> ToServer {
        within("a message of the worker", async {
            loop {
                match self.receive().await {
                    ToServer::Ping(ping) => self.send(FromServer::Pong(pong(ping.timestamp))).await,
                    message => return message,
                }
            }
        })
        .await
    }

    /// The first message that `pick` takes; others are passed over.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(ToServer) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.next().await) {
                return found;
            }
        }
    }

    pub async fn send(&mut self, message: FromServer) {
        let bytes = proto::ServerMessage { message: Some(message) }.encode_to_vec();
        self.socket.send(Message::Binary(bytes.into())).await.expect("sent");
    }

    pub async fn offer(&mut self, job: &proto::Job) {
        self.send(FromServer::Availability(proto::AvailabilityRequest { job: Some(job.clone()), resuming: false })).await;
    }

    pub async fn answer(&mut self) -> proto::AvailabilityResponse {
        self.find(|message| match message {
            ToServer::Availability(answer) => Some(answer),
            _ => None,
        })
        .await
    }

    pub async fn assign(&mut self, job: &proto::Job) {
        let assignment = proto::JobAssignment { job: Some(job.clone()), url: None, token: "token".into() };
        self.send(FromServer::Assignment(assignment)).await;
    }

    /// Waits until the worker says that it is full, or that it is not.
    pub async fn told(&mut self, status: proto::WorkerStatus) -> proto::UpdateWorkerStatus {
        self.find(|message| match message {
            ToServer::UpdateWorker(update) if update.status == Some(status as i32) => Some(update),
            _ => None,
        })
        .await
    }
}

fn pong(timestamp: i64) -> proto::WorkerPong {
    proto::WorkerPong { last_timestamp: timestamp, timestamp }
}

pub fn job(id: &str, room: &str) -> proto::Job {
    let room = proto::Room { name: room.into(), sid: "RM_1".into(), ..Default::default() };
    proto::Job { id: id.into(), room: Some(room), ..Default::default() }
}
