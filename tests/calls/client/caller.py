"""A caller on LiveKit's own Python client (libwebrtc): speaks to the agent of a room, and writes down what it sees.

FRONTDESK_URL, FRONTDESK_TOKEN   where to join, and as whom
FRONTDESK_SPEECH                 what is said: raw PCM, 16 bits, mono, 16 kHz
FRONTDESK_GREETING               what the agent says first
FRONTDESK_TYPED                  what is typed in the end

Prints one JSON object. It waits for events alone, each for as long as WAIT_S.
"""

import asyncio
import json
import os
import struct

from livekit import rtc

RATE = 16_000
FRAME = RATE // 50
WAIT_S = 60
LOUD = 500


class Caller:
    """What was seen so far; `changed` wakes whoever waits for more."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.lines: list[dict] = []
        self.states: list[str] = []
        self.loud_frames = 0
        self.agent_track = ""
        self.data: list[list[str]] = []
        self.tasks: set[asyncio.Task] = set()
        self.changed = asyncio.Condition()

    def later(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, what: str, holds):
        async def wait():
            async with self.changed:
                await self.changed.wait_for(holds)
            return holds()

        try:
            return await asyncio.wait_for(wait(), WAIT_S)
        except asyncio.TimeoutError:
            raise SystemExit(f"caller: {what}: not within {WAIT_S} s; lines {self.lines}, states {self.states}")

    def agent(self):
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return next((other for other in self.room.remote_participants.values() if other.kind == kind), None)

    def note_state(self) -> None:
        agent = self.agent()
        state = agent.attributes.get("lk.agent.state") if agent else None
        if state and (not self.states or self.states[-1] != state):
            self.states.append(state)
            self.later(self.tell())

    async def read(self, reader, identity: str) -> None:
        text = await reader.read_all()
        self.lines.append({"from": identity, "text": text, "attributes": dict(reader.info.attributes or {})})
        await self.tell()

    async def listen(self, track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            samples = struct.unpack(f"<{len(event.frame.data)}h", bytes(event.frame.data))
            if samples and max(map(abs, samples)) > LOUD:
                self.loud_frames += 1
                if self.loud_frames == 10:
                    await self.tell()

    def on_track(self, track, publication, participant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.agent_track = publication.sid
            self.later(self.listen(track))

    def on_data(self, packet) -> None:
        self.data.append([packet.participant.identity if packet.participant else "", packet.topic or "", packet.data.decode()])
        self.later(self.tell())

    def final(self, identity: str, after: int = 0):
        """The final lines of somebody, from the given one of all lines on."""
        is_final = lambda line: line["from"] == identity and line["attributes"].get("lk.transcription_final") == "true"
        return [line for line in self.lines[after:] if is_final(line)]


async def speak(source: rtc.AudioSource, speech: asyncio.Queue) -> None:
    """Says what it is given, and silence between."""
    while True:
        pcm = b"" if speech.empty() else speech.get_nowait()
        pcm += bytes(-len(pcm) % (2 * FRAME)) or (b"" if pcm else bytes(2 * FRAME))
        for start in range(0, len(pcm), 2 * FRAME):
            frame = rtc.AudioFrame(pcm[start : start + 2 * FRAME], RATE, 1, FRAME)
            await source.capture_frame(frame)


async def refusal(local, agent: str) -> int:
    try:
        await local.perform_rpc(destination_identity=agent, method="no.such.method", payload="")
    except rtc.RpcError as error:
        return error.code
    return 0


async def call() -> dict:
    caller = Caller()
    room = caller.room
    room.on("track_subscribed", caller.on_track)
    room.on("data_received", caller.on_data)
    room.on("participant_attributes_changed", lambda changed, participant: caller.note_state())
    room.on("participant_connected", lambda participant: caller.note_state())
    room.register_text_stream_handler("lk.transcription", lambda reader, who: caller.later(caller.read(reader, who)))
    await room.connect(os.environ["FRONTDESK_URL"], os.environ["FRONTDESK_TOKEN"])
    local, me = room.local_participant, room.local_participant.identity

    @local.register_rpc_method("greet")
    async def greet(data: rtc.RpcInvocationData) -> str:
        return f"hello {data.payload}"

    source = rtc.AudioSource(RATE, 1)
    await local.publish_track(rtc.LocalAudioTrack.create_audio_track("microphone", source))
    speech: asyncio.Queue = asyncio.Queue(maxsize=4)
    speaking = asyncio.ensure_future(speak(source, speech))
    await caller.until("the agent", caller.agent)
    caller.note_state()
    agent = caller.agent().identity
    await caller.until("the greeting", lambda: [line for line in caller.final(agent) if os.environ["FRONTDESK_GREETING"] in line["text"]])
    await caller.until("the agent's voice", lambda: caller.loud_frames >= 10)
    heard_before = len(caller.lines)
    with open(os.environ["FRONTDESK_SPEECH"], "rb") as file:
        await speech.put(file.read())
    understood = await caller.until("our own words", lambda: caller.final(me))
    answered = await caller.until("the answer", lambda: caller.final(agent, heard_before))
    state = await local.perform_rpc(destination_identity=agent, method="frontdesk.state", payload="")
    refused = await refusal(local, agent)
    await caller.until("somebody's data", lambda: caller.data)
    await local.publish_dtmf(code=5, digit="5")
    await local.publish_data(b"caller's data", reliable=True, topic="of-the-test")
    before_text = len(caller.lines)
    await local.send_text(os.environ["FRONTDESK_TYPED"], topic="lk.chat")
    typed = await caller.until("the answer to a text", lambda: caller.final(agent, before_text))
    # Until whoever watches has called our method, and says so.
    await caller.until("the end", lambda: len(caller.data) >= 2)
    speaking.cancel()
    report = {
        "agent": agent,
        "agent_track": caller.agent_track,
        "states": caller.states,
        "understood": understood[0],
        "greeting": caller.final(agent)[0],
        "answered": answered[0],
        "typed": typed[0],
        "state": json.loads(state),
        "refused": refused,
        "data": caller.data,
    }
    await room.disconnect()
    return report


print(json.dumps(asyncio.run(call())), flush=True)
# The client's threads still run: it aborts if one of them calls back while the interpreter is taken down beneath it.
os._exit(0)
