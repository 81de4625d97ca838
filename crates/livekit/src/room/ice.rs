//! Where media is bound, and which servers help it through a NAT.

use livekit_protocol as proto;
use rtc::peer_connection::configuration::{RTCConfiguration, RTCConfigurationBuilder};
use webrtc::peer_connection::{RTCIceServer, RTCIceTransportPolicy};

use super::options::RoomOptions;
use crate::server_url::ServerUrl;

/// A loopback server sees loopback sockets only; anywhere else the wildcard stands for every interface but loopback.
pub(super) fn udp_addresses(url: &ServerUrl, options: &RoomOptions) -> Vec<String> {
    if !options.udp_addresses.is_empty() {
        return options.udp_addresses.clone();
    }
    let address = if url.is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" };
    vec![address.to_owned()]
}

/// ICE settings of the join response. A socket on loopback reaches no STUN or TURN server, and needs none.
pub(super) fn configuration(url: &ServerUrl, join: &proto::JoinResponse) -> RTCConfiguration {
    let servers = if url.is_loopback() { Vec::new() } else { servers(&join.ice_servers) };
    let force_relay = join
        .client_configuration
        .as_ref()
        .is_some_and(|configuration| configuration.force_relay == proto::ClientConfigSetting::Enabled as i32 && !servers.is_empty());
    let policy = if force_relay { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    RTCConfigurationBuilder::new().with_ice_servers(servers).with_ice_transport_policy(policy).build()
}

/// Only what the WebRTC stack can use: `stun:` and `turn:` over UDP. One bad entry would make it refuse all.
fn servers(servers: &[proto::IceServer]) -> Vec<RTCIceServer> {
    servers
        .iter()
        .filter_map(|server| {
            let usable = |url: &&String| url.starts_with("stun:") || (url.starts_with("turn:") && !url.contains("transport=tcp"));
            let urls: Vec<String> = server.urls.iter().filter(usable).cloned().collect();
            let needs_login = urls.iter().any(|url| url.starts_with("turn:"));
            if urls.is_empty() || (needs_login && (server.username.is_empty() || server.credential.is_empty())) {
                return None;
            }
            Some(RTCIceServer { urls, username: server.username.clone(), credential: server.credential.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usable_servers_are_taken() {
        let server = |url: &str, login: &str| proto::IceServer { urls: vec![url.into()], username: login.into(), credential: login.into() };
        let all = [
            server("stun:stun.example.org:3478", ""),
            server("turn:turn.example.org:3478?transport=udp", "me"),
            server("turn:turn.example.org:3478?transport=tcp", "me"),
            server("turns:turn.example.org:443?transport=tcp", "me"),
            server("turn:turn.example.org:3478", ""),
        ];
        let urls: Vec<String> = servers(&all).into_iter().flat_map(|server| server.urls).collect();
        assert_eq!(urls, ["stun:stun.example.org:3478", "turn:turn.example.org:3478?transport=udp"]);
    }

    #[test]
    fn loopback_binds_to_loopback() {
        let options = RoomOptions::new("ws://localhost:7880", "");
        let loopback = ServerUrl::parse(&options.url).unwrap();
        assert_eq!(udp_addresses(&loopback, &options), ["127.0.0.1:0"]);
        let remote = ServerUrl::parse("wss://example.livekit.cloud").unwrap();
        assert_eq!(udp_addresses(&remote, &options), ["0.0.0.0:0"]);
    }
}
