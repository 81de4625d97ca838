//! The handles of calls: what an application holds while the endpoint's task does the work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::config::Refusal;
use super::driver::Command;
use super::event::{CallError, CallEvent, CallId, EndReason, ReInviteError, ReferError, ReferStatus};
use super::party::Invite;
use crate::sdp::SessionDescription;

/// A call's line to the endpoint's task. Dropping it lets go of the call.
pub(super) struct Line {
    pub(super) id: CallId,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<CallEvent>,
    ended: Option<EndReason>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("id", &self.id).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) const fn new(id: CallId, commands: mpsc::Sender<Command>, events: mpsc::Receiver<CallEvent>) -> Self {
        Self { id, commands, events, ended: None }
    }

    /// The next event; the last one again and again once the call is over. Cancel-safe.
    async fn next(&mut self) -> CallEvent {
        if let Some(reason) = &self.ended {
            return CallEvent::Ended(reason.clone());
        }
        let event = self.events.recv().await.unwrap_or(CallEvent::Ended(EndReason::Shutdown));
        if let CallEvent::Ended(reason) = &event {
            self.ended = Some(reason.clone());
        }
        event
    }

    async fn ended(&mut self) -> EndReason {
        loop {
            if let CallEvent::Ended(reason) = self.next().await {
                return reason;
            }
        }
    }

    async fn ask<T, E>(&self, command: impl FnOnce(CallId, oneshot::Sender<Result<T, E>>) -> Command, closed: E) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(self.id, reply)).await.is_err() {
            return Err(closed);
        }
        answer.await.unwrap_or(Err(closed))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // If the queue is full, the task notices later that nobody listens to the call any more.
            let _full = self.commands.try_send(Command::Abandon(self.id));
        }
    }
}

/// A call that waits for an answer.
#[derive(Debug)]
pub struct IncomingCall {
    pub(super) invite: Arc<Invite>,
    pub(super) line: Line,
}

impl IncomingCall {
    /// Number of the call, for logs.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.line.id
    }

    /// Who calls whom, with what headers and offer.
    #[must_use]
    pub fn invite(&self) -> &Invite {
        &self.invite
    }

    /// The same, to keep beyond the call.
    #[must_use]
    pub fn shared_invite(&self) -> Arc<Invite> {
        Arc::clone(&self.invite)
    }

    /// 100 Trying. Without it, the endpoint sends it by itself 200 ms after the INVITE.
    ///
    /// # Errors
    /// [`CallError`] when the call is over or answered.
    pub async fn trying(&mut self) -> Result<(), CallError> {
        self.progress(100).await
    }

    /// 180 Ringing.
    ///
    /// # Errors
    /// [`CallError`] when the call is over or answered.
    pub async fn ringing(&mut self) -> Result<(), CallError> {
        self.progress(180).await
    }

    async fn progress(&self, status: u16) -> Result<(), CallError> {
        self.line.ask(|call, reply| Command::Progress { call, status, reply }, CallError::EndpointClosed).await
    }

    /// 200 OK with this answer, or with this offer if the INVITE had none. It is repeated until the ACK comes
    /// ([`DialogEvent::Acked`]).
    ///
    /// # Errors
    /// [`CallError::Ended`] when the caller gave up before.
    pub async fn answer(self, session: SessionDescription) -> Result<Dialog, CallError> {
        self.line.ask(|call, reply| Command::Accept { call, session, reply }, CallError::EndpointClosed).await?;
        Ok(Dialog { line: self.line })
    }

    /// A final refusal, such as 404, 486, 488 or 503.
    ///
    /// # Errors
    /// [`CallError::Ended`] when the caller gave up before.
    pub async fn reject(mut self, refusal: Refusal) -> Result<(), CallError> {
        self.line.ask(|call, reply| Command::Reject { call, refusal, reply }, CallError::EndpointClosed).await?;
        self.line.ended().await;
        Ok(())
    }

    /// Waits until the call is over without having been answered: CANCEL, time-out, shutdown. Cancel-safe.
    pub async fn ended(&mut self) -> EndReason {
        self.line.ended().await
    }
}

