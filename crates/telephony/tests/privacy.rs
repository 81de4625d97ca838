//! No telephone number and no name reaches a log, at any level, whatever happens to a call.
//!
//! A program of its own: whether a place in the code logs is remembered for the whole process, so that tests beside this
//! one could silence what it looks at.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[expect(dead_code, reason = "the other test program uses all of it")]
#[path = "telephony/common.rs"]
mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frontdesk_telephony::sip::{DialogEvent, OutgoingInvite, Refusal, Transport};
use tracing_subscriber::fmt::MakeWriter;

use common::{Line, Peer, answer, call_to, endpoint, offer, soon};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn numbers_and_names_stay_out_of_the_log() {
    let log = Log::default();
    tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).with_max_level(tracing::Level::TRACE).init();

    let (a, _) = endpoint().await;
    let (b, mut calls) = endpoint().await;
    let invite =
        OutgoingInvite { from: "\"Canary Caller\" <sip:+15551110001@example.com>".to_owned(), ..call_to(b.local_addr(), Transport::Udp) };
    tracing::info!(?invite, "placed");
    let mut outgoing = a.invite(invite.clone()).await.unwrap();
    let call = soon("the call", calls.next()).await.unwrap();
    tracing::info!(?call, from = ?call.invite().from, to = ?call.invite().to, uri = ?call.invite().request_uri, "offered");
    let mut dialog = call.answer(answer(&offer(4000), 4002)).await.unwrap();
    soon("the answer", outgoing.answered()).await.unwrap().0.hangup().await;
    while !matches!(soon("the end", dialog.next_event()).await, DialogEvent::Ended(_)) {}

    let mut outgoing = a.invite(invite).await.unwrap();
    soon("the call", calls.next()).await.unwrap().reject(Refusal::new(404)).await.unwrap();
    let _refused = soon("the refusal", outgoing.answered()).await;

    let peer = Peer::new().await;
    let good = peer.request(&Line::new("INVITE", "x", 1)).replace("sip:caller", "sip:+15551110001").replace("sip:desk", "sip:+15551110002");
    for text in [
        good.replace("CSeq: 1", "CSeq: x"),
        good.replace("<sip:+1555111", "<<sip:+1555111"),
        good.replace("SIP/2.0\r\nVia", "SIP/2.0  \r\nVia"),
        good.replace("Content-Length: 0", "Content-Length: 99"),
        good.replace("INVITE", "MESSAGE"),
        good.replace("Contact", "X-Contact"),
        good,
    ] {
        peer.send(b.local_addr(), &text).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    b.shutdown(Duration::from_secs(1)).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("offered") && text.contains("malformed datagram"), "the log is being written:\n{text}");
    // Long enough to stand in no time of day, port or address of memory by chance.
    for canary in ["+1555", "1110001", "1110002", "Canary"] {
        let found: Vec<&str> = text.lines().filter(|line| line.contains(canary)).collect();
        assert!(found.is_empty(), "{canary}: {found:?}");
    }
}
