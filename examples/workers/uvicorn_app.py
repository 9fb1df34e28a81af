"""uvicorn --workers 2 uvicorn_app:app

The vault is read in a thread: the event loop goes on serving meanwhile.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from crew import crew, describe

HEADERS = [(b"content-type", b"text/plain")]


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Run the crew for a request."""
    if scope["type"] != "http":
        return
    await crew.akickoff()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": describe().encode()})