/// An established call.
#[derive(Debug)]
pub struct Dialog {
    pub(super) line: Line,
}

/// Something that happened to an established call.
#[derive(Debug)]
pub enum DialogEvent {
    /// The caller acknowledged our 200; with the answer, if the 200 carried our offer.
    Acked {
        /// The answer to our offer.
        session: Option<SessionDescription>,
    },
    /// The peer wants to change the session (hold, another address). Dropping it repeats the session in use.
    ReInvite(ReInvite),
    /// The peer wants us to call somebody else, and is told 202 by now; only with [`super::EndpointConfig::takes_refer`].
    Refer {
        /// The URI to call; personal.
        target: String,
        /// For [`Dialog::notify_refer`].
        id: u32,
    },
    /// What came of [`Dialog::refer`].
    Referred(ReferStatus),
    /// The call is over. Returned again by every later call of [`Dialog::next_event`].
    Ended(EndReason),
}

impl Dialog {
    /// Number of the call, for logs.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.line.id
    }

    /// The next event. Cancel-safe.
    pub async fn next_event(&mut self) -> DialogEvent {
        loop {
            match self.line.next().await {
                CallEvent::Acked { session } => return DialogEvent::Acked { session },
                CallEvent::ReInvite { offer } => {
                    return DialogEvent::ReInvite(ReInvite { call: self.line.id, commands: Some(self.line.commands.clone()), offer });
                }
                CallEvent::Refer { target, cseq } => return DialogEvent::Refer { target, id: cseq },
                CallEvent::Referred(status) => return DialogEvent::Referred(status),
                CallEvent::Ended(reason) => return DialogEvent::Ended(reason),
                // A response to a re-INVITE of ours whose caller stopped waiting.
                CallEvent::ReInvited(_) | CallEvent::Progress { .. } | CallEvent::Answered { .. } => {}
            }
        }
    }

    /// Offers another session to the peer and waits for its answer. Events that come meanwhile are lost, but for the
    /// end of the call; a re-INVITE among them is answered with the session in use.
    ///
    /// # Errors
    /// [`ReInviteError`]; but for [`Ended`](ReInviteError::Ended) the session stays as it was.
    pub async fn reinvite(&mut self, session: SessionDescription) -> Result<Option<SessionDescription>, ReInviteError> {
        self.line.ask(|call, reply| Command::ReInvite { call, session, reply }, ReInviteError::Ended).await?;
        loop {
            match self.line.next().await {
                CallEvent::ReInvited(outcome) => return outcome,
                CallEvent::Ended(_) => return Err(ReInviteError::Ended),
                _ => {}
            }
        }
    }

    /// Asks the peer to call `target` (`tel:+15551230000` or a SIP URI) in place of this call, without waiting. What comes of it is
    /// an event, [`DialogEvent::Referred`], at most `wait` later; the call goes on until it is hung up.
    ///
    /// # Errors
    /// [`ReferError`]; then no event comes.
    pub async fn refer(&mut self, target: &str, wait: Duration) -> Result<(), ReferError> {
        let target = target.to_owned();
        self.line.ask(|call, reply| Command::Refer { call, target, wait, reply }, ReferError::Ended).await
    }

    /// Tells the peer how far its REFER has come: 100 to 199 while it goes on, a final status at its end.
    ///
    /// # Errors
    /// [`ReferError::Ended`] or [`ReferError::State`].
    pub async fn notify_refer(&self, id: u32, status: u16) -> Result<(), ReferError> {
        self.line.ask(|call, reply| Command::NotifyRefer { call, id, status, reply }, ReferError::Ended).await
    }

    /// Hangs up: BYE, or once the ACK is here if that is still owed (RFC 3261 §15). Waits until the call is over, at most
    /// 64 × T1 (twice that without an ACK); the call ends all the same if the wait is dropped.
    pub async fn hangup(mut self) -> EndReason {
        // A call that is over needs no BYE; its reason comes below.
        let _ended = self.line.ask(|call, reply| Command::Hangup { call, reply }, CallError::EndpointClosed).await;
        self.line.ended().await
    }
}

