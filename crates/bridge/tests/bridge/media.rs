//! What either side hears.

use std::time::{Duration, Instant};

use frontdesk_audio::{SampleRate, g711};
use frontdesk_bridge::CallOutcome;
use frontdesk_telephony::rtp::{FRAME_SAMPLES, packet};
use frontdesk_telephony::sdp::{Codec, Direction, LocalMedia, offer};
use frontdesk_telephony::sip::{OutgoingInvite, Transport};
use tokio::net::UdpSocket;

use crate::support::{CALLER, Desk, LOCAL, NUMBER, Phone, Talk, Workers, within};

#[tokio::test]
async fn both_hear_each_other() {
    let desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let call = Phone::new().await.dial(desk.address()).await;
    let mut agent = workers.join().await;
    let mut audio = agent.audio().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    let _saying = line.say(800.0);
    line.hears(440.0).await;
    agent.hears(&mut audio, 800.0).await;
    line.hang_up().await;
    desk.finish().await;
}

/// Calls at once in [`calls_at_once_do_not_mix`].
const AT_ONCE: usize = 8;

fn agents_tone(call: usize) -> f64 {
    400.0 + 150.0 * call as f64
}

fn callers_tone(call: usize) -> f64 {
    1800.0 + 150.0 * call as f64
}

#[tokio::test]
async fn calls_at_once_do_not_mix() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let (mut calls, mut agents, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..AT_ONCE {
        let phone = Phone { headers: vec![("X-Call".into(), n.to_string())], ..Phone::new().await };
        calls.push(phone.dial(desk.address()).await);
    }
    for _ in 0..AT_ONCE {
        let mut agent = workers.join().await;
        let call: usize = agent.caller().attribute("sip.h.x-call").expect("the header").parse().expect("a number");
        let audio = agent.audio().await;
        let speaking = agent.speak(agents_tone(call)).await;
        agents.push((call, agent, audio, speaking));
    }
    for call in calls {
        let line = call.answered().await;
        let saying = line.say(callers_tone(lines.len()));
        lines.push((line, saying));
    }
    for (call, agent, audio, _) in &mut agents {
        lines[*call].0.hears(agents_tone(*call)).await;
        agent.hears(audio, callers_tone(*call)).await;
    }
    assert_eq!(desk.bridge.stats().active_calls, AT_ONCE);
    for (line, saying) in lines {
        drop(saying);
        line.hang_up().await;
        assert_eq!(desk.report().await.outcome, CallOutcome::CallerHungUp);
    }
    desk.finish().await;
}

#[tokio::test]
async fn keys_go_both_ways() {
    let desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let call = Phone::new().await.dial(desk.address()).await;
    let mut agent = workers.join().await;
    let _speaking = agent.speak(0.0).await;
    let mut line = call.answered().await;
    within("the data channel", agent.room.data_connected()).await.expect("the room is there");
    line.press("1*0#").await;
    let mut keys = String::new();
    while keys.len() < 4 {
        keys.push(agent.key().await);
    }
    assert_eq!(keys, "1*0#");
    for key in ['7', '#'] {
        agent.room.send_dtmf(key).await.expect("the data channel is open");
    }
    assert_eq!(line.hears_keys(2).await, "7#");
    line.hang_up().await;
    desk.finish().await;
}

#[tokio::test]
async fn a_held_call_is_silent_not_dead_and_goes_on_elsewhere() {
    let Talk { desk, workers: _workers, mut line, agent: _agent, speaking: _speaking } =
        Talk::begin(|config| config.waits.silence = Duration::from_millis(700)).await;
    // On hold: the caller neither sends nor listens, for longer than the line may be silent.
    line.local = LocalMedia { direction: Direction::Inactive, version: 2, ..line.local };
    let answer = within("the hold", line.dialog.reinvite(offer(&line.local))).await.expect("holding is allowed");
    assert_eq!(answer.expect("an answer").media[0].direction, Some(Direction::Inactive));
    line.rtp = None;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    // Back at another address.
    let socket = UdpSocket::bind((LOCAL, 0)).await.expect("a port");
    line.local = LocalMedia {
        direction: Direction::SendRecv,
        port: socket.local_addr().expect("an address").port(),
        version: 3,
        codecs: vec![Codec::Pcmu],
        ..line.local
    };
    within("going on", line.dialog.reinvite(offer(&line.local))).await.expect("the call goes on");
    let mut buffer = [0; 2048];
    let (length, from) = within("audio at the new address", socket.recv_from(&mut buffer)).await.expect("a packet");
    assert_eq!(from.port(), line.remote.address.expect("an address").port());
    assert_eq!(packet::parse(&buffer[..length]).expect("RTP").0.payload_type, Codec::Pcmu.static_payload_type());
    line.hang_up().await;
    desk.finish().await;
}

/// How often [`speech_reaches_the_caller_without_a_flaw`] tries. A machine that stalls displaces audio now and then, a fault of ours
/// every time.
const TRIES: usize = 4;

