//! Calls with sipp, a SIP implementation that is not ours (Debian package `sip-tester`).

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Output, Stdio};
use std::time::Duration;

use frontdesk_telephony::sip::{DialogEvent, EndReason, Endpoint, EndpointConfig, Transport};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::common::{LOCAL, answer, call_to, endpoint, settled};

const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free now, for UDP and TCP. sipp wants to be told one. It is below those that systems give to who asks for any
/// (RFC 6335, section 6: 49152 and up; Linux: 32768 and up), so that nobody takes it before sipp does.
fn free_port() -> u16 {
    let is_free = |port: &u16| UdpSocket::bind((LOCAL, *port)).is_ok() && TcpListener::bind((LOCAL, *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(20_000..32_000)).take(1000).find(is_free).expect("a port below 32,000 is free")
}

fn sipp(directory: &std::path::Path, arguments: &[&str]) -> Child {
    Command::new("sipp")
        .args(arguments)
        .args(["-i", "127.0.0.1", "-nostdin", "-trace_err", "-timeout", "50", "-timeout_error"])
        .args(["-mp", &free_port().to_string(), "-cp", &free_port().to_string()])
        .current_dir(directory)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run sipp ({error}): install the Debian package sip-tester, as scripts/setup does"))
}

fn check(output: &Output) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).join("\n");
    assert!(output.status.success(), "sipp is not content ({}):\n{text}", output.status);
}

fn directory(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("frontdesk-sipp-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// sipp calls us thirty times, ten at once.
async fn sipp_calls(mode: &str) {
    let (endpoint, mut calls) = endpoint().await;
    let directory = directory(mode);
    let (target, port) = (endpoint.local_addr().to_string(), free_port().to_string());
    let child = sipp(&directory, &["-sn", "uac", &target, "-t", mode, "-p", &port, "-m", "30", "-r", "20", "-l", "10", "-d", "200"]);
    let serving = tokio::spawn(async move {
        let mut ends = Vec::new();
        for _ in 0..30 {
            let mut call = calls.next().await.unwrap();
            ends.push(tokio::spawn(async move {
                call.ringing().await.unwrap();
                let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
                let mut dialog = call.answer(session).await.unwrap();
                loop {
                    if let DialogEvent::Ended(reason) = dialog.next_event().await {
                        return reason;
                    }
                }
            }));
        }
        for end in ends {
            assert_eq!(end.await.unwrap(), EndReason::RemoteHangup);
        }
    });
    check(&timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap());
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    settled(&endpoint).await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn sipp_calls_us_over_udp() {
    sipp_calls("u1").await;
}

#[tokio::test]
async fn sipp_calls_us_over_tcp() {
    sipp_calls("t1").await;
}

#[tokio::test]
async fn we_call_sipp() {
    for (mode, transport) in [("u1", Transport::Udp), ("t1", Transport::Tcp)] {
        // With the timers of RFC 3261: sipp may take seconds to start.
        let (endpoint, _calls) = Endpoint::bind(EndpointConfig::new(SocketAddr::new(LOCAL, 0))).await.unwrap();
        let directory = directory(&format!("uas-{mode}"));
        let port = free_port();
        let child = sipp(&directory, &["-sn", "uas", "-t", mode, "-p", &port.to_string(), "-m", "5"]);
        let target = SocketAddr::new(LOCAL, port);
        let ready = async {
            while std::net::TcpStream::connect(target).is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if transport == Transport::Tcp {
            timeout(PATIENCE, ready).await.unwrap();
        }
        for _ in 0..5 {
            let mut outgoing = endpoint.invite(call_to(target, transport)).await.unwrap();
            let (dialog, session) = timeout(PATIENCE, outgoing.answered()).await.unwrap().unwrap();
            assert!(session.is_some());
            assert_eq!(timeout(PATIENCE, dialog.hangup()).await.unwrap(), EndReason::LocalHangup);
        }
        check(&timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
