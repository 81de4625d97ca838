//! A call in the middle of noise: 12,000 datagrams of every length from 0 to 1500 bytes, at SIP and at RTP; and a flood.

use std::net::SocketAddr;
use std::time::Duration;

use frontdesk_telephony::rtp::{MediaPorts, RtpEvent, RtpEvents, RtpOptions, RtpSession};
use frontdesk_telephony::sdp::{self, LocalMedia};
use frontdesk_telephony::sip::{DialogEvent, EndReason, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::common::{LOCAL, Line, Peer, answer, call_to, endpoint, offer, soon};

const DATAGRAMS: usize = 12_000;

/// Frames with speech among what was heard.
async fn loud_frames(events: &mut RtpEvents, wanted: usize) -> usize {
    let mut loud = 0;
    let count = async {
        while loud < wanted {
            match events.recv().await {
                Some(RtpEvent::Audio(frame)) if frame.samples.iter().any(|sample| sample.unsigned_abs() > 1000) => loud += 1,
                Some(_) => {}
                None => return,
            }
        }
    };
    let _late = timeout(Duration::from_secs(15), count).await;
    loud
}

fn noise(rng: &mut StdRng, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n % 1501];
    rng.fill(bytes.as_mut_slice());
    match n % 4 {
        // Some begin like what is expected there.
        0 if bytes.len() > 12 => {
            bytes[0] = 0x80;
            bytes[1] = [0, 8, 13, 101][n / 4 % 4];
        }
        1 => bytes.splice(0..bytes.len().min(30), b"INVITE sip:x@y SIP/2.0\r\nVia: ".iter().copied()).for_each(drop),
        _ => {}
    }
    bytes
}

#[tokio::test]
async fn a_call_goes_on_through_twelve_thousand_datagrams_of_noise() {
    let (a, _) = endpoint().await;
    let (b, mut calls) = endpoint().await;
    let ports = MediaPorts::ephemeral(LOCAL);
    let (socket_a, socket_b) = (ports.bind().await.unwrap(), ports.bind().await.unwrap());
    let rtp_b: SocketAddr = socket_b.local_addr();
    let (media_a, media_b) = (LocalMedia::new(socket_a.local_addr()), LocalMedia::new(rtp_b));

    let mut invite = call_to(b.local_addr(), Transport::Udp);
    invite.session = sdp::offer(&media_a);
    let mut outgoing = a.invite(invite).await.unwrap();
    let incoming = soon("the call", calls.next()).await.unwrap();
    let agreed = sdp::answer(incoming.invite().offer.as_ref().unwrap(), &media_b).unwrap();
    let (stream_b, mut heard_b) = RtpSession::start(socket_b, &agreed.remote, LOCAL, RtpOptions::default());
    let mut callee = incoming.answer(agreed.session).await.unwrap();
    let (caller, answer) = soon("the answer", outgoing.answered()).await.unwrap();
    let remote = sdp::accept_answer(&media_a, &answer.unwrap()).unwrap();
    let (stream_a, _heard_a) = RtpSession::start(socket_a, &remote, LOCAL, RtpOptions::default());

    let speaker = tokio::spawn(async move { while stream_a.write(&[8000; 160]).await.is_ok() {} });
    assert_eq!(loud_frames(&mut heard_b, 10).await, 10);
    let (sip, rtp) = (b.local_addr(), rtp_b);
    let attacker = tokio::spawn(async move {
        let socket = UdpSocket::bind((LOCAL, 0)).await.unwrap();
        let mut rng = StdRng::seed_from_u64(4475);
        for n in 0..DATAGRAMS {
            socket.send_to(&noise(&mut rng, n), if n % 2 == 0 { sip } else { rtp }).await.unwrap();
            if n % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let heard = loud_frames(&mut heard_b, 60).await;
    soon("the noise", attacker).await.unwrap();
    assert_eq!(heard, 60);
    let stats = stream_b.stats().received;
    assert_eq!(stats.concealed, 0, "{stats:?}");
    assert!(stats.strangers + stats.malformed > 0, "{stats:?}");
    let stats = b.stats().await;
    assert_eq!((stats.calls, stats.offered), (1, 1));
    assert!(stats.malformed + stats.rate_limited > 0, "{stats:?}");

    speaker.abort();
    soon("hang-up", caller.hangup()).await;
    let end = loop {
        if let DialogEvent::Ended(reason) = soon("the end", callee.next_event()).await {
            break reason;
        }
    };
    assert_eq!(end, EndReason::RemoteHangup);
}

#[tokio::test]
async fn a_caller_gets_through_a_flood_within_a_second() {
    let (endpoint, mut calls) = endpoint().await;
    let target = endpoint.local_addr();
    let flood = tokio::spawn(async move {
        let flooder = Peer::new().await;
        let request = flooder.request(&Line::new("REGISTER", "flood", 1));
        for n in 0_u64.. {
            flooder.send(target, &request.replace("z9hG4bKflood", &format!("z9hG4bK{n}"))).await;
            if n % 100 == 99 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..5 {
        let peer = Peer::new().await;
        let body = offer(4000).to_string();
        let invite = peer.request(&Line { body: &body, ..Line::new("INVITE", "inv", 1) });
        peer.send(target, &invite).await;
        // The network may lose an INVITE in a flood; T1 later it comes again, as RFC 3261 has it.
        let call = match timeout(Duration::from_millis(500), calls.next()).await {
            Ok(call) => call,
            Err(_) => {
                peer.send(target, &invite).await;
                timeout(Duration::from_millis(500), calls.next()).await.expect("answered within a second")
            }
        }
        .unwrap();
        let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
        drop(call.answer(session).await.unwrap());
        peer.expect("SIP/2.0 200").await;
    }
    let stats = soon("the flood to be noticed", async {
        loop {
            let stats = endpoint.stats().await;
            if stats.rate_limited > 0 {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!flood.is_finished(), "the calls were made during the flood");
    flood.abort();
    // Nothing is kept of the flood: each call has its INVITE and at most its BYE.
    assert!(stats.transactions <= 10, "{stats:?}");
}
