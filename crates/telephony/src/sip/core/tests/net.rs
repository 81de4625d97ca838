//! Two cores joined by a network that loses and delays datagrams, as a seed decides.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{address, core};
use crate::sdp::{self, LocalMedia, SessionDescription};
use crate::sip::Transport;
use crate::sip::core::Core;
use crate::sip::event::{CallEvent, CallId, EndReason, OutgoingInvite, Output};

/// More steps than any call can take; beyond it two timers chase each other.
const STEPS_MAX: usize = 200_000;

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;

pub(super) struct Net {
    pub(super) now: Duration,
    pub(super) cores: [Core; 2],
    addresses: [SocketAddr; 2],
    rng: StdRng,
    /// Datagrams lost, of a hundred.
    pub(super) loss_percent: u8,
    pub(super) delay_max: Duration,
    under_way: BTreeMap<(Duration, u64), (usize, Bytes)>,
    sent: u64,
    /// Everything sent: when, by whom, first line.
    pub(super) trace: Vec<(Duration, usize, String)>,
    pub(super) incoming: Vec<CallId>,
    pub(super) events: [Vec<(CallId, CallEvent)>; 2],
}

impl Net {
    pub(super) fn new(seed: u64, loss_percent: u8, delay_max: Duration) -> Self {
        let addresses = [address("192.0.2.1:5060"), address("192.0.2.2:5060")];
        Self {
            now: Duration::ZERO,
            cores: addresses.map(core),
            addresses,
            rng: StdRng::seed_from_u64(seed),
            loss_percent,
            delay_max,
            under_way: BTreeMap::new(),
            sent: 0,
            trace: Vec::new(),
            incoming: Vec::new(),
            events: [Vec::new(), Vec::new()],
        }
    }

    /// The caller's call to the callee.
    pub(super) fn invite(&mut self) -> CallId {
        let wanted = OutgoingInvite {
            target: self.addresses[CALLEE],
            transport: Transport::Udp,
            to: "sip:desk@192.0.2.2".to_owned(),
            from: "<sip:caller@192.0.2.1>".to_owned(),
            headers: Vec::new(),
            session: session(4000),
            ring_max: Duration::from_secs(60),
        };
        self.cores[CALLER].invite(self.now, wanted).unwrap()
    }

    /// Lets everything happen up to a time.
    pub(super) fn run_until(&mut self, until: Duration) {
        for _ in 0..STEPS_MAX {
            self.collect();
            let timers = self.cores.iter_mut().filter_map(Core::deadline).min();
            let delivery = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().chain(delivery).min().filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, bytes) = entry.remove();
                let from = self.addresses[1 - to];
                self.cores[to].receive_datagram(self.now, bytes, from);
            }
            for core in &mut self.cores {
                core.handle_timeouts(self.now);
            }
        }
        panic!("the cores do not come to rest: {:?}", &self.trace[self.trace.len() - 10..]);
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn collect(&mut self) {
        for side in [CALLER, CALLEE] {
            while let Some(output) = self.cores[side].poll() {
                match output {
                    Output::Datagram { to, bytes } => self.send(side, to, bytes),
                    Output::Incoming { call, .. } => self.incoming.push(call),
                    Output::Event { call, event } => self.events[side].push((call, event)),
                    Output::Connect { .. } | Output::Write { .. } | Output::Probed { .. } => {}
                }
            }
        }
    }

    fn send(&mut self, side: usize, to: SocketAddr, bytes: Bytes) {
        let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
        self.trace.push((self.now, side, line));
        self.sent += 1;
        if to != self.addresses[1 - side] || self.rng.random_range(0..100) < self.loss_percent {
            return;
        }
        let delay = self.delay_max.mul_f64(self.rng.random::<f64>());
        self.under_way.insert((self.now + delay, self.sent), (1 - side, bytes));
    }

    /// Why a side's call ended, if it has.
    pub(super) fn end_of(&self, side: usize, id: CallId) -> Option<EndReason> {
        self.events[side].iter().find_map(|(call, event)| match event {
            CallEvent::Ended(reason) if *call == id => Some(reason.clone()),
            _ => None,
        })
    }

    /// When a side sent what begins so.
    pub(super) fn times(&self, side: usize, start: &str) -> Vec<Duration> {
        self.trace.iter().filter(|(_, by, line)| *by == side && line.starts_with(start)).map(|(at, ..)| *at).collect()
    }
}

pub(super) fn session(port: u16) -> SessionDescription {
    sdp::offer(&LocalMedia::new(SocketAddr::from(([192, 0, 2, 9], port))))
}
