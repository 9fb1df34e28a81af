"""Whatever ends kopf ends the process in one line."""

import asyncio
from types import SimpleNamespace

import kopf
import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.reconcile.handlers import WatchEndedError, make_pulses, watch


async def test_an_error_of_the_watch_is_told_by_its_name(monkeypatch):
    async def refuse(**_):
        raise RuntimeError("415 Unsupported Media Type")

    monkeypatch.setattr(kopf, "operator", refuse)
    with pytest.raises(WatchEndedError, match="RuntimeError: 415 Unsupported Media Type"):
        await watch(SimpleNamespace(instance="pod"), asyncio.Event(), make_pulses(FrozenClock()))
