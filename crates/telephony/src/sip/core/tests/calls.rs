//! Calls over a network of any quality: timers to the millisecond, and nothing left behind.

use std::time::Duration;

use proptest::prelude::*;

use super::net::{CALLEE, CALLER, Net, session};
use crate::sip::config::Refusal;
use crate::sip::event::{CallEvent, EndReason};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn steps(times: &[Duration]) -> Vec<u128> {
    times.iter().map(Duration::as_millis).collect()
}

#[test]
fn an_invite_to_nobody_is_sent_seven_times() {
    let mut net = Net::new(0, 100, MS);
    let call = net.invite();
    net.run_for(40 * SECOND);
    assert_eq!(steps(&net.times(CALLER, "INVITE")), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::PeerLost));
    assert!(net.cores[CALLER].is_idle());
}

#[test]
fn an_unacknowledged_200_is_sent_at_growing_intervals_and_then_hung_up() {
    let mut net = Net::new(0, 0, Duration::ZERO);
    net.invite();
    net.run_for(300 * MS);
    assert_eq!(steps(&net.times(CALLEE, "SIP/2.0 100")), [200], "the transaction says so by itself");
    let call = net.incoming[0];
    net.loss_percent = 100;
    let core = &mut net.cores[CALLEE];
    core.accept(net.now, call, session(4002)).unwrap();
    let answered = net.now;
    net.run_for(100 * SECOND);
    let sent: Vec<Duration> = net.times(CALLEE, "SIP/2.0 200").iter().map(|at| *at - answered).collect();
    assert_eq!(steps(&sent), [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(net.times(CALLEE, "BYE")[0] - answered, 32 * SECOND);
    assert_eq!(net.end_of(CALLEE, call), Some(EndReason::NoAck));
    assert!(net.cores[CALLEE].is_idle());
}

#[test]
fn a_call_that_nobody_answers_is_refused_or_cancelled() {
    let mut net = Net::new(0, 0, MS);
    let call = net.invite();
    net.run_for(SECOND);
    let incoming = net.incoming[0];
    net.cores[CALLEE].progress(net.now, incoming, 180).unwrap();
    net.run_until(59 * SECOND);
    assert_eq!(net.end_of(CALLER, call), None);
    net.run_for(3 * SECOND);
    assert_eq!(net.times(CALLER, "CANCEL").len(), 1);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::Unanswered));
    assert_eq!(net.end_of(CALLEE, incoming), Some(EndReason::Cancelled));

    let mut net = Net::new(0, 0, MS);
    net.invite();
    net.run_for(SECOND);
    let incoming = net.incoming[0];
    net.loss_percent = 100;
    net.run_for(220 * SECOND);
    assert_eq!(net.end_of(CALLEE, incoming), Some(EndReason::Unanswered));
    assert!(net.cores[CALLEE].is_idle());
}

#[test]
fn a_cancel_that_nobody_answers_ends_all_the_same() {
    let mut net = Net::new(0, 0, MS);
    let call = net.invite();
    net.run_for(SECOND);
    net.loss_percent = 100;
    net.cores[CALLER].cancel(net.now, call, EndReason::Cancelled);
    net.run_for(40 * SECOND);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::Cancelled));
    assert!(net.cores[CALLER].is_idle());
}

#[test]
fn a_cancel_before_any_answer_waits_for_one() {
    let mut net = Net::new(0, 0, MS);
    let call = net.invite();
    net.cores[CALLER].cancel(net.now, call, EndReason::Cancelled);
    net.run_for(100 * MS);
    assert!(net.times(CALLER, "CANCEL").is_empty(), "RFC 3261 §9.1");
    net.run_for(SECOND);
    assert_eq!(net.times(CALLER, "CANCEL").len(), 1);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::Cancelled));
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let mut net = Net::new(0, 0, MS);
    let call = net.invite();
    net.run_for(SECOND);
    let incoming = net.incoming[0];
    net.cores[CALLER].cancel(net.now, call, EndReason::Cancelled);
    net.cores[CALLEE].accept(net.now, incoming, session(4002)).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::Cancelled));
    assert_eq!(net.end_of(CALLEE, incoming), Some(EndReason::RemoteHangup));
    assert!(!net.events[CALLER].iter().any(|(_, event)| matches!(event, CallEvent::Answered { .. })));
}

#[test]
fn byes_that_cross_end_the_call_on_both_sides() {
    let mut net = Net::new(0, 0, 50 * MS);
    let (call, incoming) = talk(&mut net);
    net.cores[CALLER].hangup(net.now, call).unwrap();
    net.cores[CALLEE].hangup(net.now, incoming).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.end_of(CALLER, call), Some(EndReason::LocalHangup));
    assert_eq!(net.end_of(CALLEE, incoming), Some(EndReason::LocalHangup));
}

fn talk(net: &mut Net) -> (crate::sip::CallId, crate::sip::CallId) {
    let call = net.invite();
    net.run_for(SECOND);
    let incoming = net.incoming[0];
    net.cores[CALLEE].accept(net.now, incoming, session(4002)).unwrap();
    net.run_for(SECOND);
    (call, incoming)
}

