//! How most calls begin.

use frontdesk_bridge::BridgeConfig;
use tokio_util::sync::DropGuard;

use super::{Agent, Desk, Line, Phone, Workers};

/// A call in which the first agent is heard.
pub(crate) struct Talk {
    pub(crate) desk: Desk,
    pub(crate) workers: Workers,
    pub(crate) line: Line,
    pub(crate) agent: Agent,
    pub(crate) speaking: DropGuard,
}

impl Talk {
    pub(crate) async fn begin(adjust: impl FnOnce(&mut BridgeConfig)) -> Self {
        let desk = Desk::start(adjust).await;
        let mut workers = Workers::register(&desk).await;
        let call = Phone::new().await.dial(desk.address()).await;
        let agent = workers.join().await;
        let speaking = agent.speak(440.0).await;
        let mut line = call.answered().await;
        line.hears(440.0).await;
        Self { desk, workers, line, agent, speaking }
    }
}
