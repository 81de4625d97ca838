//! A LiveKit server of its own for each test.

use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer};
use tempfile::TempDir;

pub const KEY: &str = "testkey";
pub const SECRET: &str = "a-secret-for-tests-of-thirty-two-or-more-characters";

pub struct Server {
    server: LiveKitServer,
    _log: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// Starts one that differs.
    pub async fn start_with(change: impl FnOnce(&mut LiveKitOptions)) -> Self {
        let log = tempfile::tempdir().expect("a temporary folder");
        let mut options = LiveKitOptions::new(log.path().join("livekit.log"));
        change(&mut options);
        options.api_key = KEY.to_owned();
        options.api_secret = SECRET.to_owned();
        let server = LiveKitServer::start(options).await.unwrap_or_else(|error| panic!("LiveKit server: {error}"));
        Self { server, _log: log }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The port of its TURN server over streams.
    pub fn turn_stream_port(&self) -> u16 {
        self.server.turn_stream_port()
    }

    /// Kills the server at once.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Takes another secret from the next start on.
    pub fn change_secret(&mut self, secret: &str) {
        self.server.change_secret(secret);
    }

    /// Starts (again) under the same ports.
    pub async fn restart(&mut self) {
        self.server.restart().await.unwrap_or_else(|error| panic!("LiveKit server: {error}"));
    }
}
