"""The peer: an agent on livekit-agents with its own Deepgram and OpenAI plugins, pointed at the simulated services.

Everything is left at the framework's defaults but what the environment says:

BENCH_AGENT_NAME   the name under which it is dispatched
BENCH_TURNS        `default` for the framework's default turn handling, `vad` for voice activity detection alone
BENCH_GREETING     what it says first
BENCH_CALLS        calls at once; as many processes wait ahead of the first call
DEEPGRAM_BASE_URL, OPENAI_BASE_URL, DEEPGRAM_API_KEY, OPENAI_API_KEY, LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET
"""

import os

from livekit.agents import Agent, AgentSession, JobContext, WorkerOptions, cli
from livekit.plugins import deepgram, openai


def no_load() -> float:
    """On a small machine the load of everything else must not keep the server from giving this worker calls."""
    return 0.0


async def entrypoint(ctx: JobContext) -> None:
    """Answers one call."""
    speech, key = os.environ["DEEPGRAM_BASE_URL"], os.environ["DEEPGRAM_API_KEY"]
    handling = {} if os.environ["BENCH_TURNS"] == "default" else {"turn_handling": {"turn_detection": "vad"}}
    session = AgentSession(
        stt=deepgram.STT(base_url=f"{speech}/v1/listen", api_key=key),
        llm=openai.LLM(model="gpt-4.1-mini", base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]),
        tts=deepgram.TTS(base_url=f"{speech}/v1/speak", api_key=key),
        **handling,
    )
    await session.start(agent=Agent(instructions="You are the receptionist of a clinic."), room=ctx.room)
    session.say(os.environ["BENCH_GREETING"])


if __name__ == "__main__":
    cli.run_app(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            agent_name=os.environ["BENCH_AGENT_NAME"],
            num_idle_processes=int(os.environ["BENCH_CALLS"]),
            load_fnc=no_load,
            port=0,
        )
    )
