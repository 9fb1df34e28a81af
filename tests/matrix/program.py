"""One process of the matrix: every entry point of the installed CrewAI with one provider, a rotation before each kickoff.

    program.py PROVIDER FOLDER REPORT [CELL...]

Runs in an environment of ``requirements/crewai-*.lock``. With the hook on ``PYTHONPATH`` the endpoint must be called with
the new key and no other, twice in a row. With ``WI_BARE=1`` there is no hook and no rotation: that shows what upstream
itself says to a cell. The report is JSON: cell → ["right", ""], ["wrong", what was seen] or ["error", type and text].
"""

import asyncio
import builtins
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "operator"))

from wi_testkit.kickoff.llm import Endpoint
from wi_testkit.kickoff.sidecar import ScriptedSidecar

PROVIDER, FOLDER, REPORT, *WANTED = sys.argv[1:]
BARE = os.environ.get("WI_BARE") == "1"
STORAGE = os.environ["CREWAI_STORAGE_DIR"]
MODEL, KEY, BASE, PATH = {
    "openai": ("openai/gpt-4o", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"),
    "anthropic": ("anthropic/claude-sonnet-4-0", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""),
    "azure": ("azure/gpt-4o", "AZURE_API_KEY", "AZURE_ENDPOINT", "/models"),
    "gemini": ("gemini/gemini-2.0-flash", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", ""),
    "openai-compatible": ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "/v1"),
    "litellm": ("openai/gpt-4o", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"),
}[PROVIDER]
OPTIONS = {"is_litellm": True} if PROVIDER == "litellm" else {}
INPUTS = [{"n": "1"}, {"n": "2"}]

endpoint = Endpoint()
endpoint.start()
os.environ[BASE] = os.environ["OPENAI_API_BASE"] = endpoint.url + PATH
sidecar = ScriptedSidecar(Path(FOLDER))
serial = 0


def rotate():
    """Set another key where the vault would, and return it."""
    global serial
    serial += not BARE
    sidecar.values = {KEY: f"fake-key-{serial:04d}-of-{PROVIDER}"}
    return sidecar.values[KEY]


FIRST = rotate()
if BARE:
    os.environ[KEY] = FIRST
else:
    sidecar.start()

from crewai import LLM, Agent, Crew, Flow, Task  # noqa: E402 - the hook reads at this import
from crewai.events.event_bus import crewai_event_bus  # noqa: E402
from crewai.flow.async_feedback import HumanFeedbackPending  # noqa: E402
from crewai.flow.flow import listen, start  # noqa: E402
from crewai.flow.human_feedback import human_feedback  # noqa: E402
from crewai.flow.persistence import SQLiteFlowPersistence  # noqa: E402
from crewai.lite_agent import LiteAgent  # noqa: E402
from crewai.state.checkpoint_config import CheckpointConfig  # noqa: E402

builtins.input = lambda *_: "good"


def make_agent():
    return Agent(role="r", goal="g", backstory="b", llm=LLM(model=MODEL, **OPTIONS), max_iter=2)


def make_crew(**more):
    agent = make_agent()
    return Crew(agents=[agent], tasks=[Task(description="d", expected_output="e", agent=agent)], **more)


def make_streaming_crew():
    return make_crew(stream=True)


def make_lite_agent():
    return LiteAgent(role="r", goal="g", backstory="b", llm=LLM(model=MODEL, **OPTIONS))


class Later:
    """A provider of feedback that comes another day."""

    def request_feedback(self, context, flow):
        raise HumanFeedbackPending(context=context)


held = {}
"""What a module holds at its top level: flows reach it without any reference to it."""


class WorkFlow(Flow):
    @start()
    def work(self):
        held["llm"].call("hello")
        return held["crew"].kickoff().raw


class PausingFlow(Flow):
    @start()
    @human_feedback(message="Good?", provider=Later())
    def ask(self):
        return "draft"

    @listen(ask)
    def work(self):
        held["llm"].call("hello")
        return held["crew"].kickoff().raw


def make_flow():
    held.update(llm=LLM(model=MODEL, **OPTIONS), crew=make_crew())
    return WorkFlow()


def make_streaming_flow():
    flow = make_flow()
    flow.stream = True
    return flow


def pause(_):
    """Leave a flow that waits for feedback; returns it as a worker finds it that resumes it."""
    persistence = SQLiteFlowPersistence(os.path.join(STORAGE, "flows.db"))
    flow = PausingFlow(persistence=persistence)
    pending = flow.kickoff()
    assert isinstance(pending, HumanFeedbackPending), pending
    return PausingFlow.from_pending(flow.flow_id, persistence)


def save_checkpoint(_):
    """Write a checkpoint while the key of now is valid; CrewAI's writer gives up where state changes under its hands."""
    for _ in range(5):
        try:
            return write_checkpoint()
        except TimeoutError as error:
            problem = error
    raise problem


def write_checkpoint():
    folder = tempfile.mkdtemp(dir=STORAGE)
    config = CheckpointConfig(location=folder, on_events=["task_started"])
    # The writer saves the state that it finds: the task must not have ended by then.
    endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        kickoff = pool.submit(make_crew().kickoff, from_checkpoint=config)
        try:
            saved = wait_for_file(Path(folder))
        finally:
            endpoint.gate.set()
        kickoff.result()
    # LiteLLM's class leaves its key out of a checkpoint; all others write it, and restoring must not bring the old one back.
    holds_key = sidecar.values[KEY] in saved.read_text()
    assert BARE or holds_key is (PROVIDER != "litellm"), "the checkpoint is not what this provider writes"
    return saved


def wait_for_file(folder):
    """Checkpoints are written by a handler in another thread."""
    for _ in range(300):
        found = sorted(folder.rglob("*.json"))
        if found and found[0].read_text().endswith("}"):
            return found[0]
        time.sleep(0.02)
    raise TimeoutError("no checkpoint was written")


def save_checkpoint_elsewhere(crew):
    """Write a checkpoint as another process would have: with a key that this one never saw."""
    saved = save_checkpoint(crew)
    saved.write_text(saved.read_text().replace(sidecar.values[KEY], f"fake-key-of-another-process-of-{PROVIDER}"))
    return saved


def restore(crew, saved):
    crew.kickoff(from_checkpoint=CheckpointConfig(location=str(saved.parent), restore_from=saved))


async def restore_async(crew, saved):
    await crew.akickoff(from_checkpoint=CheckpointConfig(location=str(saved.parent), restore_from=saved))


def consume(stream):
    for _ in stream:
        pass
    return stream.result  # raises what the run raised


async def consume_async(stream):
    async for _ in stream:
        pass
    return stream.result


async def stream_async(crew):
    await consume_async(await crew.kickoff_async())


async def astream(crew):
    await consume_async(await crew.akickoff())


async def kickoff_in_loop(agent):
    await agent.kickoff("hello")


def train(crew):
    crew.train(n_iterations=1, filename=os.path.join(STORAGE, "trained.pkl"))


def test(crew):
    crew.test(n_iterations=1, eval_llm=LLM(model=MODEL, **OPTIONS))


def replay(crew, _):
    crew.replay(str(crew.tasks[0].id))


# Entry point → what makes the object, what is done before the rotation, the call, and how many kickoffs it is.
ENTRIES = {
    "Crew.kickoff": (make_crew, None, lambda crew: crew.kickoff(), 1),
    "Crew.kickoff_async": (make_crew, None, lambda crew: crew.kickoff_async(), 1),
    "Crew.akickoff": (make_crew, None, lambda crew: crew.akickoff(), 1),
    "Crew.kickoff_for_each": (make_crew, None, lambda crew: crew.kickoff_for_each(INPUTS), 2),
    "Crew.kickoff_for_each_async": (make_crew, None, lambda crew: crew.kickoff_for_each_async(INPUTS), 2),
    "Crew.akickoff_for_each": (make_crew, None, lambda crew: crew.akickoff_for_each(INPUTS), 2),
    "Crew.train": (make_crew, None, train, 1),
    "Crew.test": (make_crew, None, test, 1),
    "Crew.replay": (make_crew, lambda crew: crew.kickoff(), replay, 1),
    "Crew.kickoff, streaming": (make_streaming_crew, None, lambda crew: consume(crew.kickoff()), 1),
    "Crew.kickoff_async, streaming": (make_streaming_crew, None, stream_async, 1),
    "Crew.akickoff, streaming": (make_streaming_crew, None, astream, 1),
    "Crew.kickoff from a checkpoint": (make_crew, save_checkpoint, restore, 1),
    "Crew.akickoff from a checkpoint": (make_crew, save_checkpoint, restore_async, 1),
    "Crew.kickoff from another process's checkpoint": (make_crew, save_checkpoint_elsewhere, restore, 1),
    "Flow.kickoff": (make_flow, None, lambda flow: flow.kickoff(), 1),
    "Flow.kickoff_async": (make_flow, None, lambda flow: flow.kickoff_async(), 1),
    "Flow.akickoff": (make_flow, None, lambda flow: flow.akickoff(), 1),
    "Flow.kickoff, streaming": (make_streaming_flow, None, lambda flow: consume(flow.kickoff()), 1),
    "Flow.resume": (make_flow, pause, lambda _, paused: paused.resume("good"), 1),
    "Flow.resume_async": (make_flow, pause, lambda _, paused: paused.resume_async("good"), 1),
    "Agent.kickoff": (make_agent, None, lambda agent: agent.kickoff("hello"), 1),
    "Agent.kickoff in an event loop": (make_agent, None, kickoff_in_loop, 1),
    "Agent.kickoff_async": (make_agent, None, lambda agent: agent.kickoff_async("hello"), 1),
    "Agent.akickoff": (make_agent, None, lambda agent: agent.akickoff("hello"), 1),
    "LiteAgent.kickoff": (make_lite_agent, None, lambda agent: agent.kickoff("hello"), 1),
    "LiteAgent.kickoff_async": (make_lite_agent, None, lambda agent: agent.kickoff_async("hello"), 1),
    "LiteAgent.akickoff": (make_lite_agent, None, lambda agent: agent.akickoff("hello"), 1),
}
BUILT = ("per request", "at import")


def run_cell(entry, built):
    """Make two kickoffs, each after a rotation; returns what the report holds."""
    make, prepare, call, kickoffs = ENTRIES[entry]
    # What earlier cells left there would go into every checkpoint, until none can be written.
    crewai_event_bus._runtime_state, crewai_event_bus._registered_entity_ids = None, set()
    subject = make()
    for _ in range(2):
        before = [prepare(subject)] if prepare else []
        value = rotate()
        if built == "per request":
            subject = make()
            if entry == "Crew.replay":
                subject = adopt_tasks(subject)
        del endpoint.keys[:], sidecar.requests[:]
        outcome = call(subject, *before)
        if asyncio.iscoroutine(outcome):
            asyncio.run(outcome)
        problem = judge(value, kickoffs)
        if problem:
            return "wrong", problem
    return "right", ""


def adopt_tasks(crew):
    """Store this crew's own outputs: a replay must know the crew's tasks."""
    crew.kickoff()
    rotate()
    return crew


def judge(value, kickoffs):
    if set(endpoint.keys) != {sidecar.values[KEY]}:
        return f"the endpoint saw {sorted(set(endpoint.keys))}, the vault has {value}"
    # Kickoffs that begin at the same moment may share one reading; more readings than kickoffs are a fault.
    if not BARE and not 1 <= len(sidecar.requests) <= kickoffs:
        return f"{len(sidecar.requests)} readings for {kickoffs} kickoffs"
    return ""


def main():
    report = {}
    for entry in ENTRIES:
        for built in BUILT:
            cell = f"{entry}, built {built}"
            if WANTED and cell not in WANTED:
                continue
            try:
                report[cell] = run_cell(entry, built)
            except BaseException as error:
                report[cell] = "error", f"{type(error).__name__}: {error}"
    Path(REPORT).write_text(json.dumps(report))


main()
