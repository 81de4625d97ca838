//! Where media is bound, and which servers help it through a NAT.

use std::fmt;
use std::net::{Ipv6Addr, UdpSocket};

use livekit_protocol as proto;
use rtc::peer_connection::configuration::{RTCConfiguration, RTCConfigurationBuilder};
use webrtc::peer_connection::{RTCIceServer, RTCIceTransportPolicy};

use super::options::RoomOptions;
use crate::server_url::{ServerUrl, is_loopback};

/// An address of the documentation's (RFC 3849), which lies behind the default route, if there is one.
const SOMEWHERE: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// An ICE server of LiveKit's that media cannot go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedIceServer {
    /// As LiveKit named it, e.g. `turns:turn.example.org:443?transport=tcp`.
    pub url: String,
    /// Why.
    pub reason: SkipReason,
}

/// Why an ICE server is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// TURN over TCP, which the WebRTC stack does not speak. Give LiveKit a TURN server over UDP.
    TurnOverTcp,
    /// TURN over TLS, of which the same holds.
    TurnOverTls,
    /// A TURN server without a login.
    NoCredentials,
    /// It cannot be reached from loopback, where a server on loopback is reached from.
    OffLoopback,
    /// Neither `stun:` nor `turn:`.
    Unknown,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TurnOverTcp => "TURN over TCP is not supported",
            Self::TurnOverTls => "TURN over TLS is not supported",
            Self::NoCredentials => "TURN without a login",
            Self::OffLoopback => "cannot be reached from loopback",
            Self::Unknown => "neither stun: nor turn:",
        })
    }
}

/// A loopback server sees loopback sockets only; anywhere else the wildcard stands for every interface but loopback.
pub(super) fn udp_addresses(url: &ServerUrl, options: &RoomOptions) -> Vec<String> {
    if !options.udp_addresses.is_empty() {
        return options.udp_addresses.clone();
    }
    let mut addresses = match url.is_loopback() {
        true if url.host_and_port().0.contains(':') => vec!["[::1]:0"],
        true => vec!["127.0.0.1:0"],
        false => vec!["0.0.0.0:0"],
    };
    if !url.is_loopback() && has_ipv6() {
        addresses.push("[::]:0");
    }
    addresses.into_iter().map(str::to_owned).collect()
}

/// Whether there is a way to the IPv6 internet. Nothing is sent.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok_and(|socket| socket.connect(SOMEWHERE).is_ok())
}

/// ICE settings of the join response, and what is of no use in it.
pub(super) fn configuration(
    url: &ServerUrl,
    options: &RoomOptions,
    join: &proto::JoinResponse,
) -> (RTCConfiguration, Vec<SkippedIceServer>) {
    let (servers, skipped) = servers(&join.ice_servers, url.is_loopback());
    let forced = join
        .client_configuration
        .as_ref()
        .is_some_and(|configuration| configuration.force_relay == proto::ClientConfigSetting::Enabled as i32 && !servers.is_empty());
    let policy = if forced || options.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    (RTCConfigurationBuilder::new().with_ice_servers(servers).with_ice_transport_policy(policy).build(), skipped)
}

/// Tells the log what was skipped; loudly if no relay is left that would do.
pub(super) fn warn_of(skipped: &[SkippedIceServer], configuration: &RTCConfiguration) {
    let named = |skipped: &SkippedIceServer| format!("{} ({})", skipped.url, skipped.reason);
    let servers: Vec<String> = skipped.iter().filter(|skipped| skipped.reason != SkipReason::OffLoopback).map(named).collect();
    if servers.is_empty() {
        return;
    }
    let servers = servers.join(", ");
    let has_relay = configuration.ice_servers().iter().flat_map(|server| &server.urls).any(|url| url.starts_with("turn:"));
    if has_relay {
        tracing::info!(servers, "ICE servers of LiveKit's are left out; another TURN server is there");
    } else {
        tracing::warn!(servers, "ICE servers of LiveKit's cannot be used, and there is no other TURN server: UDP must be open to LiveKit");
    }
}

