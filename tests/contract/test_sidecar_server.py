"""The sidecar's sockets: a bounded queue, and an orderly end."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from polling import until

from wi_kickoff import wire
from wi_kickoff.wire import Field, Reply
from wi_operator.agent.server import KickoffServer
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import SystemClock

BUDGETS = Budgets(parallel_kickoffs=2, waiting_kickoffs=3, kickoff=1.0, shutdown=0.3)
DONE = Reply(True, (Field("v", "A=1"),))


class Kitchen:
    """Kickoffs that last until they are let go; counts those that run at once."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.running = self.most = 0

    async def run(self, container, source, deadline):
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        return DONE


@pytest.fixture
def folder():
    # A unix socket's path must stay short, which pytest's own folders do not.
    path = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@contextlib.asynccontextmanager
async def serving(folder, run):
    server = KickoffServer(run, budgets=BUDGETS, clock=SystemClock())
    await server.start(str(folder), "app", {"launch.py": b""})
    yield server
    await server.stop()


async def ask(folder):
    reader, writer = await asyncio.open_unix_connection(str(folder / wire.SOCKET_NAME))
    writer.write(wire.encode_request("launcher"))
    reply = wire.decode_reply(await reader.read())
    writer.close()
    return reply


def text_of(reply, tag):
    return [field.text for field in reply.fields if field.tag == tag]


async def test_a_few_run_a_few_wait_and_more_are_told_when_to_come_back(folder):
    kitchen = Kitchen()
    async with serving(folder, kitchen.run):
        asked = [asyncio.create_task(ask(folder)) for _ in range(9)]
        await until(lambda: kitchen.running == 2 and sum(task.done() for task in asked) >= 4)
        refused = [task.result() for task in asked if task.done()]
        kitchen.gate.set()
        served = [reply for reply in await asyncio.gather(*asked) if reply.ok]
    assert (len(served), len(refused), kitchen.most) == (5, 4, 2)
    for reply in refused:
        assert "SidecarBusy" in text_of(reply, wire.MESSAGE)[0]
        assert 0.5 <= float(text_of(reply, wire.RETRY)[0]) <= 1.5


async def test_who_waited_the_whole_budget_is_not_asked_to_wait_again(folder):
    kitchen = Kitchen()
    async with serving(folder, kitchen.run):
        asked = [asyncio.create_task(ask(folder)) for _ in range(3)]
        await until(lambda: any(task.done() for task in asked))
        refused = [task.result() for task in asked if task.done()]
        kitchen.gate.set()
        await asyncio.gather(*asked)
    assert [(reply.ok, text_of(reply, wire.RETRY)) for reply in refused] == [(False, [])]


async def test_stopping_lets_a_kickoff_end_and_takes_no_more(folder):
    kitchen = Kitchen()
    async with serving(folder, kitchen.run) as server:
        asked = asyncio.create_task(ask(folder))
        await until(lambda: kitchen.running)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(OSError, match=r"refused|reset"):
            await ask(folder)
        kitchen.gate.set()
        assert await asked == DONE
        await stopping


async def test_a_kickoff_that_hangs_does_not_hold_the_end_up(folder):
    kitchen = Kitchen()
    async with serving(folder, kitchen.run) as server:
        asked = asyncio.create_task(ask(folder))
        await until(lambda: kitchen.running)
        await asyncio.wait_for(server.stop(), BUDGETS.shutdown + 5)
        kitchen.gate.set()
        await asked
