//! A caller: SIP and RTP, by the project's own endpoint.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use frontdesk_audio::SampleRate;
use frontdesk_telephony::rtp::{Digit, MediaPorts, MediaSocket, RtpEvent, RtpEvents, RtpOptions, RtpSession};
use frontdesk_telephony::sdp::{self, Codec, LocalMedia, RemoteMedia};
use frontdesk_telephony::sip::{
    Dialog, DialogEvent, EndReason, Endpoint, EndpointConfig, OutgoingCall, OutgoingEvent, OutgoingInvite, SipTimers, Transport,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tone::{frame, is_tone};
use super::{CALLER, CALLER_NAME, LOCAL, NUMBER, within};

/// What is listened to at a time.
const WINDOW: usize = 1600;

/// A telephone.
pub(crate) struct Phone {
    pub(crate) endpoint: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) codecs: Vec<Codec>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Phone {
    /// One that speaks UDP and PCMU first.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// One whose trunk transfers calls.
    pub(crate) async fn taking_refer() -> Self {
        Self::with(|config| config.takes_refer = true).await
    }

    async fn with(change: impl FnOnce(&mut EndpointConfig)) -> Self {
        let timers = SipTimers { t1: Duration::from_millis(50), t2: Duration::from_millis(400), t4: Duration::from_millis(500) };
        let mut config = EndpointConfig { timers, ..EndpointConfig::new(SocketAddr::new(LOCAL, 0)) };
        change(&mut config);
        let (endpoint, _no_calls_come_in) = Endpoint::bind(config).await.expect("a port");
        Self { endpoint, transport: Transport::Udp, codecs: vec![Codec::Pcmu, Codec::Pcma], headers: Vec::new() }
    }

    /// Calls the desk.
    pub(crate) async fn dial(&self, target: SocketAddr) -> Ringing {
        self.dial_number(target, NUMBER).await
    }

    pub(crate) async fn dial_number(&self, target: SocketAddr, number: &str) -> Ringing {
        let socket = MediaPorts::ephemeral(LOCAL).bind().await.expect("a port");
        let local = LocalMedia { codecs: self.codecs.clone(), ..LocalMedia::new(socket.local_addr()) };
        let invite = OutgoingInvite {
            target,
            transport: self.transport,
            to: format!("sip:{number}@{target}"),
            from: format!("\"{CALLER_NAME}\" <sip:{CALLER}@127.0.0.1>"),
            headers: self.headers.clone(),
            session: sdp::offer(&local),
            ring_max: Duration::from_secs(60),
        };
        let began = Instant::now();
        let call = self.endpoint.invite(invite).await.expect("the call is placed");
        Ringing { call, socket, local, began }
    }
}

/// A call that is not answered yet.
pub(crate) struct Ringing {
    pub(crate) call: OutgoingCall,
    pub(crate) socket: MediaSocket,
    pub(crate) local: LocalMedia,
    pub(crate) began: Instant,
}

impl Ringing {
    /// Waits for 180.
    pub(crate) async fn rings(&mut self) {
        match within("ringing", self.call.next()).await {
            OutgoingEvent::Progress { status: 180, .. } => {}
            other => panic!("no 180 but {other:?}"),
        }
    }

    /// Nothing happens for a while.
    pub(crate) async fn goes_on_ringing(&mut self, length: Duration) {
        if let Ok(event) = tokio::time::timeout(length, self.call.next()).await {
            panic!("it should ring, but {event:?}");
        }
    }

    /// Waits for 200.
    pub(crate) async fn answered(mut self) -> Line {
        let (dialog, session) = within("the answer", self.call.answered()).await.expect("it is answered");
        let remote = sdp::accept_answer(&self.local, &session.expect("the answer holds a session")).expect("the answer fits");
        // Little waits in the queue, so that what is said stops at once.
        let options = RtpOptions { queue_max_ms: 60, prebuffer_ms: 0, ..RtpOptions::default() };
        let (rtp, events) = RtpSession::start(self.socket, &remote, LOCAL, options);
        Line { dialog, rtp: Some(rtp), events, local: self.local, remote, keys: Vec::new(), answered_after: self.began.elapsed() }
    }

    /// Waits for the end without an answer.
    pub(crate) async fn not_answered(mut self) -> EndReason {
        within("the refusal", self.call.answered()).await.expect_err("it is not answered")
    }

    /// Waits for a refusal; its status.
    pub(crate) async fn refused(self) -> u16 {
        match self.not_answered().await {
            EndReason::Rejected { status, .. } => status,
            other => panic!("no refusal but {other:?}"),
        }
    }
}

/// A call that was answered.
pub(crate) struct Line {
    pub(crate) dialog: Dialog,
    pub(crate) rtp: Option<RtpSession>,
    pub(crate) events: RtpEvents,
    pub(crate) local: LocalMedia,
    pub(crate) remote: RemoteMedia,
    pub(crate) keys: Vec<char>,
    pub(crate) answered_after: Duration,
}

impl Line {
    fn rtp(&self) -> RtpSession {
        self.rtp.clone().expect("the media runs")
    }

    /// Says a tone until the guard is dropped.
    pub(crate) fn say(&self, hz: f64) -> DropGuard {
        let (rtp, stop) = (self.rtp(), CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            for n in 0.. {
                if rtp.write(&frame(hz, SampleRate::HZ_8000, n * 160)).await.is_err() {
                    return;
                }
            }
        }));
        stop.drop_guard()
    }

    pub(crate) async fn press(&self, keys: &str) {
        for key in keys.chars() {
            self.rtp().press(Digit::new(key).expect("a key"), 100).await.expect("the media runs");
        }
    }

    /// Listens until the tone is heard for 200 ms.
    pub(crate) async fn hears(&mut self, hz: f64) {
        self.hears_where("the tone", |window| is_tone(window, hz, SampleRate::HZ_8000)).await;
    }

    /// Listens until 200 ms are as `is_it` wants them; all that was heard.
    pub(crate) async fn hears_where(&mut self, what: &str, mut is_it: impl FnMut(&[i16]) -> bool) -> Vec<i16> {
        let mut heard = Vec::new();
        within(what, async {
            while heard.len() < WINDOW || !is_it(&heard[heard.len() - WINDOW..]) {
                self.listen(&mut heard).await;
            }
        })
        .await;
        heard
    }

    /// Waits until so many keys were pressed on the other side.
    pub(crate) async fn hears_keys(&mut self, count: usize) -> String {
        within("the keys", async {
            while self.keys.len() < count {
                self.listen(&mut Vec::new()).await;
            }
        })
        .await;
        self.keys.iter().collect()
    }

    async fn listen(&mut self, heard: &mut Vec<i16>) {
        match self.events.recv().await.expect("the media runs") {
            RtpEvent::Audio(frame) => heard.extend(frame.samples),
            RtpEvent::Dtmf { digit, .. } => self.keys.push(digit.key()),
            RtpEvent::TimedOut => panic!("the line is dead"),
        }
    }

    /// Listens to the end of the call.
    pub(crate) async fn listen_to_the_end(&mut self) -> (Vec<i16>, EndReason) {
        let mut heard = Vec::new();
        let mut media_runs = true;
        let reason = within("the end of the call", async {
            loop {
                tokio::select! {
                    event = self.dialog.next_event() => if let DialogEvent::Ended(reason) = event {
                        return reason;
                    },
                    event = self.events.recv(), if media_runs => match event {
                        Some(RtpEvent::Audio(frame)) => heard.extend(frame.samples),
                        Some(_) => {}
                        None => media_runs = false,
                    },
                }
            }
        })
        .await;
        (heard, reason)
    }

    /// Waits for a REFER, and says that the target answered so; the target.
    pub(crate) async fn is_referred(&mut self, status: u16) -> String {
        let (target, id) = within("a REFER", async {
            loop {
                tokio::select! {
                    event = self.dialog.next_event() => match event {
                        DialogEvent::Refer { target, id } => return (target, id),
                        DialogEvent::Ended(reason) => panic!("the call ended: {reason:?}"),
                        _ => {}
                    },
                    _ = self.events.recv() => {}
                }
            }
        })
        .await;
        for status in [100, 180, status] {
            self.dialog.notify_refer(id, status).await.expect("the call goes on");
        }
        target
    }

    /// Waits for BYE.
    pub(crate) async fn is_hung_up(&mut self) -> Vec<i16> {
        let (heard, reason) = self.listen_to_the_end().await;
        assert_eq!(reason, EndReason::RemoteHangup);
        heard
    }

    pub(crate) async fn hang_up(self) {
        let reason = within("the hang-up", self.dialog.hangup()).await;
        assert_eq!(reason, EndReason::LocalHangup);
    }
}
