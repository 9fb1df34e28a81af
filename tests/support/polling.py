"""Waiting within a loop for what has no event for the outside."""

import asyncio


async def until(is_true, *, seconds=10):
    """Return once ``is_true()``; raises ``TimeoutError`` after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not is_true():  # noqa: ASYNC110 - sockets and processes of others tell nobody
            await asyncio.sleep(0.01)
