//! ICE candidates (RFC 8839 section 5.1) in descriptions and in trickled JSON.

use std::net::SocketAddr;

/// What a candidate is reached over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// A candidate's text with another address; `None` without one, or if it is malformed.
fn moved(candidate: &str, place: impl Fn(Protocol, SocketAddr) -> Option<SocketAddr>) -> Option<String> {
    let mut fields: Vec<String> = candidate.split(' ').map(str::to_owned).collect();
    let protocol = match fields.get(2)?.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "tcp" => Protocol::Tcp,
        _ => return None,
    };
    let server = SocketAddr::new(fields.get(4)?.parse().ok()?, fields.get(5)?.parse().ok()?);
    let relay = place(protocol, server)?;
    (fields[4], fields[5]) = (relay.ip().to_string(), relay.port().to_string());
    Some(fields.join(" "))
}

/// A description in which every candidate is moved; those that have no place are left out.
pub(super) fn in_description(sdp: &str, place: impl Fn(Protocol, SocketAddr) -> Option<SocketAddr>) -> String {
    let lines = sdp.lines().filter_map(|line| match line.strip_prefix("a=candidate:") {
        Some(_) => moved(line, &place),
        None => Some(line.to_owned()),
    });
    lines.map(|line| line + "\r\n").collect()
}

/// The same for a trickled candidate; one without a place has an empty text, which ends the candidates.
pub(super) fn in_trickle(json: &str, place: impl Fn(Protocol, SocketAddr) -> Option<SocketAddr>) -> String {
    let Ok(mut init) = serde_json::from_str::<serde_json::Value>(json) else { return json.to_owned() };
    let candidate = init["candidate"].as_str().unwrap_or_default();
    init["candidate"] = moved(candidate, place).unwrap_or_default().into();
    init.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &str = "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host";

    fn to_port_9(_: Protocol, server: SocketAddr) -> Option<SocketAddr> {
        (server.port() == 50_000).then(|| SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    #[test]
    fn candidates_are_moved_and_those_without_a_place_left_out() {
        let sdp = format!("v=0\r\na={UDP}\r\na=candidate:1 1 tcp 1 127.0.0.1 7881 typ host tcptype passive\r\na=mid:0\r\n");
        assert_eq!(in_description(&sdp, to_port_9), "v=0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=mid:0\r\n");
        assert_eq!(in_description(&sdp, |_, _| None), "v=0\r\na=mid:0\r\n");
        let moved: serde_json::Value =
            serde_json::from_str(&in_trickle(&format!(r#"{{"candidate":"{UDP}","sdpMid":"0"}}"#), to_port_9)).expect("JSON");
        assert_eq!((moved["candidate"].as_str(), moved["sdpMid"].as_str()), (Some(&*UDP.replace("50000", "9")), Some("0")));
        assert_eq!(in_trickle("nonsense", to_port_9), "nonsense");
    }
}
