//! Calls behind LiveKit's own SIP service, whose caller is a participant that nobody watches over: workers and `frontdesk rescue` do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use frontdesk_livekit::api::{AgentDispatch, ParticipantToken, RoomSettings};
use frontdesk_livekit::room::{ParticipantKind, RemoteAudio, Room, RoomEvent, RoomOptions};
use sqlx::Row as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clinic::NUMBER;
use crate::desk::{Desk, DeskOptions};
use crate::run;

/// Longer than any step takes on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(60);

/// A telephone call as LiveKit's SIP service brings it: no attribute of our bridge.
struct Direct {
    room: Room,
    events: mpsc::Receiver<RoomEvent>,
}

impl Direct {
    async fn dial(desk: &Desk, number: &str) -> Self {
        let api = desk.api();
        let mut token = ParticipantToken::new(format!("{}-direct", desk.agent), "sip_caller");
        token.kind = ParticipantKind::Sip;
        let attributes = [("sip.callStatus", "active"), ("sip.trunkPhoneNumber", NUMBER), ("sip.phoneNumber", number)];
        token.attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<BTreeMap<_, _>>();
        let agents = vec![AgentDispatch::new(desk.agent.as_str(), "")];
        token.room_settings = Some(RoomSettings { empty_timeout_s: 20, departure_timeout_s: 5, max_participants: 0, agents });
        let options = RoomOptions::new(api.url().to_string(), api.participant_token(&token).expect("a token"));
        let (room, events) = Room::connect(options).await.expect("the room is there");
        Self { room, events }
    }

    /// Waits until somebody is heard whose track is new; who it is.
    async fn hears(&mut self, who: &str) -> String {
        let heard = async {
            loop {
                match self.events.recv().await.expect("the room goes on") {
                    RoomEvent::AudioTrack(audio) => return speaks(audio).await,
                    RoomEvent::Ended(reason) => panic!("the room ended: {reason:?}"),
                    _ => {}
                }
            }
        };
        timeout(STEP_MAX, heard).await.unwrap_or_else(|_| panic!("{who} is not heard"))
    }
}

/// Waits for a sound.
async fn speaks(mut audio: RemoteAudio) -> String {
    while let Some(frame) = audio.recv().await {
        if frame.samples.iter().any(|sample| sample.unsigned_abs() > 1000) {
            return audio.participant_identity().to_owned();
        }
    }
    panic!("the track ended without a sound")
}

#[test]
fn a_call_behind_livekits_sip_service_is_taken_over_and_without_a_worker_the_caller_is_told() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, ..DeskOptions::default() }).await;
        let mut call = Direct::dial(&desk, "+15550209901").await;
        let first = call.hears("the first agent").await;
        let mut other = desk.hire("second").await;
        desk.worker.kill().await.expect("it can be killed");
        let killed = Instant::now();
        let second = call.hears("the second agent").await;
        println!("behind LiveKit's SIP service the caller hears the next agent {:?} after kill -9", killed.elapsed());
        assert_ne!(first, second);

        // Nobody is left but the rescue.
        let mut rescue = desk.rescue().await;
        other.kill().await.expect("it can be killed");
        let killed = Instant::now();
        let third = call.hears("the apology").await;
        println!("with no other worker he is told so after {:?}", killed.elapsed());
        assert!(third.starts_with("rescue_"), "{third}");
        let ended = async { while !matches!(call.events.recv().await, Some(RoomEvent::Ended(_)) | None) {} };
        timeout(STEP_MAX, ended).await.expect("the call is ended for him");
        drop(call.room);

        let record =
            "SELECT r.outcome, l.released_at IS NOT NULL AS released FROM call_records r JOIN call_leases l USING (tenant_id, call_id)";
        let mut connection = desk.database.connect().await.expect("the database is there");
        let kept = async {
            loop {
                if let Some(row) = sqlx::query(record).fetch_optional(&mut connection).await.expect("readable tables") {
                    return (row.get::<String, _>("outcome"), row.get::<bool, _>("released"));
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(timeout(STEP_MAX, kept).await.expect("a record is kept"), ("failed".to_owned(), true));
        let messages: i64 =
            sqlx::query("SELECT count(*) AS count FROM messages").fetch_one(&mut connection).await.expect("readable").get("count");
        assert_eq!(messages, 1, "somebody calls back");
        assert!(rescue.stop(STEP_MAX).await.expect("it ends").success());
        desk.close_bridge().await;
    });
}
