//! A network between participants and a LiveKit server on loopback that can be cut, or lose and delay packets.
//!
//! Signalling and API are TCP to one port, and easily relayed. Media goes straight to addresses that the server names in its
//! signalling, so this relay reads along: it puts an address of its own in the place of each of the server's candidates, and keeps
//! those of the participant to itself, so that neither can reach the other but through here.
//!
//! A cut loses what is sent, as a pulled cable does: no connection is reset, and what TCP carries comes late.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

mod candidates;
mod datagrams;
mod signals;
mod streams;

/// Addresses of a server that are relayed at most.
const RELAYS_MAX: usize = 1024;
/// Always the same packets are lost and late, as far as they are sent in the same order.
const SEED: u64 = 7;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the network does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// Nothing passes, in either direction.
    pub is_cut: bool,
    /// No datagram passes; streams do. What firewalls that know only the web do.
    pub blocks_udp: bool,
    /// Streams of media's open, and then nothing passes. What some proxies do.
    pub swallows_media_streams: bool,
    /// Of a hundred datagrams, so many are lost, at random.
    pub loss_percent: u8,
    /// Each datagram is late by a random time of at most this.
    pub jitter: Duration,
}

/// Where a server's TURN server over streams is, of which the server says that it is at port 443.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnServer {
    /// On 127.0.0.1.
    pub port: u16,
    /// Whether it speaks TLS; participants are told so.
    pub tls: bool,
}

/// See the module's documentation. Ends with its value.
#[derive(Debug)]
pub struct Network {
    port: u16,
    weather: watch::Sender<Weather>,
    relay: Arc<Relay>,
    _stop: DropGuard,
}

/// What the relay's tasks share.
#[derive(Debug)]
struct Relay {
    server_port: u16,
    turn: Option<TurnServer>,
    /// Streams of media's that have been opened, and how often all of them were broken.
    media_streams: AtomicUsize,
    breaks: watch::Sender<u32>,
    weather: watch::Receiver<Weather>,
    /// By protocol and the server's address.
    relays: Mutex<HashMap<(candidates::Protocol, SocketAddr), SocketAddr>>,
    chance: Mutex<StdRng>,
    stop: CancellationToken,
}

impl Network {
    /// A network in fine weather before the server that signals on this port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn before(server_port: u16) -> io::Result<Self> {
        Self::before_both(server_port, None).await
    }

    /// The same, with a TURN server over streams.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn before_both(server_port: u16, turn: Option<TurnServer>) -> io::Result<Self> {
        let listener = TcpListener::bind(LOOPBACK).await?;
        let port = listener.local_addr()?.port();
        let (sender, weather) = watch::channel(Weather::default());
        let stop = CancellationToken::new();
        let chance = Mutex::new(StdRng::seed_from_u64(SEED));
        let relay = Arc::new(Relay {
            server_port,
            turn,
            media_streams: AtomicUsize::new(0),
            breaks: watch::Sender::new(0),
            weather,
            relays: Mutex::default(),
            chance,
            stop: stop.clone(),
        });
        let accepting = Arc::clone(&relay);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relay = Arc::clone(&accepting);
                let stop = relay.stop.clone();
                tokio::spawn(stop.run_until_cancelled_owned(async move { relay.carry(client).await }));
            }
        }));
        Ok(Self { port, weather: sender, relay, _stop: stop.drop_guard() })
    }

    /// The server's address through this network.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Loses everything from now on.
    pub fn cut(&self) {
        self.set(Weather { is_cut: true, ..Weather::default() });
    }

    /// Streams of media's that have been opened since the beginning.
    #[must_use]
    pub fn media_streams(&self) -> usize {
        self.relay.media_streams.load(Ordering::Relaxed)
    }

    /// Ends the streams of media's that are open now.
    pub fn break_media_streams(&self) {
        self.relay.breaks.send_modify(|count| *count += 1);
    }

    /// Lets everything through from now on.
    pub fn mend(&self) {
        self.set(Weather::default());
    }
}

impl Relay {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        self.passes().await;
        // Whoever breaks it, both sides see it.
        let _ended = match signals::head(&client).await {
            Some(head) => signals::carry(&self, client, &head).await,
            None => streams::carry(&self, client, SocketAddr::from((Ipv4Addr::LOCALHOST, self.server_port))).await,
        };
    }

    /// Waits while the network is cut.
    async fn passes(&self) {
        let mut weather = self.weather.clone();
        // The sender goes with the network, and this task with it.
        let _is_gone = weather.wait_for(|weather| !weather.is_cut).await.is_err();
    }

    fn relays(&self) -> MutexGuard<'_, HashMap<(candidates::Protocol, SocketAddr), SocketAddr>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How late a datagram comes; `None` if it is lost.
    fn fate(&self) -> Option<Duration> {
        let weather = *self.weather.borrow();
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = chance.random_range(0..100) < weather.loss_percent;
        let late = weather.jitter.mul_f64(chance.random());
        (!weather.is_cut && !weather.blocks_udp && !is_lost).then_some(late)
    }

    /// Where this network takes what is meant for an address of the server.
    fn instead_of(self: &Arc<Self>, protocol: candidates::Protocol, server: SocketAddr) -> Option<SocketAddr> {
        let mut relays = self.relays();
        if let Some(relay) = relays.get(&(protocol, server)) {
            return Some(*relay);
        }
        if relays.len() >= RELAYS_MAX {
            return None;
        }
        let relay = match protocol {
            candidates::Protocol::Udp => datagrams::start(self, server),
            candidates::Protocol::Tcp => streams::start(self, server),
        };
        let relay = relay.inspect_err(|error| tracing::warn!(%error, "an address of the server is not relayed")).ok()?;
        relays.insert((protocol, server), relay);
        Some(relay)
    }

    /// What the server says, with this network's addresses instead of its own.
    fn move_servers(self: &Arc<Self>, message: &mut Response) {
        let place = |protocol, server| self.instead_of(protocol, server);
        match message {
            Response::Join(join) => {
                for url in join.ice_servers.iter_mut().flat_map(|server| &mut server.urls) {
                    self.move_turn_server(url);
                }
            }
            Response::Offer(description) | Response::Answer(description) => {
                description.sdp = candidates::in_description(&description.sdp, place);
            }
            Response::Trickle(trickle) => trickle.candidate_init = candidates::in_trickle(&trickle.candidate_init, place),
            _ => {}
        }
    }
}

impl Relay {
    /// A TURN server over streams is where it is.
    fn move_turn_server(self: &Arc<Self>, url: &mut String) {
        let Some(turn) = self.turn.filter(|_| url.starts_with("turns:")) else { return };
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, turn.port));
        if let Some(relay) = self.instead_of(candidates::Protocol::Tcp, server) {
            let scheme = if turn.tls { "turns" } else { "turn" };
            *url = format!("{scheme}:localhost:{}?transport=tcp", relay.port());
        }
    }
}

/// What a participant says, without its addresses; `None` if nothing is left of it.
fn from_participant(message: &mut Request) -> Option<()> {
    match message {
        Request::Offer(description) | Request::Answer(description) => {
            description.sdp = candidates::in_description(&description.sdp, |_, _| None);
        }
        Request::Trickle(_) => return None,
        _ => {}
    }
    Some(())
}
