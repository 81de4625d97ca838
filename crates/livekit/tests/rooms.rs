//! Many rooms in one process, one after the other and a few at once: what they leave behind. `FRONTDESK_ROOMS` sets how many.
//!
//! The heap, the tasks and the sockets of the whole process are counted, so this test is alone in its program.

mod support;

use std::alloc::System;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::LiveKit;
use frontdesk_livekit::room::{DisconnectReason, EndReason};
use futures_util::StreamExt as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::server::Server;
use support::{Events, join, tone, within};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rooms at once.
const AT_ONCE: usize = 4;
/// After this share of them, most of what is made once and kept is there.
const WARM_UP_SHARE: usize = 5;
/// The rest comes in so many steps: what is made once after all shows in one of them, what a room leaves behind in each.
const STEPS: usize = 6;
/// From so many rooms on, all that was added counts.
const MANY: usize = 1000;
/// What a room may leave behind, in bytes: fragments of tables that grow with the number of rooms that there ever were.
const LEFT_MAX: usize = 2048;

fn rooms() -> usize {
    std::env::var("FRONTDESK_ROOMS").map_or(60, |text| text.parse().expect("FRONTDESK_ROOMS is a number"))
}

/// What the process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    heap_bytes: usize,
    tasks: usize,
    files: usize,
}

fn held() -> Held {
    let files = std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let heap = HEAP.stats();
    Held { heap_bytes: heap.bytes_allocated - heap.bytes_deallocated, tasks: Handle::current().metrics().num_alive_tasks(), files }
}

/// What is held once what a connection leaves has been closed, which takes a moment; as much as `before` if it comes to that.
async fn settled(before: &Held) -> Held {
    let deadline = tokio::time::Instant::now() + support::PATIENCE / 4;
    loop {
        let now = held();
        if (now.tasks <= before.tasks && now.files <= before.files) || tokio::time::Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Joins, publishes, says something, and is ended by the server or leaves.
async fn visit(server: &Server, api: &Mutex<LiveKit>, number: usize) {
    let name = format!("visit-{number}");
    let (room, mut events) = join(&server.url(), &name, "alice").await;
    let mut publisher = within("publishing", room.publish_audio(SampleRate::HZ_16000)).await.expect("published");
    within("media", room.media_connected()).await.expect("connects");
    let mut ticker = tone::ticker();
    for _ in 0..3 {
        ticker.tick().await;
        publisher.write(&tone::sine(500.0, SampleRate::HZ_16000)).expect("sent");
    }
    if number.is_multiple_of(2) {
        // One connection to the API is enough, so that their number does not depend on chance.
        api.lock().await.delete_room(&name).await.expect("deleted");
        assert_eq!(end(&mut events).await, EndReason::Server(DisconnectReason::RoomDeleted));
    }
    within("leaving", room.leave(DisconnectReason::ClientInitiated)).await;
}

async fn end(events: &mut Events) -> EndReason {
    use frontdesk_livekit::room::RoomEvent;
    events.find("the end", |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None }).await
}

async fn visit_all(server: &Server, api: &Mutex<LiveKit>, numbers: std::ops::Range<usize>) {
    futures_util::stream::iter(numbers).for_each_concurrent(AT_ONCE, |number| visit(server, api, number)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_leave_nothing_behind() {
    let server = Server::start().await;
    let api = Mutex::new(support::api(&server.url()));
    let (all, warm_up) = (rooms(), rooms() / WARM_UP_SHARE);
    api.lock().await.check().await.expect("the server answers");
    let idle = held();
    visit_all(&server, &api, 0..warm_up).await;
    let before = settled(&idle).await;
    // What is counted is there as long as a room is.
    let (room, _events) = join(&server.url(), "open", "alice").await;
    let open = held();
    assert!(
        open.heap_bytes > before.heap_bytes + LEFT_MAX && open.tasks > before.tasks && open.files > before.files,
        "{before:?}, {open:?}"
    );
    room.leave(DisconnectReason::ClientInitiated).await;
    let mut steps = vec![settled(&before).await];
    for step in 0..STEPS {
        let at = |step: usize| warm_up + (all - warm_up) * step / STEPS;
        visit_all(&server, &api, at(step)..at(step + 1)).await;
        steps.push(settled(&before).await);
    }
    // Whether the API's connection is open at a given moment is chance; what rooms leave is counted without it.
    drop(api);
    let after = settled(&before).await;
    let mut grown: Vec<usize> = steps.windows(2).map(|pair| pair[1].heap_bytes.saturating_sub(pair[0].heap_bytes)).collect();
    grown.sort_unstable();
    let typical = grown[STEPS / 2] / ((all - warm_up) / STEPS).max(1);
    let per_room = after.heap_bytes.saturating_sub(before.heap_bytes) / (all - warm_up);
    println!(
        "{all} rooms, the first {warm_up} to warm up: {before:?}, then {after:?}, {per_room} bytes a room; steps grew by {grown:?} bytes"
    );
    assert!(after.tasks <= before.tasks && after.files <= before.files, "{before:?}, {after:?}");
    assert!(typical <= LEFT_MAX, "{typical} bytes a room: {grown:?}");
    assert!(all < MANY || per_room <= LEFT_MAX, "{per_room} bytes a room: {before:?}, {after:?}");
}
