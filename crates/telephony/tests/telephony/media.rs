//! Media over real sockets: every written frame on the wire, keys, hold, intruders, silence.

use std::net::SocketAddr;
use std::time::Duration;

use frontdesk_audio::g711;
use frontdesk_telephony::rtp::packet::{self, Header};
use frontdesk_telephony::rtp::{Digit, MediaPorts, RtpEvent, RtpEvents, RtpOptions, RtpSession};
use frontdesk_telephony::sdp::{Codec, Direction, RemoteMedia};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::common::{LOCAL, soon};

fn remote(address: SocketAddr) -> RemoteMedia {
    RemoteMedia {
        address: Some(address),
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        direction: Direction::SendRecv,
        ptime_ms: 20,
    }
}

/// A session that talks to a bare socket.
async fn session(options: RtpOptions) -> (RtpSession, RtpEvents, UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let media = MediaPorts::ephemeral(LOCAL).bind().await.unwrap();
    let address = media.local_addr();
    let (session, events) = RtpSession::start(media, &remote(socket.local_addr().unwrap()), LOCAL, options);
    (session, events, socket, address)
}

/// Two sessions that talk to each other.
async fn pair(options: RtpOptions) -> [(RtpSession, RtpEvents); 2] {
    let ports = MediaPorts::ephemeral(LOCAL);
    let (a, b) = (ports.bind().await.unwrap(), ports.bind().await.unwrap());
    let (to_a, to_b) = (remote(a.local_addr()), remote(b.local_addr()));
    [RtpSession::start(a, &to_b, LOCAL, options), RtpSession::start(b, &to_a, LOCAL, options)]
}

async fn receive(socket: &UdpSocket) -> (Header, Vec<u8>) {
    let mut buffer = vec![0; 2048];
    let (length, _) = soon("a packet", socket.recv_from(&mut buffer)).await.unwrap();
    let (header, payload) = packet::parse(&buffer[..length]).unwrap();
    (header, payload.to_vec())
}

/// A signal without repetition or silence; its frames differ from each other.
fn signal(samples: usize) -> Vec<i16> {
    (0..samples).map(|n| (2000.0 + 1500.0 * (n as f64 * n as f64 * 1e-7).sin() + (n % 160) as f64) as i16).collect()
}

fn voice(n: u16) -> Vec<u8> {
    let header = Header { payload_type: 0, marker: n == 0, seq: n, timestamp: u32::from(n) * 160, ssrc: 7 };
    packet::write(&header, &g711::encode_ulaw(&[3000; 160]))
}

#[tokio::test]
async fn every_frame_written_is_on_the_wire_whole_once_and_in_order() {
    let (session, _events, socket, _) = session(RtpOptions::default()).await;
    let spoken = signal(160 * 100);
    let writer = {
        let (session, spoken) = (session.clone(), spoken.clone());
        tokio::spawn(async move {
            // Uneven pieces, as a transport brings them; `write` waits for room.
            for piece in spoken.chunks(231) {
                session.write(piece).await.unwrap();
            }
        })
    };
    let expected = g711::encode_ulaw(&spoken);
    let started = Instant::now();
    let (mut sent, mut previous, mut packets) = (Vec::new(), None::<Header>, 0);
    while sent.len() < expected.len() {
        let (header, payload) = receive(&socket).await;
        packets += 1;
        if let Some(previous) = previous {
            assert_eq!(header.seq, previous.seq.wrapping_add(1));
            let step = header.timestamp.wrapping_sub(previous.timestamp);
            assert!(step == 160 || sent.is_empty(), "within speech the timestamps have no gap: {step}");
        }
        previous = Some(header);
        let silence = payload.iter().all(|byte| *byte == 0xff);
        assert!(!silence || sent.is_empty(), "no silence within speech");
        if !silence {
            assert_eq!(header.marker, sent.is_empty());
            sent.extend(payload);
        }
    }
    assert_eq!(sent, expected);
    let pace = started.elapsed().as_secs_f64() / f64::from(packets);
    assert!((0.018..0.030).contains(&pace), "a packet each 20 ms, not {pace}");
    writer.await.unwrap();
    assert_eq!(session.stats().sent.voice, 100);
}

#[tokio::test]
async fn speech_arrives_at_another_session_unchanged() {
    let [(a, _a_events), (b, mut b_events)] = pair(RtpOptions::default()).await;
    let spoken = signal(160 * 100);
    let expected = g711::decode_ulaw(&g711::encode_ulaw(&spoken));
    tokio::spawn({
        let a = a.clone();
        async move { a.write(&spoken).await }
    });
    let mut heard: Vec<i16> = Vec::new();
    soon("the speech", async {
        while heard.len() < expected.len() {
            if let Some(RtpEvent::Audio(frame)) = b_events.recv().await {
                assert_eq!(frame.samples.len(), 160);
                if frame.samples.iter().any(|sample| *sample != 0) {
                    heard.extend(frame.samples);
                }
            }
        }
    })
    .await;
    let stats = b.stats().received;
    assert_eq!(stats.concealed, 0, "{stats:?}");
    assert!(heard == expected, "{stats:?}");
}

