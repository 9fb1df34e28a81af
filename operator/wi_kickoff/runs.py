"""What belongs to one kickoff: the outermost call reads, what it calls does not."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from types import TracebackType

from wi_kickoff.refresh import refresher

_active: ContextVar[Run | None] = ContextVar("wi_kickoff", default=None)


class Run:
    """A kickoff under way. ``id`` is the sidecar's; ``with Run("api"):`` and ``async with`` begin and end it."""

    def __init__(self, source: str) -> None:
        self.id = ""
        self._source = source
        self._token: Token[Run | None] | None = None
        self._ended = False

    def __enter__(self) -> Run:
        outer = active()
        if outer is not None:
            return outer
        return self._begin(refresher.refresh(self._source).kickoff)

    async def __aenter__(self) -> Run:
        outer = active()
        if outer is not None:
            return outer
        # In a thread: the event loop goes on while the vault is read.
        return self._begin((await asyncio.to_thread(refresher.refresh, self._source)).kickoff)

    def _begin(self, kickoff: str) -> Run:
        self.id = kickoff
        self._token = _active.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A task that was started within and lives on has a copy of the context: for it, too, this kickoff is over.
        self._ended = True
        if self._token is not None:
            try:
                _active.reset(self._token)
            except ValueError:  # left from another context than entered: a coroutine that was closed elsewhere
                return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def active() -> Run | None:
    """Return the kickoff that this call belongs to, None outside."""
    run = _active.get()
    return None if run is None or run._ended else run
