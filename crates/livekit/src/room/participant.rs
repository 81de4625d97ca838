//! Who is in the room, and what changed about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use livekit_protocol as proto;
use proto::participant_info::{Kind, State};

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ParticipantKind {
    /// A person's client.
    #[default]
    Standard,
    /// A telephone call.
    Sip,
    /// An agent.
    Agent,
    /// Media from outside.
    Ingress,
    /// A recorder.
    Egress,
    /// Anything else.
    Other,
}

impl ParticipantKind {
    pub(crate) const fn as_claim(self) -> &'static str {
        match self {
            Self::Standard | Self::Other => "standard",
            Self::Sip => "sip",
            Self::Agent => "agent",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn from_proto(kind: i32) -> Self {
        match Kind::try_from(kind) {
            Ok(Kind::Standard) => Self::Standard,
            Ok(Kind::Sip) => Self::Sip,
            Ok(Kind::Agent) => Self::Agent,
            Ok(Kind::Ingress) => Self::Ingress,
            Ok(Kind::Egress) => Self::Egress,
            _ => Self::Other,
        }
    }
}

/// Why somebody is no longer in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server gave none.
    #[default]
    Unknown,
    /// Left of their own accord; a caller who hangs up.
    ClientInitiated,
    /// Another participant of the same identity joined.
    DuplicateIdentity,
    /// The server is going down.
    ServerShutdown,
    /// Removed through the server API.
    ParticipantRemoved,
    /// The room was deleted.
    RoomDeleted,
    /// Client and server disagree about the session.
    StateMismatch,
    /// Never fully joined.
    JoinFailure,
    /// Moves to another node.
    Migration,
    /// The signal connection was lost before media connected.
    SignalClose,
    /// Everybody left.
    RoomClosed,
    /// The called party did not answer.
    UserUnavailable,
    /// The called party refused.
    UserRejected,
    /// The SIP trunk failed.
    SipTrunkFailure,
    /// Media was lost for too long.
    ConnectionTimeout,
    /// Media failed.
    MediaFailure,
    /// The agent reported an error.
    AgentError,
}

impl DisconnectReason {
    pub(crate) fn from_proto(reason: i32) -> Self {
        use proto::DisconnectReason as P;
        match P::try_from(reason).unwrap_or(P::UnknownReason) {
            P::UnknownReason => Self::Unknown,
            P::ClientInitiated => Self::ClientInitiated,
            P::DuplicateIdentity => Self::DuplicateIdentity,
            P::ServerShutdown => Self::ServerShutdown,
            P::ParticipantRemoved => Self::ParticipantRemoved,
            P::RoomDeleted => Self::RoomDeleted,
            P::StateMismatch => Self::StateMismatch,
            P::JoinFailure => Self::JoinFailure,
            P::Migration => Self::Migration,
            P::SignalClose => Self::SignalClose,
            P::RoomClosed => Self::RoomClosed,
            P::UserUnavailable => Self::UserUnavailable,
            P::UserRejected => Self::UserRejected,
            P::SipTrunkFailure => Self::SipTrunkFailure,
            P::ConnectionTimeout => Self::ConnectionTimeout,
            P::MediaFailure => Self::MediaFailure,
            P::AgentError => Self::AgentError,
        }
    }

    pub(crate) const fn to_proto(self) -> proto::DisconnectReason {
        use proto::DisconnectReason as P;
        match self {
            Self::Unknown => P::UnknownReason,
            Self::ClientInitiated => P::ClientInitiated,
            Self::DuplicateIdentity => P::DuplicateIdentity,
            Self::ServerShutdown => P::ServerShutdown,
            Self::ParticipantRemoved => P::ParticipantRemoved,
            Self::RoomDeleted => P::RoomDeleted,
            Self::StateMismatch => P::StateMismatch,
            Self::JoinFailure => P::JoinFailure,
            Self::Migration => P::Migration,
            Self::SignalClose => P::SignalClose,
            Self::RoomClosed => P::RoomClosed,
            Self::UserUnavailable => P::UserUnavailable,
            Self::UserRejected => P::UserRejected,
            Self::SipTrunkFailure => P::SipTrunkFailure,
            Self::ConnectionTimeout => P::ConnectionTimeout,
            Self::MediaFailure => P::MediaFailure,
            Self::AgentError => P::AgentError,
        }
    }
}

/// A participant as the server describes it. `Debug` shows id, kind and the attributes' keys only: identity, name and
/// values may hold a caller's number.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Participant {
    /// The server's id of this connection.
    pub sid: String,
    /// Unique in the room.
    pub identity: String,
    /// Shown to others.
    pub name: String,
    /// What it is.
    pub kind: ParticipantKind,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Free text.
    pub metadata: String,
    /// Ids of the tracks it publishes.
    pub track_sids: BTreeSet<String>,
    /// Counts the server's updates.
    pub(crate) version: u32,
}

impl Participant {
    pub(crate) fn from_proto(info: &proto::ParticipantInfo) -> Self {
        Self {
            sid: info.sid.clone(),
            identity: info.identity.clone(),
            name: info.name.clone(),
            kind: ParticipantKind::from_proto(info.kind),
            attributes: info.attributes.clone().into_iter().collect(),
            metadata: info.metadata.clone(),
            track_sids: info.tracks.iter().map(|track| track.sid.clone()).collect(),
            version: info.version,
        }
    }

    /// One attribute's value.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("sid", &self.sid)
            .field("kind", &self.kind)
            .field("attributes", &self.attributes.keys())
            .finish_non_exhaustive()
    }
}