#[tokio::test]
async fn keys_go_both_ways() {
    let [(a, mut a_events), (b, mut b_events)] = pair(RtpOptions::default()).await;
    for key in "1*#".chars() {
        a.press(Digit::new(key).unwrap(), 100).await.unwrap();
    }
    b.press(Digit::new('9').unwrap(), 60).await.unwrap();
    let mut keys = String::new();
    soon("the keys", async {
        while keys.len() < 3 {
            if let Some(RtpEvent::Dtmf { digit, duration_ms }) = b_events.recv().await {
                assert_eq!(duration_ms, 100);
                keys.push(digit.key());
            }
        }
        while !matches!(a_events.recv().await, Some(RtpEvent::Dtmf { digit, .. }) if digit.key() == '9') {}
    })
    .await;
    assert_eq!(keys, "1*#");
}

#[tokio::test]
async fn an_intruder_is_neither_heard_nor_answered() {
    let (session, mut events, peer, address) = session(RtpOptions::default()).await;
    let intruder = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    for n in 0..50 {
        peer.send_to(&voice(n), address).await.unwrap();
        receive(&peer).await;
        let forged = packet::write(
            &Header { payload_type: 0, marker: false, seq: n, timestamp: u32::from(n) * 160, ssrc: 7 },
            &g711::encode_ulaw(&[-9000; 160]),
        );
        intruder.send_to(&forged, address).await.unwrap();
    }
    let mut frames = 0;
    while let Ok(Some(event)) = timeout(Duration::from_millis(100), events.recv()).await {
        if let RtpEvent::Audio(frame) = event {
            frames += 1;
            assert!(frame.samples.iter().all(|sample| *sample >= 0), "0 samples of the intruder");
        }
        if frames > 60 {
            break;
        }
    }
    assert!(frames >= 40, "{frames}");
    let mut buffer = [0; 2048];
    let answered = timeout(Duration::from_millis(100), intruder.recv_from(&mut buffer)).await;
    assert!(answered.is_err(), "0 packets to the intruder");
    assert!(session.stats().received.strangers >= 49, "{:?}", session.stats().received);
}

#[tokio::test]
async fn hold_stops_the_stream_and_resume_starts_it_again() {
    let (session, _events, peer, _) = session(RtpOptions::default()).await;
    receive(&peer).await;
    let address = peer.local_addr().unwrap();
    session.update(RemoteMedia { direction: Direction::RecvOnly, address: None, ..remote(address) }).await.unwrap();
    soon("quiet", async {
        let mut buffer = [0; 2048];
        while timeout(Duration::from_millis(200), peer.recv_from(&mut buffer)).await.is_ok() {}
    })
    .await;
    session.update(RemoteMedia { codec: Codec::Pcma, payload_type: 8, ..remote(address) }).await.unwrap();
    assert_eq!(receive(&peer).await.0.payload_type, 8);
    let elsewhere = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    session.update(remote(elsewhere.local_addr().unwrap())).await.unwrap();
    assert_eq!(receive(&elsewhere).await.0.payload_type, 0);
}

#[tokio::test]
async fn a_silent_line_times_out() {
    let options =
        RtpOptions { first_packet_max: Duration::from_millis(200), silence_max: Duration::from_millis(100), ..RtpOptions::default() };
    let (_session, mut events, peer, address) = session(options).await;
    let started = Instant::now();
    assert_eq!(soon("the time-out", events.recv()).await, Some(RtpEvent::TimedOut));
    assert!(started.elapsed() >= Duration::from_millis(190));
    peer.send_to(&voice(0), address).await.unwrap();
    soon("the second time-out", async { while events.recv().await != Some(RtpEvent::TimedOut) {} }).await;
}

#[tokio::test]
async fn the_session_ends_with_its_last_handle_and_says_goodbye() {
    let peer = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let rtcp = soon("a pair of ports", async {
        loop {
            let rtp = UdpSocket::bind((LOCAL, 0)).await.unwrap();
            let next = rtp.local_addr().unwrap().port().wrapping_add(1);
            if let Ok(rtcp) = UdpSocket::bind((LOCAL, next)).await {
                return (rtp, rtcp);
            }
        }
    })
    .await;
    let media = MediaPorts::range(LOCAL, 43_000, 43_100).unwrap().bind().await.unwrap();
    let (session, mut events) = RtpSession::start(media, &remote(rtcp.0.local_addr().unwrap()), LOCAL, RtpOptions::default());
    receive(&rtcp.0).await;
    drop(session);
    assert_eq!(soon("the end", events.recv()).await, None);
    let mut buffer = [0; 2048];
    let (length, _) = soon("goodbye", rtcp.1.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(buffer[length - 7], 203, "RTCP BYE comes last");
    drop(peer);
}

#[tokio::test]
async fn what_is_cleared_is_not_sent() {
    let (session, _events, peer, _) = session(RtpOptions { prebuffer_ms: 0, ..RtpOptions::default() }).await;
    session.write(&[4000; 160 * 20]).await.unwrap();
    while receive(&peer).await.1[0] == 0xff {}
    let dropped = session.clear();
    assert!(dropped > Duration::from_millis(300), "{dropped:?}");
    assert_eq!(session.queued(), Duration::ZERO);
    let (mut loud, mut silent) = (0, 0);
    while silent < 10 {
        if receive(&peer).await.1[0] == 0xff { silent += 1 } else { loud += 1 }
    }
    assert!(loud <= 2, "{loud} packets were under way");
    let taken = session.try_write(&[1; 100_000]);
    assert!(taken <= 8160, "one second is the bound: {taken}");
}