/// The peer's wish to change the session.
#[derive(Debug)]
pub struct ReInvite {
    call: CallId,
    commands: Option<mpsc::Sender<Command>>,
    /// The new offer; `None` when the peer wants ours.
    pub offer: Option<SessionDescription>,
}

impl ReInvite {
    /// 200 OK with this session.
    ///
    /// # Errors
    /// [`CallError`] when the re-INVITE or the call is over.
    pub async fn answer(mut self, session: SessionDescription) -> Result<(), CallError> {
        let call = self.call;
        self.send(|reply| Command::Accept { call, session, reply }).await
    }

    /// Refuses the change (488); the session stays as it was.
    ///
    /// # Errors
    /// [`CallError`] when the re-INVITE or the call is over.
    pub async fn reject(mut self, refusal: Refusal) -> Result<(), CallError> {
        let call = self.call;
        self.send(|reply| Command::Reject { call, refusal, reply }).await
    }

    async fn send(&mut self, command: impl FnOnce(oneshot::Sender<Result<(), CallError>>) -> Command) -> Result<(), CallError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.take().ok_or(CallError::State)?;
        commands.send(command(reply)).await.map_err(|_| CallError::EndpointClosed)?;
        answer.await.unwrap_or(Err(CallError::EndpointClosed))
    }
}

impl Drop for ReInvite {
    fn drop(&mut self) {
        if let Some(commands) = &self.commands {
            // If the queue is full, the core answers by itself after `reinvite_answer_max`.
            let _full = commands.try_send(Command::RepeatSession(self.call));
        }
    }
}

/// A call of ours that the peer has not answered yet.
#[derive(Debug)]
pub struct OutgoingCall {
    pub(super) line: Option<Line>,
    pub(super) id: CallId,
}

/// What became of a call of ours.
#[derive(Debug)]
pub enum OutgoingEvent {
    /// A provisional response above 100, such as 180, with early media if it carries a session.
    Progress {
        /// The status.
        status: u16,
        /// Early media.
        session: Option<SessionDescription>,
    },
    /// The peer answered; the ACK is on its way.
    Answered {
        /// The established call.
        dialog: Dialog,
        /// The answer to our offer; `None` if it was unreadable.
        session: Option<SessionDescription>,
    },
    /// The call is over.
    Ended(EndReason),
}

impl OutgoingCall {
    /// Number of the call, for logs.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// The next event; after `Answered` or `Ended` only `Ended`. Cancel-safe.
    pub async fn next(&mut self) -> OutgoingEvent {
        loop {
            let Some(line) = &mut self.line else {
                return OutgoingEvent::Ended(EndReason::LocalHangup);
            };
            match line.next().await {
                CallEvent::Progress { status, session } => return OutgoingEvent::Progress { status, session },
                CallEvent::Answered { session } => {
                    if let Some(line) = self.line.take() {
                        return OutgoingEvent::Answered { dialog: Dialog { line }, session };
                    }
                }
                CallEvent::Ended(reason) => return OutgoingEvent::Ended(reason),
                _ => {}
            }
        }
    }

    /// Waits for the answer, past all progress.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn answered(&mut self) -> Result<(Dialog, Option<SessionDescription>), EndReason> {
        loop {
            match self.next().await {
                OutgoingEvent::Progress { .. } => {}
                OutgoingEvent::Answered { dialog, session } => return Ok((dialog, session)),
                OutgoingEvent::Ended(reason) => return Err(reason),
            }
        }
    }

    /// CANCEL, once a provisional response allows it; the end comes as an event. An answer that crosses it is hung up.
    pub async fn cancel(&mut self) {
        if let Some(line) = &self.line {
            // A closed endpoint has ended the call already.
            let _closed = line.commands.send(Command::Abandon(line.id)).await;
        }
    }
}
