//! What a bridge is told when it starts.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_telephony::sip::SipTimers;
use ipnet::IpNet;

use crate::announcement::Announcements;
use crate::rules::Rules;

/// Settings of a [`Bridge`](crate::Bridge).
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Address for SIP over UDP and TCP, and for RTP; port 0 takes any.
    pub listen: SocketAddr,
    /// The address that peers are told for SIP and RTP, where it differs from the one listened on (NAT). With an unspecified
    /// `listen` and none given, each caller is told the local address that the route to it uses.
    pub advertised_address: Option<IpAddr>,
    /// UDP ports for RTP, an even one and the next for each call; `0..=0` takes any.
    pub rtp_ports: RangeInclusive<u16>,
    /// Calls at once; one more is answered 486.
    pub max_calls: usize,
    /// Trunks and dispatch rules.
    pub rules: Rules,
    /// Networks whose requests are read at all: others get no answer. Empty: the trunks' own networks. A source that is read
    /// but belongs to no trunk gets 403.
    pub allowed_networks: Vec<IpNet>,
    /// Where the rooms are.
    pub livekit: LiveKitServer,
    /// How long things may take.
    pub waits: Waits,
    /// What callers hear when no agent can be had.
    pub announcements: Announcements,
    /// SIP's round-trip estimates; the defaults suit every trunk.
    pub sip_timers: SipTimers,
}

impl BridgeConfig {
    /// Defaults for a bridge on an address: any RTP ports, 100 calls, the trunks' networks.
    #[must_use]
    pub fn new(listen: SocketAddr, rules: Rules, livekit: LiveKitServer) -> Self {
        Self {
            listen,
            advertised_address: None,
            rtp_ports: 0..=0,
            max_calls: 100,
            rules,
            allowed_networks: Vec::new(),
            livekit,
            waits: Waits::default(),
            announcements: Announcements::default(),
            sip_timers: SipTimers::default(),
        }
    }
}

/// A LiveKit server.
#[derive(Debug, Clone)]
pub struct LiveKitServer {
    /// `ws://`, `wss://`, `http://` or `https://` address.
    pub url: String,
    /// API key and secret.
    pub credentials: Credentials,
}

/// How long a call waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// For the server to let the caller into the room; beyond, the call is answered 503.
    pub join: Duration,
    /// For a dispatched agent's audio, before an agent is dispatched again.
    pub agent: Duration,
    /// How often an agent is dispatched again, in ringing and after each loss.
    pub redispatches: u32,
    /// Longest ringing; then the caller hears the announcement.
    pub ring_max: Duration,
    /// Longest time without an agent in an answered call; then the caller hears the announcement.
    pub absence_max: Duration,
    /// For the next sign of life of an agent that gives any (ours do, twice a second), or the next packet of one that sends even
    /// when it is silent, before it counts as vanished. LiveKit takes 20 s to notice that an agent's process was killed.
    pub agent_stall: Duration,
    /// For the media connections with the room to come up, or back; then the room counts as lost.
    pub room_media: Duration,
    /// For the room to be deleted, after an agent has left in good order; only then is another one dispatched. Agents that hang
    /// up leave and delete the room, in either order.
    pub orderly_leave: Duration,
    /// For the agent to end the room, after the caller has left; then it is deleted.
    pub room_linger: Duration,
    /// For the first packet of the caller.
    pub first_packet: Duration,
    /// For the next packet of the caller.
    pub silence: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            join: Duration::from_secs(4),
            agent: Duration::from_secs(5),
            redispatches: 2,
            ring_max: Duration::from_secs(18),
            absence_max: Duration::from_secs(15),
            agent_stall: Duration::from_secs(3),
            room_media: Duration::from_secs(4),
            orderly_leave: Duration::from_millis(300),
            room_linger: Duration::from_secs(5),
            first_packet: Duration::from_secs(30),
            silence: Duration::from_secs(15),
        }
    }
}
