//! Who is heard, and which calls are offered: the endpoint's door.

use std::net::SocketAddr;
use std::sync::Arc;

use frontdesk_telephony::sip::{Admission, Invite, Refusal, Transport};
use ipnet::IpNet;

use crate::rules::{NoRoute, Rules};

/// Asks the rules.
pub(crate) struct Gate {
    pub(crate) rules: Arc<Rules>,
    pub(crate) allowed_networks: Vec<IpNet>,
}

impl Admission for Gate {
    fn source(&self, source: SocketAddr, _transport: Transport) -> bool {
        let address = source.ip().to_canonical();
        if self.allowed_networks.is_empty() {
            return self.rules.admits(address);
        }
        self.allowed_networks.iter().any(|network| network.contains(&address))
    }

    fn invite(&self, invite: &Invite) -> Result<(), Refusal> {
        self.rules.route(invite.source.ip(), &invite.request_uri.user).map(drop).map_err(refusal)
    }
}

/// What a caller without a route is told.
pub(crate) fn refusal(no_route: NoRoute) -> Refusal {
    match no_route {
        NoRoute::ForeignSource => Refusal::new(403),
        NoRoute::UnknownNumber => Refusal::new(404),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(allowed: &[&str]) -> Gate {
        let rules = toml::from_str(
            "[[trunk]]\nid = \"t\"\nnumbers = [\"1\"]\nallowed_addresses = [\"192.0.2.0/24\"]\n\
             [[rule]]\nid = \"r\"\nroom_prefix = \"call\"\nagent_name = \"a\"\n",
        );
        let networks = allowed.iter().map(|network| network.parse().unwrap());
        Gate { rules: Arc::new(rules.unwrap()), allowed_networks: networks.collect() }
    }

    fn heard(gate: &Gate, address: &str) -> bool {
        gate.source(address.parse().unwrap(), Transport::Udp)
    }

    #[test]
    fn strangers_are_not_heard_unless_their_network_is_allowed() {
        let strict = gate(&[]);
        assert!(heard(&strict, "192.0.2.1:5060") && heard(&strict, "[::ffff:192.0.2.1]:5060"));
        assert!(!heard(&strict, "198.51.100.1:5060"));
        let wide = gate(&["198.51.100.0/24"]);
        assert!(heard(&wide, "198.51.100.1:5060") && !heard(&wide, "192.0.2.1:5060"));
    }

    #[test]
    fn refusals_have_their_status() {
        assert_eq!(refusal(NoRoute::ForeignSource).status, 403);
        assert_eq!(refusal(NoRoute::UnknownNumber).status, 404);
    }
}