/// What an update of the server means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Joined(Participant),
    Updated(Participant),
    Left(Participant, DisconnectReason),
}

/// The other participants, by the server's id. Pure bookkeeping.
#[derive(Debug, Default)]
pub(super) struct Roster {
    local_sid: String,
    local: Participant,
    others: HashMap<String, Participant>,
}

impl Roster {
    pub(super) fn new(local: &proto::ParticipantInfo, others: &[proto::ParticipantInfo]) -> Self {
        let local = Participant::from_proto(local);
        let others = others.iter().filter(|info| info.state != State::Disconnected as i32).map(Participant::from_proto);
        Self { local_sid: local.sid.clone(), others: others.map(|p| (p.sid.clone(), p)).collect(), local }
    }

    pub(super) fn local(&self) -> &Participant {
        &self.local
    }

    pub(super) fn others(&self) -> Vec<Participant> {
        self.others.values().cloned().collect()
    }

    pub(super) fn by_sid(&self, sid: &str) -> Option<&Participant> {
        self.others.get(sid)
    }

    /// Applies an update. A `snapshot` names everybody who is there, so that whoever is missing has left unseen.
    pub(super) fn update(&mut self, infos: &[proto::ParticipantInfo], snapshot: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for info in infos {
            if info.sid == self.local_sid {
                self.local = Participant::from_proto(info);
            } else if let Some(change) = self.update_one(info) {
                changes.push(change);
            }
        }
        if snapshot {
            let present: BTreeSet<&str> = infos.iter().map(|info| info.sid.as_str()).collect();
            let gone: Vec<String> = self.others.keys().filter(|sid| !present.contains(sid.as_str())).cloned().collect();
            changes.extend(
                gone.iter()
                    .filter_map(|sid| self.others.remove(sid))
                    .map(|participant| Change::Left(participant, DisconnectReason::Unknown)),
            );
        }
        changes
    }

    fn update_one(&mut self, info: &proto::ParticipantInfo) -> Option<Change> {
        let mut new = Participant::from_proto(info);
        if info.state == State::Disconnected as i32 {
            let known = self.others.remove(&info.sid)?;
            // The last update may carry final attributes (`sip.callStatus`), but may also come without any.
            if new.attributes.is_empty() {
                new.attributes = known.attributes;
            }
            return Some(Change::Left(new, DisconnectReason::from_proto(info.disconnect_reason)));
        }
        match self.others.get_mut(&info.sid) {
            None => {
                self.others.insert(info.sid.clone(), new.clone());
                Some(Change::Joined(new))
            }
            Some(known) if new.version < known.version => None,
            Some(known) => {
                let same = Participant { version: known.version, ..new.clone() } == *known;
                *known = new.clone();
                (!same).then_some(Change::Updated(new))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(sid: &str, state: State, version: u32) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            sid: sid.into(),
            identity: format!("id-{sid}"),
            state: state as i32,
            version,
            kind: Kind::Sip as i32,
            attributes: [("sip.phoneNumber".to_string(), "+15550100".to_string())].into(),
            ..Default::default()
        }
    }

    fn roster() -> Roster {
        Roster::new(&info("me", State::Active, 1), &[])
    }

    #[test]
    fn joined_updated_left() {
        let mut roster = roster();
        assert!(matches!(&roster.update(&[info("a", State::Joined, 1)], false)[..], [Change::Joined(p)] if p.sid == "a"));
        // The state alone is nothing that an application sees.
        assert!(roster.update(&[info("a", State::Active, 2)], false).is_empty());
        let mut hangup = info("a", State::Active, 3);
        hangup.attributes.insert("sip.callStatus".into(), "hangup".into());
        assert!(matches!(&roster.update(&[hangup], false)[..], [Change::Updated(_)]));
        let mut gone = info("a", State::Disconnected, 4);
        gone.disconnect_reason = proto::DisconnectReason::ClientInitiated as i32;
        let changes = roster.update(&[gone.clone()], false);
        assert!(matches!(&changes[..], [Change::Left(_, DisconnectReason::ClientInitiated)]));
        assert!(roster.update(&[gone], false).is_empty(), "leaving twice is told once");
    }

    #[test]
    fn stale_updates_are_ignored() {
        let mut roster = roster();
        let mut new = info("a", State::Active, 7);
        new.attributes.insert("k".into(), "new".into());
        roster.update(&[new], false);
        assert!(roster.update(&[info("a", State::Active, 6)], false).is_empty());
        assert_eq!(roster.by_sid("a").unwrap().attribute("k"), Some("new"));
    }

    #[test]
    fn a_snapshot_tells_who_left_unseen() {
        let mut roster = roster();
        roster.update(&[info("a", State::Active, 1), info("b", State::Active, 1)], false);
        let changes = roster.update(&[info("me", State::Active, 2), info("b", State::Active, 1)], true);
        assert!(matches!(&changes[..], [Change::Left(p, DisconnectReason::Unknown)] if p.sid == "a"));
    }

    #[test]
    fn debug_shows_no_number() {
        let participant = Participant::from_proto(&info("a", State::Active, 1));
        let text = format!("{participant:?}");
        assert!(!text.contains("+1555") && !text.contains("id-a") && text.contains("sip.phoneNumber"), "{text}");
    }

    #[test]
    fn reasons_survive_the_wire() {
        for code in 0..=16 {
            assert_eq!(DisconnectReason::from_proto(code).to_proto() as i32, code);
        }
        assert_eq!(DisconnectReason::from_proto(99), DisconnectReason::Unknown);
    }
}
