//! Who the caller is.

use std::time::Duration;

use frontdesk_agent::{CallInfo, Pii, TransportError};
use tokio::sync::mpsc;

use crate::room::{Participant, ParticipantKind, RemoteAudio, Room, RoomEvent};
use crate::worker::JobContext;

/// Attributes of LiveKit's SIP service.
const CALL_STATUS: &str = "sip.callStatus";
const CALL_ID: &str = "sip.callID";
const CALLER_NUMBER: &str = "sip.phoneNumber";
const DIALLED_NUMBER: &str = "sip.trunkPhoneNumber";

/// The caller among those present: the telephone call if there is one, else any person. LiveKit's recorders and other
/// agents are none.
fn pick(mut present: Vec<Participant>) -> Option<Participant> {
    let sip = present.iter().position(|participant| participant.kind == ParticipantKind::Sip && !has_hung_up(participant));
    let person = || present.iter().position(|participant| participant.kind == ParticipantKind::Standard);
    sip.or_else(person).map(|index| present.swap_remove(index))
}

/// Whether a SIP caller has put down the receiver; the participant leaves a moment later.
pub(super) fn has_hung_up(participant: &Participant) -> bool {
    participant.attribute(CALL_STATUS) == Some("hangup")
}

/// Waits for the caller; tracks that come meanwhile are kept in `audio`.
pub(super) async fn wait_for(
    room: &Room,
    events: &mut mpsc::Receiver<RoomEvent>,
    audio: &mut Vec<RemoteAudio>,
    limit: Duration,
) -> Result<Participant, TransportError> {
    let found = async {
        loop {
            if let Some(caller) = pick(room.participants()) {
                return Ok(caller);
            }
            match events.recv().await {
                Some(RoomEvent::AudioTrack(track)) => audio.push(track),
                Some(RoomEvent::Ended(_)) | None => return Err(TransportError::Ended),
                Some(_) => {}
            }
        }
    };
    let waited_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    tokio::time::timeout(limit, found).await.unwrap_or(Err(TransportError::NoCaller { waited_ms }))
}

/// What is known of the call.
pub(super) fn info(job: &JobContext, caller: &Participant) -> CallInfo {
    let number = caller.attribute(CALLER_NUMBER).filter(|number| !number.is_empty());
    CallInfo {
        call_id: call_id(&job.room, &job.room_sid, caller.attribute(CALL_ID), number),
        caller_number: number.map(|number| Pii::new(number.to_owned())),
        dialled_number: caller.attribute(DIALLED_NUMBER).map(str::to_owned),
        attributes: Pii::new(caller.attributes.clone()),
    }
}

/// The room's name, unless it holds the caller's number, as LiveKit's SIP service makes it (`<prefix>_<caller>_<random>`);
/// then the SIP service's id of the call, or the server's id of the room. All outlive the worker.
fn call_id(room: &str, room_sid: &str, sip_call_id: Option<&str>, number: Option<&str>) -> String {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let number = number.map(digits).unwrap_or_default();
    if number.len() < 4 || !digits(room).contains(&number) {
        return room.to_owned();
    }
    sip_call_id.filter(|id| !id.is_empty()).unwrap_or(room_sid).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(identity: &str, kind: ParticipantKind) -> Participant {
        Participant { identity: identity.into(), kind, ..Participant::default() }
    }

    #[test]
    fn the_telephone_comes_first_and_agents_never() {
        let agent = participant("agent", ParticipantKind::Agent);
        let person = participant("person", ParticipantKind::Standard);
        let call = participant("call", ParticipantKind::Sip);
        let mut gone = participant("gone", ParticipantKind::Sip);
        gone.attributes.insert(CALL_STATUS.into(), "hangup".into());
        assert_eq!(pick(vec![agent.clone()]), None);
        assert_eq!(pick(vec![agent.clone(), gone.clone()]), None);
        assert_eq!(pick(vec![agent.clone(), person.clone()]), Some(person.clone()));
        assert_eq!(pick(vec![agent, person, gone, call.clone()]), Some(call));
    }

    #[test]
    fn a_call_id_holds_no_number() {
        let number = Some("+15550100");
        assert_eq!(call_id("call_x8k2", "RM_1", Some("SCL_1"), number), "call_x8k2");
        assert_eq!(call_id("call_+15550100_x8k2", "RM_1", Some("SCL_1"), number), "SCL_1");
        assert_eq!(call_id("call_+1-555-0100_x8k2", "RM_1", None, number), "RM_1");
        assert_eq!(call_id("room", "RM_1", None, None), "room");
    }
}