/// What an agent plays comes out of the RTP packets whole and evenly: nothing missing, repeated or displaced. The signal never repeats,
/// so that every piece of it has one place.
#[tokio::test]
async fn speech_reaches_the_caller_without_a_flaw() {
    let desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut flaws = Vec::new();
    while let Err(flaw) = hear_a_speech(&desk, &mut workers).await {
        flaws.push(flaw);
        assert!(flaws.len() < TRIES, "{flaws:#?}");
    }
    desk.finish().await;
}

/// One call in which an agent speaks for 4 s; what was wrong with it.
async fn hear_a_speech(desk: &Desk, workers: &mut Workers) -> Result<(), String> {
    const SECONDS: usize = 4;
    let phone = Phone::new().await;
    let socket = UdpSocket::bind((LOCAL, 0)).await.expect("a port");
    let local = LocalMedia { codecs: vec![Codec::Pcmu], ..LocalMedia::new(socket.local_addr().expect("an address")) };
    let invite = OutgoingInvite {
        target: desk.address(),
        transport: Transport::Udp,
        to: format!("sip:{NUMBER}@127.0.0.1"),
        from: format!("<sip:{CALLER}@127.0.0.1>"),
        headers: Vec::new(),
        session: offer(&local),
        ring_max: Duration::from_secs(60),
    };
    let mut call = phone.endpoint.invite(invite).await.expect("the call is placed");
    let agent = workers.join().await;
    let mut publisher = agent.publish().await;
    let (dialog, _) = within("the answer", call.answered()).await.expect("it is answered");
    let spoken = noise(SECONDS * 24_000);
    let to_say = spoken.clone();
    let speaking = tokio::spawn(async move {
        let mut ticker = tokio::time::interval(Duration::from_millis(20));
        let silence = vec![0; 480];
        let mut refused = 0;
        for frame in to_say.chunks_exact(480).chain(std::iter::repeat_n(&silence[..], 50)) {
            ticker.tick().await;
            refused += u32::from(publisher.write(frame).is_err());
        }
        refused
    });
    let heard = listen(&socket, Duration::from_secs(SECONDS as u64 + 1)).await;
    let refused = within("the end of the speech", speaking).await.expect("no panic");
    dialog.hangup().await;
    let reference = frontdesk_audio::resample::convert(&spoken, SampleRate::HZ_24000, SampleRate::HZ_8000);
    let lags = lags(&reference, &heard?);
    if refused > 0 {
        return Err(format!("the agent's connection refused {refused} frames"));
    }
    if lags.iter().any(|lag| lag.abs_diff(lags[0]) > 16) {
        return Err(format!("the lag in samples, every 200 ms, is to stay within 2 ms: {lags:?}"));
    }
    Ok(())
}

/// Noise between 300 and 2500 Hz or so: a random walk of tones that Opus carries well.
fn noise(samples: usize) -> Vec<i16> {
    let mut phase = 0.0_f64;
    let mut hz = 800.0_f64;
    (0..samples)
        .map(|_| {
            hz = (hz + rand::random_range(-12.0..12.0)).clamp(300.0, 2500.0);
            phase += std::f64::consts::TAU * hz / 24_000.0;
            (9000.0 * phase.sin()) as i16
        })
        .collect()
}

/// The samples of all packets of this time, unless one is missing.
async fn listen(socket: &UdpSocket, length: Duration) -> Result<Vec<i16>, String> {
    let (began, mut packets) = (Instant::now(), Vec::new());
    let mut buffer = [0; 2048];
    while began.elapsed() < length {
        let (size, _) = within("RTP", socket.recv_from(&mut buffer)).await.expect("a packet");
        let Ok((header, payload)) = packet::parse(&buffer[..size]) else { continue };
        assert_eq!(payload.len(), FRAME_SAMPLES);
        packets.push((header.seq, header.timestamp, g711::decode_ulaw(payload)));
    }
    for pair in packets.windows(2) {
        if (pair[1].0, pair[1].1) != (pair[0].0.wrapping_add(1), pair[0].1.wrapping_add(160)) {
            return Err("a packet is missing, or its time".to_owned());
        }
    }
    Ok(packets.into_iter().flat_map(|(_, _, samples)| samples).collect())
}

/// Where each 200 ms of the reference are found in what was heard, as the distance in samples. The first and last pieces are left out:
/// codec and resampler settle there.
fn lags(reference: &[i16], heard: &[i16]) -> Vec<usize> {
    const PIECE: usize = 1600;
    let start_max = heard.len().saturating_sub(reference.len()).max(1);
    // One search over all lags, then near by.
    let first = best(&reference[PIECE..2 * PIECE], heard, PIECE..PIECE + start_max) - PIECE;
    let pieces = 1..reference.len() / PIECE - 1;
    pieces
        .map(|n| {
            let at = n * PIECE;
            let near = (at + first).saturating_sub(800)..at + first + 800;
            best(&reference[at..at + PIECE], heard, near) - at
        })
        .collect()
}

/// The place where the piece correlates best.
fn best(piece: &[i16], heard: &[i16], places: std::ops::Range<usize>) -> usize {
    let likeness = |at: usize| -> i64 {
        let window = heard.get(at..at + piece.len()).unwrap_or(&[]);
        piece.iter().zip(window).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum()
    };
    places.max_by_key(|at| likeness(*at)).expect("there are places")
}