/// Only what the WebRTC stack can use: `stun:` and `turn:` over UDP. One bad entry would make it refuse all.
fn servers(servers: &[proto::IceServer], on_loopback: bool) -> (Vec<RTCIceServer>, Vec<SkippedIceServer>) {
    let mut skipped = Vec::new();
    let mut usable = |server: &proto::IceServer| {
        let mut urls = server.urls.clone();
        urls.retain(|url| match refusal(url, server, on_loopback) {
            Some(reason) => {
                skipped.push(SkippedIceServer { url: url.clone(), reason });
                false
            }
            None => true,
        });
        (!urls.is_empty()).then(|| RTCIceServer { urls, username: server.username.clone(), credential: server.credential.clone() })
    };
    let servers = servers.iter().filter_map(&mut usable).collect();
    (servers, skipped)
}

/// Why an address of a server is of no use, if it is of none.
fn refusal(url: &str, server: &proto::IceServer, on_loopback: bool) -> Option<SkipReason> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let authority = rest.split('?').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    match scheme {
        "turns" => Some(SkipReason::TurnOverTls),
        "turn" if url.contains("transport=tcp") => Some(SkipReason::TurnOverTcp),
        "turn" if server.username.is_empty() || server.credential.is_empty() => Some(SkipReason::NoCredentials),
        // There is no NAT before a server on loopback that STUN would help with.
        "stun" if on_loopback => Some(SkipReason::OffLoopback),
        "turn" if on_loopback && !is_loopback(host) => Some(SkipReason::OffLoopback),
        "turn" | "stun" => None,
        _ => Some(SkipReason::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, login: &str) -> proto::IceServer {
        proto::IceServer { urls: vec![url.into()], username: login.into(), credential: login.into() }
    }

    fn taken(all: &[proto::IceServer], on_loopback: bool) -> Vec<String> {
        servers(all, on_loopback).0.into_iter().flat_map(|server| server.urls).collect()
    }

    #[test]
    fn only_usable_servers_are_taken_and_the_others_named() {
        let all = [
            server("stun:stun.example.org:3478", ""),
            server("turn:turn.example.org:3478?transport=udp", "me"),
            server("turn:turn.example.org:3478?transport=tcp", "me"),
            server("turns:turn.example.org:443?transport=tcp", "me"),
            server("turn:turn.example.org:3478", ""),
            server("nonsense", ""),
        ];
        assert_eq!(taken(&all, false), ["stun:stun.example.org:3478", "turn:turn.example.org:3478?transport=udp"]);
        let reasons: Vec<SkipReason> = servers(&all, false).1.into_iter().map(|skipped| skipped.reason).collect();
        assert_eq!(reasons, [SkipReason::TurnOverTcp, SkipReason::TurnOverTls, SkipReason::NoCredentials, SkipReason::Unknown]);
    }

    #[test]
    fn from_loopback_only_turn_servers_on_loopback_are_reached() {
        let all = [
            server("stun:127.0.0.1:3478", ""),
            server("turn:127.0.0.1:3478?transport=udp", "me"),
            server("turn:[::1]:3478?transport=udp", "me"),
            server("turn:turn.example.org:3478?transport=udp", "me"),
        ];
        assert_eq!(taken(&all, true), ["turn:127.0.0.1:3478?transport=udp", "turn:[::1]:3478?transport=udp"]);
    }

    #[test]
    fn loopback_binds_to_loopback() {
        let mut options = RoomOptions::new("ws://localhost:7880", "");
        let bound = |url: &str, options: &RoomOptions| udp_addresses(&ServerUrl::parse(url).unwrap(), options);
        assert_eq!(bound("ws://localhost:7880", &options), ["127.0.0.1:0"]);
        assert_eq!(bound("ws://[::1]:7880", &options), ["[::1]:0"]);
        assert_eq!(bound("wss://example.livekit.cloud", &options)[0], "0.0.0.0:0");
        options.udp_addresses = vec!["10.0.0.1:0".into()];
        assert_eq!(bound("ws://127.0.0.1:7880", &options), ["10.0.0.1:0"]);
    }
}
