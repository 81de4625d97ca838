//! Where media is bound, and which servers help it through a NAT.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use livekit_protocol as proto;
use rtc::peer_connection::configuration::{RTCConfiguration, RTCConfigurationBuilder};
use rustls::ClientConfig;
use webrtc::peer_connection::{RTCIceServer, RTCIceTransportPolicy};

use super::detour::Target;
use super::options::RoomOptions;
use crate::server_url::{ServerUrl, is_loopback, prepare_tls};

/// An address of the documentation's (RFC 3849), which lies behind the default route, if there is one.
const SOMEWHERE: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// TURN servers that are reached through streams at most: LiveKit names one or two.
const STREAM_SERVERS_MAX: usize = 4;

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
    /// TURN over DTLS, which nobody here speaks. Give LiveKit a TURN server over UDP, TCP or TLS.
    TurnOverDtls,
    /// Four TURN servers over TCP or TLS are enough.
    TooMany,
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
            Self::TurnOverDtls => "TURN over DTLS is not supported",
            Self::TooMany => "one TURN server too many over TCP or TLS",
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

/// A TURN server that is reached through a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamServer {
    target: Target,
    username: String,
    credential: String,
}

/// How media finds its way.
#[derive(Clone, Default)]
pub(super) struct IceSettings {
    /// What the WebRTC stack reaches itself.
    udp: Vec<RTCIceServer>,
    /// TURN servers over TCP and TLS.
    pub(super) streams: Vec<StreamServer>,
    relay_only: bool,
    /// TLS towards TURN servers; the system's if there is none.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl IceSettings {
    /// As the stack wants them: each stream as a TURN server over UDP at the address that `placeholder` gives for it.
    pub(super) fn configuration(&self, placeholder: impl Fn(Target) -> Option<SocketAddr>) -> RTCConfiguration {
        let mut servers = self.udp.clone();
        servers.extend(self.streams.iter().filter_map(|server| {
            let urls = vec![format!("turn:{}?transport=udp", placeholder(server.target.clone())?)];
            Some(RTCIceServer { urls, username: server.username.clone(), credential: server.credential.clone() })
        }));
        let policy = if self.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        RTCConfigurationBuilder::new().with_ice_servers(servers).with_ice_transport_policy(policy).build()
    }
}

/// ICE settings of the join response, and what is of no use in it.
pub(super) fn settings(url: &ServerUrl, options: &RoomOptions, join: &proto::JoinResponse) -> (IceSettings, Vec<SkippedIceServer>) {
    let (mut settings, skipped) = servers(&join.ice_servers, url.is_loopback());
    let has_servers = !settings.udp.is_empty() || !settings.streams.is_empty();
    let is_forced = join
        .client_configuration
        .as_ref()
        .is_some_and(|configuration| configuration.force_relay == proto::ClientConfigSetting::Enabled as i32 && has_servers);
    settings.relay_only = is_forced || options.relay_only;
    settings.tls.clone_from(&options.turn_tls);
    if settings.streams.iter().any(|server| server.target.tls) {
        prepare_tls();
    }
    (settings, skipped)
}

/// Tells the log what was skipped.
pub(super) fn warn_of(skipped: &[SkippedIceServer]) {
    let named = |skipped: &SkippedIceServer| format!("{} ({})", skipped.url, skipped.reason);
    let servers: Vec<String> = skipped.iter().filter(|skipped| skipped.reason != SkipReason::OffLoopback).map(named).collect();
    if !servers.is_empty() {
        tracing::warn!(servers = servers.join(", "), "ICE servers of LiveKit's are left out");
    }
}

/// What is of use: `stun:` over UDP, and TURN servers over UDP, TCP and TLS. One bad entry would make the stack refuse all.
fn servers(servers: &[proto::IceServer], on_loopback: bool) -> (IceSettings, Vec<SkippedIceServer>) {
    let (mut settings, mut skipped) = (IceSettings::default(), Vec::new());
    for server in servers {
        for url in &server.urls {
            let (username, credential) = (server.username.clone(), server.credential.clone());
            match (refusal(url, server, on_loopback), stream_target(url)) {
                (Some(reason), _) => skipped.push(SkippedIceServer { url: url.clone(), reason }),
                (None, Some(_)) if settings.streams.len() >= STREAM_SERVERS_MAX => {
                    skipped.push(SkippedIceServer { url: url.clone(), reason: SkipReason::TooMany });
                }
                (None, Some(target)) => settings.streams.push(StreamServer { target, username, credential }),
                (None, None) => settings.udp.push(RTCIceServer { urls: vec![url.clone()], username, credential }),
            }
        }
    }
    (settings, skipped)
}