#[test]
fn a_re_invite_that_is_never_answered_outlives_neither_patience_nor_its_call() {
    for hang_up in [false, true] {
        let mut net = Net::new(0, 0, MS);
        let (call, _) = talk(&mut net);
        net.cores[CALLER].reinvite(net.now, call, session(4004)).unwrap();
        net.run_for(SECOND);
        assert_eq!(net.times(CALLEE, "SIP/2.0 100").len(), 2, "a provisional response stops the transaction's own clock");
        if hang_up {
            net.cores[CALLER].hangup(net.now, call).unwrap();
        }
        net.loss_percent = 100;
        net.run_for(120 * SECOND);
        let end = if hang_up { EndReason::LocalHangup } else { EndReason::PeerLost };
        assert_eq!(net.end_of(CALLER, call), Some(end));
        assert!(net.cores[CALLER].is_idle());
    }
}

/// Something an application does with its side of a call.
#[derive(Debug, Clone, Copy)]
enum Act {
    Ring,
    Answer,
    Refuse,
    Hangup,
    Cancel,
    ReInvite,
    AnswerReInvite,
    Abandon,
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act, u64)>> {
    use Act::{Abandon, Answer, AnswerReInvite, Cancel, Hangup, ReInvite, Refuse, Ring};
    let act = prop::sample::select(vec![Ring, Answer, Answer, Answer, Refuse, Hangup, Cancel, ReInvite, ReInvite, AnswerReInvite, Abandon]);
    // Half of the acts follow hard upon another: within the time that messages are under way.
    let wait_ms = prop_oneof![0..200_u64, 0..8000_u64];
    prop::collection::vec((0..2_usize, act, wait_ms), 0..16)
}

fn act(net: &mut Net, side: usize, act: Act, call: crate::sip::CallId) {
    let now = net.now;
    let core = &mut net.cores[side];
    // What is not possible in the state of the call is refused without effect; that is part of the test.
    match act {
        Act::Ring => drop(core.progress(now, call, 180)),
        Act::Answer | Act::AnswerReInvite if side == CALLEE => drop(core.accept(now, call, session(4002))),
        Act::Answer => {}
        Act::AnswerReInvite => core.repeat_session(now, call),
        Act::Refuse if side == CALLEE => drop(core.reject(now, call, &Refusal::new(486))),
        Act::Refuse => {}
        Act::Hangup => drop(core.hangup(now, call)),
        Act::Cancel => core.cancel(now, call, EndReason::Cancelled),
        Act::ReInvite => drop(core.reinvite(now, call, session(4004))),
        Act::Abandon => core.abandon(now, call),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever the applications do and the network loses: once both let go, both calls end, each exactly once, and no
    /// transaction, timer or dialog stays.
    #[test]
    fn nothing_is_left_of_any_call(seed: u64, loss in 0..70_u8, delay_ms in 0..400_u64, acts in acts()) {
        let mut net = Net::new(seed, loss, Duration::from_millis(delay_ms));
        let call = net.invite();
        for (side, what, wait_ms) in acts {
            net.run_for(Duration::from_millis(wait_ms));
            let id = if side == CALLER { Some(call) } else { net.incoming.first().copied() };
            if let Some(id) = id {
                act(&mut net, side, what, id);
            }
        }
        net.run_for(2 * SECOND);
        net.cores[CALLER].abandon(net.now, call);
        if let Some(incoming) = net.incoming.first().copied() {
            net.cores[CALLEE].abandon(net.now, incoming);
        }
        net.run_for(400 * SECOND);
        for (side, id) in [(CALLER, Some(call)), (CALLEE, net.incoming.first().copied())] {
            let ends = net.events[side].iter().filter(|(_, event)| matches!(event, CallEvent::Ended(_))).count();
            prop_assert_eq!(ends, usize::from(id.is_some()));
            prop_assert!(net.cores[side].is_idle(), "side {} holds {:?}", side, net.cores[side].stats());
            prop_assert!(net.cores[side].deadline().is_none());
        }
    }
}

/// On a network that loses a fifth, a call is established, and the caller's ACK gets through in the end. The seeds are
/// fixed: among enough of them some lose every copy.
#[test]
fn calls_are_established_in_spite_of_loss() {
    for seed in 0..300 {
        let mut net = Net::new(seed, 20, 100 * MS);
        let call = net.invite();
        net.run_until(20 * SECOND);
        let incoming = net.incoming[0];
        net.cores[CALLEE].accept(net.now, incoming, session(4002)).unwrap();
        net.run_for(31 * SECOND);
        let is = |side: usize, wanted: fn(&CallEvent) -> bool| net.events[side].iter().any(|(_, event)| wanted(event));
        assert!(is(CALLER, |event| matches!(event, CallEvent::Answered { session: Some(_) })), "seed {seed}");
        assert!(is(CALLEE, |event| matches!(event, CallEvent::Acked { .. })), "seed {seed}");
        assert_eq!(net.incoming.len(), 1, "seed {seed}");
        assert_eq!(net.end_of(CALLER, call), None, "seed {seed}");
    }
}
