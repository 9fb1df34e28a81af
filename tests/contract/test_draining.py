"""Between SIGTERM and the end a served process answers everybody; nobody is cut off, nobody waits for ever."""

import asyncio
import os
import signal
import time

import aiohttp
import pytest
from aiohttp import web

from wi_operator.processes.running import Drain, run_until_stopped

DRAIN = 1.5


class Served:
    """A listener that drains; ``end`` is when ``run_until_stopped`` returned."""

    def __init__(self):
        self.drain = Drain(DRAIN)
        self.alive = True

    async def start(self):
        async def answer(_):
            return web.Response(text="ok")

        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(self.drain.follow(app))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        self.done = asyncio.create_task(self._run(runner))
        await asyncio.sleep(0.05)  # the signal handlers stand

    async def _run(self, runner):
        await run_until_stopped([self._part()], self.drain)
        await runner.cleanup()
        return time.monotonic()

    async def _part(self):
        try:
            await asyncio.Event().wait()
        finally:
            self.alive = False


@pytest.fixture
async def served():
    served = Served()
    await served.start()
    yield served
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_new_and_kept_connections_are_served_while_draining_and_asked_to_go(served):
    async with aiohttp.ClientSession() as session:
        async with session.get(served.url) as before:
            assert "Connection" not in before.headers
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        answers = 0
        while time.monotonic() - began < DRAIN * 0.7:
            async with session.get(served.url) as answer:
                assert (answer.status, answer.headers["Connection"]) == (200, "close")
            answers += 1
            assert served.alive, "the index has to stay true while reviews are answered"
            await asyncio.sleep(0.02)
        assert answers > 5
    assert DRAIN <= await served.done - began < DRAIN + 5
    assert not served.alive


async def test_a_second_signal_ends_at_once(served):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await served.done - began < DRAIN / 2


async def test_a_part_that_fails_ends_the_process_with_its_error():
    async def fail():
        raise RuntimeError("a watch ended")

    with pytest.raises(RuntimeError, match="a watch ended"):
        await run_until_stopped([fail()], Drain(60))