/// Scheme, host without brackets, port and query of a URL of a STUN or TURN server (RFC 7064, RFC 7065).
fn parts(url: &str) -> (&str, &str, Option<u16>, &str) {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    // The last colon of a bare IPv6 address is no port's.
    let is_bare_v6 = authority.parse::<Ipv6Addr>().is_ok();
    let (host, port) = match authority.rsplit_once(':').filter(|_| !is_bare_v6 && !authority.ends_with(']')) {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    };
    (scheme, host.trim_matches(['[', ']']), port, query)
}

/// Where the stream to a TURN server goes, if one is wanted: `turns` means TLS over TCP unless it says otherwise (RFC 7065 section 3.1).
fn stream_target(url: &str) -> Option<Target> {
    let (scheme, host, port, query) = parts(url);
    let (tls, standard_port) = match (scheme, query) {
        ("turns", _) => (true, 5349),
        ("turn", "transport=tcp") => (false, 3478),
        _ => return None,
    };
    Some(Target { host: host.to_owned(), port: port.unwrap_or(standard_port), tls })
}

/// Why an address of a server is of no use, if it is of none.
fn refusal(url: &str, server: &proto::IceServer, on_loopback: bool) -> Option<SkipReason> {
    let (scheme, host, _, query) = parts(url);
    match scheme {
        "turns" if query == "transport=udp" => Some(SkipReason::TurnOverDtls),
        "turn" | "turns" if server.username.is_empty() || server.credential.is_empty() => Some(SkipReason::NoCredentials),
        // There is no NAT before a server on loopback that STUN would help with.
        "stun" if on_loopback => Some(SkipReason::OffLoopback),
        "turn" | "turns" if on_loopback && !is_loopback(host) => Some(SkipReason::OffLoopback),
        "turn" | "turns" | "stun" => None,
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
        let settings = servers(all, on_loopback).0;
        settings
            .configuration(|target| Some(SocketAddr::from(([192, 0, 2, 1], target.port))))
            .ice_servers()
            .iter()
            .flat_map(|server| server.urls.clone())
            .collect()
    }

    #[test]
    fn only_usable_servers_are_taken_and_the_others_named() {
        let all = [
            server("stun:stun.example.org:3478", ""),
            server("turn:turn.example.org:3478?transport=udp", "me"),
            server("turn:turn.example.org:3478?transport=tcp", "me"),
            server("turns:turn.example.org:443?transport=tcp", "me"),
            server("turns:turn.example.org:443?transport=udp", "me"),
            server("turn:turn.example.org:3478", ""),
            server("nonsense", ""),
        ];
        let urls = [
            "stun:stun.example.org:3478",
            "turn:turn.example.org:3478?transport=udp",
            "turn:192.0.2.1:3478?transport=udp",
            "turn:192.0.2.1:443?transport=udp",
        ];
        assert_eq!(taken(&all, false), urls);
        let reasons: Vec<SkipReason> = servers(&all, false).1.into_iter().map(|skipped| skipped.reason).collect();
        assert_eq!(reasons, [SkipReason::TurnOverDtls, SkipReason::NoCredentials, SkipReason::Unknown]);
        let many = vec![server("turn:turn.example.org?transport=tcp", "me"); STREAM_SERVERS_MAX + 1];
        assert_eq!((taken(&many, false).len(), servers(&many, false).1[0].reason), (STREAM_SERVERS_MAX, SkipReason::TooMany));
    }

    #[test]
    fn streams_go_where_the_url_says() {
        let target = |url: &str| stream_target(url).map(|target| (target.host, target.port, target.tls));
        assert_eq!(target("turns:turn.example.org?transport=tcp"), Some(("turn.example.org".into(), 5349, true)));
        assert_eq!(target("turns:[2001:db8::7]:443"), Some(("2001:db8::7".into(), 443, true)));
        assert_eq!(target("turn:[2001:db8::7]?transport=tcp"), Some(("2001:db8::7".into(), 3478, false)));
        assert_eq!(target("turn:2001:db8::7?transport=tcp"), Some(("2001:db8::7".into(), 3478, false)));
        assert_eq!((target("turn:turn.example.org"), target("stun:turn.example.org")), (None, None));
    }

    #[test]
    fn from_loopback_only_turn_servers_on_loopback_are_reached() {
        let all = [
            server("stun:127.0.0.1:3478", ""),
            server("turn:127.0.0.1:3478?transport=udp", "me"),
            server("turn:[::1]:3478?transport=udp", "me"),
            server("turn:turn.example.org:3478?transport=udp", "me"),
            server("turns:turn.example.org:443?transport=tcp", "me"),
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
