//! The core in virtual time: whole calls over a simulated network, and the torture messages.

mod calls;
mod flood;
mod net;
mod torture;

use std::net::SocketAddr;
use std::sync::Arc;

use super::Core;
use crate::sip::config::EndpointConfig;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn core(at: SocketAddr) -> Core {
    core_with(EndpointConfig::new(at))
}

fn core_with(config: EndpointConfig) -> Core {
    let at = config.bind;
    Core::new(Arc::new(config), at.ip().to_string(), at.port())
}
