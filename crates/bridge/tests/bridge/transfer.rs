//! An agent has its caller transferred: REFER to the caller's side, and its outcome back to the agent.

use frontdesk_bridge::CallOutcome;
use frontdesk_livekit::room::{OutgoingData, RoomEvent};
use frontdesk_livekit::transfer::{Reply, Request, TRANSFER_TOPIC};

use crate::support::{Desk, Phone, Workers};

#[tokio::test]
async fn a_caller_is_referred_and_the_agent_hears_what_came_of_it() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let call = Phone::taking_refer().await.dial(desk.address()).await;
    let mut agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    line.hears(440.0).await;
    let caller = agent.caller();
    assert_eq!(caller.attribute("frontdesk.bridge"), Some("transfer"));
    agent.room.data_connected().await.expect("data can be sent");
    for (id, status) in [("first", 486), ("second", 200)] {
        let request = Request { id: id.into(), number: "+15550188".into() };
        let data = OutgoingData {
            payload: request.to_bytes(),
            topic: TRANSFER_TOPIC.into(),
            reliable: true,
            destinations: vec![caller.identity.clone()],
        };
        agent.room.send_data(data).await.expect("the room is there");
        assert_eq!(line.is_referred(status).await, "tel:+15550188");
        let reply = agent
            .find("the outcome", |event| match event {
                RoomEvent::Data(data) if data.sender == caller.identity => Reply::parse(&data.payload),
                _ => None,
            })
            .await;
        assert_eq!(reply, Reply { id: id.into(), status: Some(status) });
    }
    // The target has the caller now; the agent ends the call, and the bridge sends BYE.
    desk.api.delete_room(&agent.job.room).await.expect("the room is there");
    line.is_hung_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::AgentHungUp);
    desk.finish().await;
}
